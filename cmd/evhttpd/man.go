package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configPage is the name of the page about the configuration file, in section 5.
const configPage = "evhttpd.yaml"

func manCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "man [COMMAND | " + configPage + "]",
		Short: "Print the manual page of evhttpd, of a command or of the configuration file",
		Example: `  evhttpd man | man -l -                  read it
  evhttpd man evhttpd.yaml | man -l -     the configuration file's
  evhttpd man --dir /usr/local/share/man  install all, into man1 and man5`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == configPage {
				return nil
			}
			return helpTopic(c, args)
		},
	}
	dir := c.Flags().String("dir", "", "write all pages into man1 and man5 of this `directory`, which need not exist")
	completeDirectories(c, "dir")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch root := c.Root(); {
		case *dir != "" && len(args) > 0:
			return &usageError{fmt.Errorf("--dir is for all pages, not for that of %q", args)}
		case *dir != "":
			return writePages(root, *dir)
		case len(args) == 1 && args[0] == configPage:
			return writeConfigPage(c.OutOrStdout())
		default:
			command, _, err := root.Find(args)
			if err != nil {
				return err
			}
			return writePage(command, c.OutOrStdout())
		}
	}
	return c
}

// writePages writes every page below dir. A dir called man1 is taken for the one of section 1.
func writePages(root *cobra.Command, dir string) error {
	if filepath.Base(dir) == "man1" {
		dir = filepath.Dir(filepath.Clean(dir))
	}
	commands, files := filepath.Join(dir, "man1"), filepath.Join(dir, "man5")
	for _, each := range []string{commands, files} {
		if err := os.MkdirAll(each, 0o755); err != nil {
			return err
		}
	}
	if err := writeCommandPages(root, commands); err != nil {
		return err
	}
	return writeFile(filepath.Join(files, configPage+".5"), writeConfigPage)
}

// writeCommandPages writes the pages of a command and of those beneath it into dir.
func writeCommandPages(c *cobra.Command, dir string) error {
	for _, each := range c.Commands() {
		if !each.IsAvailableCommand() || each.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := writeCommandPages(each, dir); err != nil {
			return err
		}
	}
	name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
	return writeFile(filepath.Join(dir, name), func(w io.Writer) error { return writePage(c, w) })
}

// writeFile makes a file of what write writes.
func writeFile(name string, write func(io.Writer) error) error {
	var page bytes.Buffer
	if err := write(&page); err != nil {
		return err
	}
	return os.WriteFile(name, page.Bytes(), 0o644)
}

// writePage writes the page of a command.
func writePage(c *cobra.Command, w io.Writer) error {
	var r roff
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	r.title(name, 1)
	r.section("NAME")
	r.WriteString(escapeRoff(name) + " \\- " + escapeRoff(c.Short) + "\n")
	r.section("SYNOPSIS")
	r.paragraph(c.UseLine())
	r.section("DESCRIPTION")
	for _, text := range strings.Split(cmp.Or(c.Long, c.Short), "\n\n") {
		r.paragraph(text)
	}
	r.section("OPTIONS")
	c.Flags().VisitAll(r.option)
	if c.HasExample() {
		r.section("EXAMPLE")
		r.literal(c.Example)
	}
	sections(&r, c)
	r.section("SEE ALSO")
	r.paragraph(strings.Join(seeAlso(c), ", "))
	_, err := io.WriteString(w, r.String())
	return err
}

// option is a flag with what it takes, and its default unless that is nothing.
func (r *roff) option(f *pflag.Flag) {
	if f.Hidden {
		return
	}
	takes, usage := pflag.UnquoteUsage(f)
	term := "--" + f.Name
	if f.Shorthand != "" {
		term = "-" + f.Shorthand + ", " + term
	}
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
	default:
		usage += " (default " + f.DefValue + ")"
	}
	r.item(strings.TrimSpace(term+" "+takes), usage)
}

// seeAlso names the pages beside that of a command: of the configuration file, and of the commands above it and
// beneath it.
func seeAlso(c *cobra.Command) []string {
	pages := []string{configPage + "(5)"}
	add := func(c *cobra.Command) { pages = append(pages, strings.ReplaceAll(c.CommandPath(), " ", "-")+"(1)") }
	if c.HasParent() {
		add(c.Parent())
	}
	for _, each := range c.Commands() {
		if each.IsAvailableCommand() && !each.IsAdditionalHelpTopicCommand() {
			add(each)
		}
	}
	return pages
}
