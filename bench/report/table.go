// Package report shows what a comparison found: as a table, as a self-contained HTML page
// with charts, and beside another one.
//
// It imports bench/chart, bench/machine, bench/results, bench/scenario and bench/stats.
package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
)

// unknown stands for a figure that cannot be had.
const unknown = "–"

// lineWidth is what sentences are broken at, in columns.
const lineWidth = 100

// column is one of a cell's table.
type column struct {
	head [2]string
	text func(c *results.Cell, row *results.Row) string
	left bool
}

// columns are those of the table for a cell. wrk: somebody has its figure.
func columns(r *results.Results) []column {
	all := []column{
		{head: [2]string{"", ""}, left: true, text: func(_ *results.Cell, row *results.Row) string { return row.Subject }},
		{head: [2]string{"CPU/req", "µs"}, text: median(results.CPU)},
		{head: [2]string{"× " + r.Subjects[0].Model, "[95 %]"}, left: true, text: ratio},
		{head: [2]string{"req/s", ""}, text: median(results.Rate)},
		{head: [2]string{"p50", "µs"}, text: median(results.P50)},
		{head: [2]string{"p99", "µs"}, text: median(results.P99)},
		{head: [2]string{"p99.9", "µs"}, text: median(results.P999)},
		{head: [2]string{"mem/conn", "bytes"}, text: median(results.Memory)},
		{head: [2]string{"calls", "/req"}, text: median(results.Calls)},
		{head: [2]string{"ctx sw", "/req"}, text: median(results.Switches)},
	}
	if has(r, results.Wrk) {
		all = append(all, column{head: [2]string{"wrk", "req/s"}, text: median(results.Wrk)})
	}
	return append(all, column{head: [2]string{"", ""}, left: true, text: remark})
}

// has reports whether somebody has a figure.
func has(r *results.Results, key string) bool {
	for i := range r.Cells {
		for n := range r.Cells[i].Rows {
			if _, ok := r.Cells[i].Rows[n].Figures[key]; ok {
				return true
			}
		}
	}
	return false
}

func median(key string) func(*results.Cell, *results.Row) string {
	return func(_ *results.Cell, row *results.Row) string {
		f, ok := row.Figures[key]
		if !ok {
			return unknown
		}
		return Number(f.Median)
	}
}

// ratio is the headline: CPU a request by the baseline's.
func ratio(c *results.Cell, row *results.Row) string {
	f := row.Figures[results.CPU]
	switch {
	case row == &c.Rows[0]:
		return "1"
	case f.Ratio == nil:
		return unknown
	default:
		return fmt.Sprintf("%s [%s, %s]", Ratio(f.Ratio.Median), Ratio(f.Ratio.Low), Ratio(f.Ratio.High))
	}
}

// remark is the verdict on the headline, and what forbids one.
func remark(c *results.Cell, row *results.Row) string {
	f := row.Figures[results.CPU]
	var text string
	switch {
	case !row.Whole():
		return fmt.Sprintf("%d of %d served", row.Served, row.Wanted)
	case row == &c.Rows[0]:
		text = "baseline"
	case f.Verdict == results.Better:
		text = "less"
	case f.Verdict == results.Worse:
		text = "more"
	case f.Verdict == results.Same:
		text = "no difference"
	}
	if row.Saturated {
		text = strings.TrimPrefix(text+", client full", ", ")
	}
	return text
}

