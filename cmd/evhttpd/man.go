package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
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

// writePage writes the page of a command: what the library makes of the command, and
// before its last section those that the library has no notion of.
func writePage(c *cobra.Command, w io.Writer) error {
	header := &doc.GenManHeader{Section: "1", Source: "evhttpd " + versionText(), Manual: "evhttpd", Date: manDate()}
	var page bytes.Buffer
	if err := doc.GenMan(c, header, &page); err != nil {
		return err
	}
	text, seeAlso, _ := strings.Cut(page.String(), ".SH SEE ALSO\n")
	text = strings.TrimRight(text, "\n") + "\n" + manSections(c)
	_, err := fmt.Fprintf(w, "%s.SH SEE ALSO\n.PP\n\\fB%s(5)\\fP, %s", text, configPage, strings.TrimPrefix(seeAlso, ".PP\n"))
	return err
}

// manDate dates the pages by the day, and not by the hour. It is nil where a package is
// built, which says in SOURCE_DATE_EPOCH what the library takes instead.
func manDate() *time.Time {
	if os.Getenv("SOURCE_DATE_EPOCH") != "" {
		return nil
	}
	day := time.Now().Truncate(24 * time.Hour)
	return &day
}
