// Package text lays out what a comparison prints: sentences and tables that fit a terminal of 80 columns.
//
// It imports the standard library alone.
package text

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/template"
	"unicode/utf8"
)

// Width is the number of columns that nothing written here exceeds, but for a word or a cell that is longer by itself.
const Width = 80

// gap is the number of spaces between two columns of a table.
const gap = 2

// Wrap writes text with line breaks between words, and a line's end behind it.
func Wrap(b *strings.Builder, text string) { Hang(b, "", "", text) }

// Hang writes text as Wrap does, behind first in the first line and behind rest in all others.
func Hang(b *strings.Builder, first, rest, text string) { HangWithin(Width, b, first, rest, text) }

// HangWithin is Hang with so many columns.
func HangWithin(width int, b *strings.Builder, first, rest, text string) {
	b.WriteString(first)
	column := utf8.RuneCountInString(first)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + rest)
			column = utf8.RuneCountInString(rest)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteString("\n")
}

// Write writes what a template makes of data: each line is a paragraph, which is wrapped, or, where it begins with a
// space, a row that stands as it is.
func Write(w io.Writer, t *template.Template, data any) error {
	var lines, b strings.Builder
	if err := t.Execute(&lines, data); err != nil {
		return err
	}
	for line := range strings.Lines(lines.String()) {
		if strings.HasPrefix(line, " ") {
			b.WriteString(line)
		} else {
			Wrap(&b, line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Thousands writes a count with its thousands apart: 1,234.
func Thousands[N int | int64](n N) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// Unknown stands for a figure that cannot be had.
const Unknown = "–"

// Number writes a figure with three significant digits, and thousands apart.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case v == 0:
		return "0"
	case a >= 99.95:
		return Thousands(int64(math.Round(v)))
	default:
		// What is rounded up to the next power of ten has one digit less behind the point.
		digits := 2 - int(math.Floor(math.Log10(a*1.0005)))
		return fmt.Sprintf("%.*f", min(digits, 9), v)
	}
}

// Count writes a number of things: 1 round, 2 rounds.
func Count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%s %ss", Thousands(n), of)
}

// Table is rows of text in columns. The first column and those in Left are flush left, the others right.
type Table struct {
	Indent int        // spaces before each line
	Head   [][]string // lines above the rows, with a cell for each column
	Rows   [][]string // with a cell for each column
	Left   map[int]bool
}

// Write writes the table. One that is wider than Width is written in parts beneath one another, each with the first
// column.
func (t *Table) Write(b *strings.Builder) {
	lines := append(append([][]string{}, t.Head...), t.Rows...)
	if len(lines) == 0 {
		return
	}
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for from := 1; ; {
		to, width := from, t.Indent+widths[0]
		for to < len(widths) && (to == from || width+gap+widths[to] <= Width) {
			width += gap + widths[to]
			to++
		}
		for _, line := range lines {
			t.writeLine(b, line, widths, from, to)
		}
		if to >= len(widths) {
			return
		}
		b.WriteString("\n")
		from = to
	}
}

// writeLine writes the first cell of a line, and those from one to another.
func (t *Table) writeLine(b *strings.Builder, line []string, widths []int, from, to int) {
	text := fmt.Sprintf("%*s%-*s", t.Indent, "", widths[0], line[0])
	for i := from; i < to; i++ {
		width := widths[i]
		if t.Left[i] {
			width = -width
		}
		text += fmt.Sprintf("%*s%*s", gap, "", width, line[i])
	}
	b.WriteString(strings.TrimRight(text, " ") + "\n")
}
