package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evhttpd/evhttpd/internal/config"
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
		if !each.IsAvailableCommand() {
			continue
		}
		if err := writeCommandPages(each, dir); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, pageOf(c)+".1"), func(w io.Writer) error { return writePage(c, w) })
}

// writeFile makes a file of what write writes.
func writeFile(name string, write func(io.Writer) error) error {
	var page bytes.Buffer
	if err := write(&page); err != nil {
		return err
	}
	return os.WriteFile(name, page.Bytes(), 0o644)
}

//go:embed man.tmpl
var manTemplate string

// command is a command as its page has it.
type command struct{ *cobra.Command }

// Page is the name of the command's page.
func (c command) Page() string { return pageOf(c.Command) }

// Serves reports whether the command is the server.
func (c command) Serves() bool { return !c.HasParent() || c.Name() == "serve" }

func pageOf(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// writePage writes the page of a command.
func writePage(c *cobra.Command, w io.Writer) error {
	return writeManual(w, "command", pageOf(c), 1, command{c})
}

// writeConfigPage writes the page about the configuration file.
func writeConfigPage(w io.Writer) error { return writeManual(w, "config", configPage, 5, nil) }

// writeManual writes the page of a name and a section, which the template of its kind makes of data.
func writeManual(w io.Writer, kind, name string, section int, data any) error {
	pages, err := template.New("").Funcs(template.FuncMap{
		"variables": config.Flags, "keys": config.Keys, "join": strings.Join,
		"documented": func() string { return config.Documented },
	}).Parse(manTemplate)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := pages.ExecuteTemplate(&text, kind, data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, ".nh\n.TH \"%s\" \"%d\" \"%s\" \"evhttpd %s\" \"evhttpd\"\n%s", strings.ToUpper(name),
		section, pageMonth(), versionText(), roff(text.String()))
	return err
}

// Options are the flags of the command, each with what it takes, and its default unless that is nothing.
func (c command) Options() (all []string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		takes, usage := pflag.UnquoteUsage(f)
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if !slices.Contains([]string{"", "0", "0s", "false", "[]"}, f.DefValue) {
			usage += " (default " + f.DefValue + ")"
		}
		all = append(all, strings.TrimSpace(term+" "+takes)+"\t"+usage)
	})
	return all
}

// SeeAlso names the pages of the commands above the command and beneath it.
func (c command) SeeAlso() (pages []string) {
	if c.HasParent() {
		pages = append(pages, pageOf(c.Parent()))
	}
	for _, each := range c.Commands() {
		if each.IsAvailableCommand() {
			pages = append(pages, pageOf(each))
		}
	}
	return pages
}

// roff writes text in the macros of man(7). A line of the text is a title (# TITLE), a term with what it means behind
// tabs, or a part of a paragraph, which an empty line ends. Lines between two of ``` stay as they are.
func roff(text string) string {
	var b strings.Builder
	const fence = "```"
	before, literal := "", false
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		title, isTitle := strings.CutPrefix(line, "# ")
		escaped := escapeRoff(line)
		term, means, isItem := strings.Cut(escaped, "\t")
		switch {
		case line == fence && literal:
			b.WriteString(".fi\n")
			literal = false
		case line == fence:
			b.WriteString(".PP\n.nf\n")
			literal = true
		case literal:
			b.WriteString(escaped + "\n")
		case isTitle:
			b.WriteString(".SH " + title + "\n")
		case isItem:
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fP\n%s\n", term, strings.ReplaceAll(means, "\t", "\n.br\n"))
		case line != "":
			if before == "" || strings.HasPrefix(before, "# ") && before != "# NAME" {
				b.WriteString(".PP\n")
			}
			b.WriteString(escaped + "\n")
		}
		before = line
	}
	return b.String()
}

// escapeRoff keeps what roff would take for an escape, a request or a hyphen.
func escapeRoff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}

// pageMonth dates a page, by SOURCE_DATE_EPOCH where a package is built.
func pageMonth() string {
	when := time.Now()
	if epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		when = time.Unix(epoch, 0)
	}
	return when.UTC().Format("Jan 2006")
}
