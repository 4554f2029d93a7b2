package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
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
		text := c.Long
		if text == "" {
			text = c.Short
		}
		out := c.OutOrStdout()
		// Nobody is left to tell that standard output is closed.
		_, _ = io.WriteString(out, wrapHelp(strings.TrimSpace(text)+"\n\n"+c.UsageString(), columnsOf(out)))
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

// entry is a line that describes a flag or a command: its beginning up to the description.
var entry = regexp.MustCompile(`^( +\S.*?  +)\S`)

// wrapHelp breaks text into lines of so many columns, between words. Lines that begin at the margin are a
// paragraph; what describes a flag or a command goes on beneath its description.
func wrapHelp(text string, columns int) string {
	var b strings.Builder
	paragraph := ""
	for line := range strings.Lines(text + "\n") {
		line = strings.TrimRight(line, " \n")
		if line != "" && line[0] != ' ' {
			paragraph = strings.TrimLeft(paragraph+" "+line, " ")
			continue
		}
		if paragraph != "" {
			wrapLine(&b, paragraph, 0, columns)
			paragraph = ""
		}
		indent := 0
		if begin := entry.FindStringSubmatch(line); begin != nil {
			indent = utf8.RuneCountInString(begin[1])
		}
		if indent > columns/2 {
			indent = 8
		}
		wrapLine(&b, line, indent, columns)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// wrapLine writes a line; what does not fit goes on in lines with that indent.
func wrapLine(b *strings.Builder, line string, indent, columns int) {
	for utf8.RuneCountInString(line) > columns {
		at := breakAt(line, columns, indent)
		if at < 0 {
			break
		}
		b.WriteString(strings.TrimRight(line[:at], " ") + "\n")
		line = strings.Repeat(" ", indent) + strings.TrimLeft(line[at:], " ")
	}
	b.WriteString(line + "\n")
}

// breakAt is where the last word that fits is followed by a space, behind the indent; -1: nowhere.
func breakAt(line string, columns, indent int) int {
	at, column := -1, 0
	for i, r := range line {
		if r == ' ' && column > indent && column <= columns && strings.TrimSpace(line[:i]) != "" {
			at = i
		}
		if column > columns && at >= 0 {
			return at
		}
		if r == ' ' && column > columns { // one word is longer than the line
			return i
		}
		column++
	}
	return at
}

// isTerminal reports whether somebody looks at what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
