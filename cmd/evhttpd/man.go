package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "man [COMMAND]...",
		Short: "Print the manual page of evhttpd or of a command",
		Example: `  evhttpd man | man -l -                       read it
  evhttpd man --dir /usr/local/share/man/man1  install a page for every command`,
		Args: helpTopic,
	}
	dir := c.Flags().String("dir", "", "write the pages of all commands into this `directory` instead")
	c.RunE = func(c *cobra.Command, args []string) error {
		root := c.Root()
		if *dir != "" {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("--dir is for the pages of all commands, not of %q", args)}
			}
			return doc.GenManTree(root, manHeader(), *dir)
		}
		page, _, err := root.Find(args)
		if err != nil {
			return err
		}
		return doc.GenMan(page, manHeader(), c.OutOrStdout())
	}
	return c
}

// manHeader dates the pages by SOURCE_DATE_EPOCH where a package is built, and else not by the hour.
func manHeader() *doc.GenManHeader {
	h := &doc.GenManHeader{Section: "1", Source: "evhttpd " + versionText(), Manual: "evhttpd"}
	if os.Getenv("SOURCE_DATE_EPOCH") == "" { // which the library reads
		day := time.Now().Truncate(24 * time.Hour)
		h.Date = &day
	}
	return h
}