// WriteText writes the table, what it means, and what is to be known of it.
func WriteText(w io.Writer, r *results.Results) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", r.Began.Format("2006-01-02 15:04"), r.Machine.Short())
	fmt.Fprintf(&b, "%s, medians of %d rounds of %v, %s\n", orElse(r.Command, "evhttpd bench"), r.Setup.Rounds, r.Setup.Duration.Round(time.Millisecond), pinned(&r.Setup))
	for i := range r.Cells {
		c := &r.Cells[i]
		fmt.Fprintf(&b, "\n%s: %s\n", c.Title(), describe(c))
		writeCell(&b, r, c)
		if text := control(r, c); text != "" {
			fmt.Fprintf(&b, "  %s\n", text)
		}
	}
	b.WriteString("\n")
	for _, a := range r.Absent {
		wrap(&b, fmt.Sprintf("%s is not available here: %s", a.Name, a.Reason))
	}
	for _, n := range r.Notes {
		wrap(&b, n)
	}
	for _, f := range results.Footer() {
		wrap(&b, f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// pinned says who ran where.
func pinned(s *results.Setup) string {
	if len(s.ServerCPUs) == 0 {
		return "not pinned"
	}
	return fmt.Sprintf("server on CPU %s, client on %s", numbers(s.ServerCPUs), numbers(s.ClientCPUs))
}

func numbers(cpus []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(cpus), "[]"), " ", ",")
}

// describe is the load of a cell in words.
func describe(c *results.Cell) string {
	var parts []string
	active := fmt.Sprintf("%d connections", c.Active)
	switch {
	case c.Active == 1:
		active = "1 connection"
	case c.CloseEach:
		active = fmt.Sprintf("%d at a time, a connection a request", c.Active)
	case c.Pipeline > 1:
		active += fmt.Sprintf(" with %d requests in flight each", c.Pipeline)
	case c.Rate > 0:
		active += fmt.Sprintf(", %s requests/s", Number(c.Rate))
	}
	parts = append(parts, active)
	files := c.Files
	if c.Slow > 0 {
		files = files[:len(files)-1]
	}
	var sizes []string
	for _, f := range files {
		sizes = append(sizes, Bytes(int64(f.Bytes)))
	}
	parts = append(parts, strings.Join(sizes, ", "))
	if c.Idle > 0 {
		parts = append(parts, fmt.Sprintf("beside %d idle", c.Idle))
	}
	if c.Slow > 0 {
		parts = append(parts, fmt.Sprintf("beside %d that read %s/s", c.Slow, Bytes(int64(c.SlowRate))))
	}
	return strings.Join(parts, ", ")
}

// control says how large a difference must be.
func control(r *results.Results, c *results.Cell) string {
	band := c.Band(r.Subjects, results.CPU)
	switch {
	case band == 0:
		return ""
	case math.IsInf(band, 1):
		return "the control says nothing: no difference can be told"
	default:
		return fmt.Sprintf("control: the same model twice differs by up to %.1f %%; less is no difference", 100*(band-1))
	}
}

func writeCell(b *strings.Builder, r *results.Results, c *results.Cell) {
	cols := columns(r)
	rows := make([][]string, 2, len(c.Rows)+2)
	for _, col := range cols {
		rows[0] = append(rows[0], col.head[0])
		rows[1] = append(rows[1], col.head[1])
	}
	for i := range c.Rows {
		var line []string
		for _, col := range cols {
			line = append(line, col.text(c, &c.Rows[i]))
		}
		rows = append(rows, line)
	}
	widths := make([]int, len(cols))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if cols[i].left {
				line += "  " + cell + space
			} else {
				line += "  " + space + cell
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// wrap writes a sentence, broken between words.
func wrap(b *strings.Builder, text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > lineWidth {
			b.WriteString(line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}

// Number writes a figure with three digits or so, and thousands apart.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case v == 0:
		return "0"
	case a < 0.095:
		return fmt.Sprintf("%.3f", v)
	case a < 9.95:
		return fmt.Sprintf("%.2f", v)
	case a < 99.5:
		return fmt.Sprintf("%.1f", v)
	default:
		return thousands(int64(math.Round(v)))
	}
}

func thousands(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// Ratio writes one.
func Ratio(v float64) string {
	if v < 9.995 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// Bytes writes a size.
func Bytes(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// interval writes an estimate with its bounds.
func interval(e stats.Estimate) string {
	return fmt.Sprintf("%s [%s, %s]", Number(e.Median), Number(e.Low), Number(e.High))
}
