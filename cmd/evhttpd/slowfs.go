package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhttpd/evhttpd/bench/slowfs"
	"github.com/evhttpd/evhttpd/internal/config"
)

const slowfsLong = `Mount a file system of slow files at a folder, until interrupted or until standard
input ends. Each name f0, f1, f2 and so on is a file, and each read of up to 128 KiB
takes the delay, as from a busy disk: ask for ever more names, and the page cache never
has them. It takes /dev/fuse, and root or fusermount3 (the package fuse3).`

func slowfsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "slowfs DIR",
		Short: "Mount a file system whose files are read slowly",
		Long:  slowfsLong,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("one folder to mount at; see \"%s --help\"", c.CommandPath())}
			}
			return nil
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	size := fs.String("size", "1MiB", "of each file, as 1048576 or 1MiB")
	delay := fs.Duration("delay", 4*time.Millisecond, "how `long` each read takes")
	c.RunE = func(c *cobra.Command, args []string) error {
		bytes, err := config.ParseSize(*size)
		if err != nil {
			return &usageError{fmt.Errorf("--size: %w", err)}
		}
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(ended)
		mount, err := slowfs.Mount(args[0], slowfs.Options{Size: bytes, Delay: *delay})
		if err != nil {
			return err
		}
		// On this line one can wait.
		if _, err := fmt.Fprintf(c.OutOrStdout(), "mounted at %s\n", args[0]); err != nil {
			return err
		}
		closed := make(chan struct{})
		go func() {
			// How it ends does not matter.
			_, _ = io.Copy(io.Discard, c.InOrStdin())
			close(closed)
		}()
		select {
		case <-ended:
		case <-closed:
		}
		return mount.Unmount()
	}
	return c
}
