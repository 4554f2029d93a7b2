package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// figure is a chart of one cell, or of several.
type figure struct {
	experiment.Chart
	cell string // empty: of several
}

// scaling are the metrics that are drawn against idle connections.
var scaling = []struct{ key, title, file string }{
	{results.CPU, "Server CPU a request (µs) against idle connections", "idle-cpu"},
	{results.P99, "p99 latency (µs) against idle connections", "idle-p99"},
}

// figures draws every chart: those against idle connections first, then three a cell.
// A cell that is one of many on an idle axis has none of its own but at the axis's end.
func figures(r *results.Results) []figure {
	var all []figure
	for _, active := range axes(r) {
		for _, s := range scaling {
			file := fmt.Sprintf("%s-%d-active.svg", s.file, active)
			all = append(all, figure{Chart: experiment.Chart{File: file, SVG: againstIdle(r, active, s.key, s.title)}})
		}
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		name := fileName(c)
		for _, of := range []experiment.Chart{
			{File: "cpu-" + name, SVG: bars(r, c, results.CPU, "Server CPU a request, µs")},
			{File: "throughput-" + name, SVG: bars(r, c, results.Rate, "Requests/s")},
			{File: "latency-" + name, SVG: latencies(c)},
		} {
			all = append(all, figure{of, c.Name})
		}
	}
	return all
}

// axes are the numbers of active connections for which there are several of idle ones.
func axes(r *results.Results) []int {
	counts := make(map[int]int)
	for i := range r.Cells {
		if c := &r.Cells[i]; onAxis(c) {
			counts[c.Active]++
		}
	}
	maps.DeleteFunc(counts, func(_, idle int) bool { return idle < 2 })
	return slices.Sorted(maps.Keys(counts))
}

// onAxis reports whether a cell differs from others by its idle connections.
func onAxis(c *results.Cell) bool { return c.Scenario == "idle" || c.Scenario == "quick" }

// againstIdle draws a metric against idle connections, a line each subject but the control.
func againstIdle(r *results.Results, active int, key, title string) string {
	var lines []chart.Line
	for n := range r.Subjects {
		if r.Subjects[n].Control {
			continue
		}
		line := chart.Line{Name: r.Subjects[n].Name}
		for i := range r.Cells {
			c := &r.Cells[i]
			f, ok := c.Rows[n].Figures[key]
			if onAxis(c) && c.Active == active && ok && c.Rows[n].Whole() && f.Median > 0 {
				line.Points = append(line.Points, chart.Point{X: float64(c.Idle), Y: f.Median})
			}
		}
		lines = append(lines, line)
	}
	note := fmt.Sprintf("%d active, 1 KiB; both axes logarithmic; rows that did not serve all are left out", active)
	return chart.Lines(title, note, "idle connections", lines)
}

// bars draws one metric of a cell.
func bars(r *results.Results, c *results.Cell, key, title string) string {
	var rows []chart.Row
	for i := range c.Rows {
		row := &c.Rows[i]
		f, ok := row.Figures[key]
		one := chart.Row{Name: row.Subject, Class: class(c, row, f)}
		if ok {
			one.Value, one.Low, one.High, one.Text = f.Median, f.Low, f.High, text.Number(f.Median)
			if f.Ratio != nil {
				one.Text += " (" + Ratio(f.Ratio.Median) + "×)"
			}
			if !row.Whole() {
				one.Text = text.Number(f.Median) + " (not all)"
			}
		}
		rows = append(rows, one)
	}
	confidence := percent(stats.ConfidenceOf(max(r.Setup.Rounds, 1)))
	return chart.Bars(title+" – "+c.Title(), describe(c)+"; medians, "+confidence+" intervals", rows)
}

// class colours a bar by what may be said of it.
func class(c *results.Cell, row *results.Row, f results.Figures) string {
	switch {
	case row == &c.Rows[0]:
		return "base"
	case f.Verdict == results.Better, f.Verdict == results.Worse, f.Verdict == results.Same:
		return string(f.Verdict)
	default:
		return "plain"
	}
}

func latencies(c *results.Cell) string {
	keys := []string{results.P50, results.P90, results.P99, results.P999}
	var rows []chart.Dots
	for i := range c.Rows {
		d := chart.Dots{Name: c.Rows[i].Subject}
		for _, key := range keys {
			d.Values = append(d.Values, c.Rows[i].Figures[key].Median)
		}
		rows = append(rows, d)
	}
	from := "from when a request was sent (closed loop)"
	if c.Rate > 0 {
		from = "from when a request was due (open loop)"
	}
	return chart.DotRows("Latency, µs – "+c.Title(), describe(c)+"; "+from+", logarithmic",
		[]string{"p50", "p90", "p99", "p99.9"}, rows)
}

// fileName is a cell's name as a part of a file's.
func fileName(c *results.Cell) string {
	name := c.Name
	if c.Name != c.Scenario {
		name = c.Scenario + "-" + c.Name
	}
	return strings.NewReplacer(", ", "-", " ", "-").Replace(name) + ".svg"
}
