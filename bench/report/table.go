// Package report shows what a comparison found: as a table, as a self-contained HTML page
// with charts, and beside another one.
//
// It imports bench/chart, bench/experiment, bench/results, bench/stats and bench/text.
package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// column is one of a cell's table.
type column struct {
	name, unit string // the latter may be what it is beside
	key        string // of the metric that it shows; empty: none
	Left       bool
	text       func(c *results.Cell, row *results.Row) string
}

// Head is its name and unit in one line.
func (c column) Head() string { return strings.TrimSpace(c.name + " " + c.unit) }

// Cell is what stands in it in a row.
func (c column) Cell(cell *results.Cell, row *results.Row) string { return c.text(cell, row) }

// columns are those of the table of a cell: the headline and what may be said of it first.
func columns(r *results.Results, c *results.Cell) []column {
	figure := func(name, unit, key string) column {
		return column{name: name, unit: unit, key: key, text: func(_ *results.Cell, row *results.Row) string {
			if f, ok := row.Figures[key]; ok {
				return text.Number(f.Median)
			}
			return text.Unknown
		}}
	}
	all := []column{
		{Left: true, text: func(_ *results.Cell, row *results.Row) string { return row.Subject }},
		{name: "CPU/req", unit: "µs (× " + r.Subjects[0].Model + ")", key: results.CPU, text: headline},
		{Left: true, text: remark},
		{name: "interval", unit: fmt.Sprintf("of × [%s]", confidence(c)), Left: true, text: ratioInterval},
		figure("req/s", "", results.Rate),
		figure("p50", "µs", results.P50),
		figure("p99", "µs", results.P99),
		figure("p99.9", "µs", results.P999),
		figure("mem/conn", "bytes", results.Memory),
		figure("calls", "/req", results.Calls),
		figure("ctx sw", "/req", results.Switches),
	}
	if has(r, results.Wrk) {
		all = append(all, figure("wrk", "req/s", results.Wrk))
	}
	return all
}

// confidence is what the intervals of a cell's ratios have at least, in per cent.
func confidence(c *results.Cell) string {
	least := 1.0
	for i := range c.Rows {
		if ratio := c.Rows[i].Figures[results.CPU].Ratio; ratio != nil {
			least = min(least, ratio.Confidence)
		}
	}
	return percent(least)
}

// percent writes a share that is never all: 98 %.
func percent(share float64) string { return fmt.Sprintf("%.0f %%", math.Floor(100*share)) }

// has reports whether any subject has a figure of that metric.
func has(r *results.Results, key string) bool {
	return slices.ContainsFunc(r.Cells, func(c results.Cell) bool {
		return slices.ContainsFunc(c.Rows, func(row results.Row) bool {
			_, ok := row.Figures[key]
			return ok
		})
	})
}

// headline is CPU a request and, in parentheses, its ratio to the baseline's of the same round.
func headline(c *results.Cell, row *results.Row) string {
	f, ok := row.Figures[results.CPU]
	switch {
	case !ok:
		return text.Unknown
	case row == &c.Rows[0]:
		return text.Number(f.Median) + " (1.00×)"
	case f.Ratio == nil:
		return text.Number(f.Median) + " (" + text.Unknown + ")"
	default:
		return fmt.Sprintf("%s (%s×)", text.Number(f.Median), Ratio(f.Ratio.Median))
	}
}

// ratioInterval is the interval of the headline's ratio.
func ratioInterval(_ *results.Cell, row *results.Row) string {
	ratio := row.Figures[results.CPU].Ratio
	if ratio == nil {
		return ""
	}
	return fmt.Sprintf("[%s, %s]", Ratio(ratio.Low), Ratio(ratio.High))
}

// verdicts are the words for them, everywhere.
var verdicts = map[stats.Verdict]string{
	results.Better: "better", results.Worse: "worse", results.Same: "no difference",
	results.Few: "too few rounds", results.Noisy: "too noisy to say",
}

// remark is the verdict on the headline, and what forbids one.
func remark(c *results.Cell, row *results.Row) string {
	var remark string
	switch {
	case !row.Whole():
		return fmt.Sprintf("%d of %d served", row.Served, row.Wanted)
	case row == &c.Rows[0]:
		remark = "baseline"
	default:
		remark = verdicts[row.Figures[results.CPU].Verdict]
	}
	if row.Saturated {
		remark = strings.TrimPrefix(remark+" *", " ")
	}
	return remark
}

// WriteText writes the report as a table for each cell, for people.
func (r Report) WriteText(w io.Writer) error { return text.Write(w, tableTemplate, r) }

// pinned says which CPUs server and client ran on.
func pinned(r *results.Results) string {
	if len(r.Setup.ServerCPUs) == 0 {
		return "not pinned"
	}
	numbers := strings.NewReplacer(" ", ",", "[", "", "]", "")
	return "server on CPU " + numbers.Replace(fmt.Sprint(r.Setup.ServerCPUs)) + ", client on " +
		numbers.Replace(fmt.Sprint(r.Setup.ClientCPUs))
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
		active += fmt.Sprintf(", %s requests/s", text.Number(c.Rate))
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

// remarks say how large a difference must be, and explain the mark of rows beside which the client was full.
func remarks(r *results.Results, c *results.Cell) (lines []string) {
	switch band := c.Band(r.Subjects, results.CPU); {
	case band == 0 || r.Setup.Rounds < stats.RoundsMin:
	case band > stats.BandMax:
		lines = append(lines, fmt.Sprintf("Too noisy to say: the same model twice differs by more than %.0f %%.",
			100*(stats.BandMax-1)))
	default:
		lines = append(lines, fmt.Sprintf("Control: the same model twice differs by up to %.1f %%; less is no "+
			"difference.", 100*(band-1)))
	}
	if slices.ContainsFunc(c.Rows, func(row results.Row) bool { return row.Saturated }) {
		lines = append(lines, "* The client used its CPU up: requests/s may be its limit, CPU/req is not affected.")
	}
	return lines
}

// command is what was typed.
func command(r *results.Results) string { return cmp.Or(r.Command, "evhttpd bench") }

// table is that of a cell.
func table(r *results.Results, c *results.Cell) string {
	cols := columns(r, c)
	var b strings.Builder
	table := text.Table{Indent: 2, Head: make([][]string, 2), Left: make(map[int]bool)}
	for i, col := range cols {
		table.Head[0] = append(table.Head[0], col.name)
		table.Head[1] = append(table.Head[1], col.unit)
		table.Left[i] = col.Left
	}
	for i := range c.Rows {
		var line []string
		for _, col := range cols {
			line = append(line, col.text(c, &c.Rows[i]))
		}
		table.Rows = append(table.Rows, line)
	}
	table.Write(&b)
	return b.String()
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
