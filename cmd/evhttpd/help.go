package main

import (
	"cmp"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/evhttpd/evhttpd/bench/text"
)

// Columns that help is wrapped at: what a terminal has, within bounds, and elsewhere those of an ordinary one.
const (
	columnsMin   = 40
	columnsUsual = 80
	columnsMax   = 100
)

// wrappedHelp makes help fit the terminal, for a command and all beneath it.
func wrappedHelp(root *cobra.Command) {
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		out := c.OutOrStdout()
		help := strings.TrimSpace(cmp.Or(c.Long, c.Short)) + "\n\n" + c.UsageString()
		// Nobody is left to tell that standard output is closed.
		_, _ = io.WriteString(out, wrapHelp(help, columnsOf(out)))
	})
}

// columnsOf is how wide help is written to out.
func columnsOf(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok {
		return columnsUsual
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return columnsUsual
	}
	return min(max(width, columnsMin), columnsMax)
}

// entry is the beginning of a line: its indent, with what it describes, a flag or a command, up to the description.
var entry = regexp.MustCompile(`^ *(\S.*?  +)?`)

// wrapHelp breaks help into lines of so many columns, between words. Lines that begin at the margin are a
// paragraph; what describes a flag or a command goes on beneath its description.
func wrapHelp(help string, columns int) string {
	var b strings.Builder
	paragraph := ""
	for line := range strings.Lines(help + "\n") {
		line = strings.TrimRight(line, " \n")
		if line != "" && line[0] != ' ' {
			paragraph += " " + line
			continue
		}
		if paragraph != "" {
			text.HangWithin(columns, &b, "", "", paragraph)
			paragraph = ""
		}
		first := entry.FindString(line)
		rest, described := strings.Repeat(" ", utf8.RuneCountInString(first)), line[len(first):]
		if len(rest) > columns/2 && utf8.RuneCountInString(line) > columns { // the description has lines of its own
			b.WriteString(strings.TrimRight(first, " ") + "\n")
			first, rest = "        ", "        "
		}
		text.HangWithin(columns, &b, first, rest, described)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// isTerminal reports whether somebody looks at what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
