// Command evhttpd-slowfs mounts a file system of slow files, for `evhttpd lab cold`.
//
// It is a program of its own so that the server links no FUSE library, whose initialization would run at
// every start. It imports bench/slowfs and internal/config, for sizes.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/bench/slowfs"
	"github.com/evhttpd/evhttpd/internal/config"
)

const usage = `usage: evhttpd-slowfs [--size SIZE] [--delay DURATION] DIR

Mount a file system of slow files at a folder, until interrupted or until standard
input ends. Each name f0, f1, f2 and so on is a file, and each read of up to 128 KiB
takes the delay, as from a busy disk: ask for ever more names, and the page cache never
has them. It takes /dev/fuse, and root or fusermount3 (the package fuse3).

`

// Exit codes, as evhttpd's.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	flags := flag.NewFlagSet("evhttpd-slowfs", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	size := flags.String("size", "1MiB", "`bytes` of each file, as 1048576 or 1MiB")
	delay := flags.Duration("delay", 4*time.Millisecond, "how `long` each read takes")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil:
		return exitUsage // Parse has said it
	case flags.NArg() != 1:
		flags.Usage()
		return exitUsage
	}
	bytes, err := config.ParseSize(*size)
	if err != nil {
		fmt.Fprintln(os.Stderr, "evhttpd-slowfs: --size:", err)
		return exitUsage
	}
	if err := serve(flags.Arg(0), slowfs.Options{Size: bytes, Delay: *delay}); err != nil {
		fmt.Fprintln(os.Stderr, "evhttpd-slowfs:", err)
		return exitFailure
	}
	return 0
}

// serve mounts at dir until a signal or the end of standard input.
func serve(dir string, o slowfs.Options) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(ended)
	mount, err := slowfs.Mount(dir, o)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	go func() {
		// How standard input ends does not matter.
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(closed)
	}()
	// The parent waits for this line. If it is gone, there is nobody to mount for.
	if _, err := fmt.Printf("mounted at %s\n", dir); err == nil {
		select {
		case <-ended:
		case <-closed:
		}
	}
	return mount.Unmount()
}
