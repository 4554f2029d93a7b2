package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// page is what the HTML report shows.
type page struct {
	Title, Command, When, How, Machine string
	Baseline                           string
	RoundsMin                          int     // of a verdict
	Noisy                              float64 // by how many per cent a control may differ, at most
	Style                              template.CSS
	Summary                            []string
	Lead                               []template.HTML // charts of several cells
	Cells                              []pageCell
	Absent                             []results.Absent
	Notes, Footer                      []string
	Facts                              []machine.Line
	Files                              []string
}

type pageCell struct {
	ID, Title, Load, Shows, Source string
	Remarks                        []string
	Head                           []pageText
	Rows                           []pageRow
	Charts                         []template.HTML
}

type pageRow struct {
	Class string
	Cells []pageText
}

// pageText is one figure, with its interval as what a pointer over it shows.
type pageText struct{ Text, Hint, Class string }

// writePage writes the report as one file that needs nothing else.
func writePage(w io.Writer, r *results.Results, charts []figure) error {
	p := page{
		Title:   "IO models compared",
		Command: cmp.Or(r.Command, "evhttpd bench"),
		When:    r.Began.Format("2006-01-02 15:04 MST"),
		How: fmt.Sprintf("medians of %d rounds of %v after %v of warm-up; %s; took %v", r.Setup.Rounds,
			r.Setup.Duration.Round(time.Millisecond),
			r.Setup.WarmUp.Round(time.Millisecond), pinned(&r.Setup), r.Took.Round(time.Second)),
		Machine: r.Machine.Short(), Summary: summary(r),
		Baseline: r.Subjects[0].Name, RoundsMin: stats.RoundsMin, Noisy: 100 * (stats.BandMax - 1),
		Style:  template.CSS(chart.Style + pageStyle),
		Absent: r.Absent, Notes: r.Notes, Footer: results.Footer(), Facts: r.Machine.Lines(),
		Files: []string{experiment.JSONFile, experiment.CSVFile, benchstatFile, experiment.TextFile},
	}
	for _, f := range charts {
		if f.cell == "" {
			p.Lead = append(p.Lead, template.HTML(f.SVG)) // made by chart, which escapes what is not its own
		}
	}
	for i := range r.Cells {
		p.Cells = append(p.Cells, cellOf(r, &r.Cells[i], i, charts))
	}
	return pageTemplate.Execute(w, p)
}

func cellOf(r *results.Results, c *results.Cell, n int, charts []figure) pageCell {
	cell := pageCell{ID: fmt.Sprintf("cell-%d", n), Title: c.Title(), Load: describe(c), Shows: c.Shows,
		Source: c.Source}
	for _, line := range []string{control(r, c), full(c)} {
		if line != "" {
			cell.Remarks = append(cell.Remarks, line)
		}
	}
	cols := columns(r, c)
	for _, col := range cols {
		head := pageText{Text: strings.TrimSpace(col.head[0] + " " + col.head[1])}
		if col.left {
			head.Class = "left"
		}
		cell.Head = append(cell.Head, head)
	}
	for i := range c.Rows {
		row := &c.Rows[i]
		line := pageRow{Class: class(c, row, row.Figures[results.CPU])}
		for _, col := range cols {
			one := pageText{Text: col.text(c, row)}
			if col.left {
				one.Class = "left"
			}
			line.Cells = append(line.Cells, one)
		}
		hint(line.Cells, cols, row)
		cell.Rows = append(cell.Rows, line)
	}
	for _, f := range charts {
		if f.cell == c.Name {
			cell.Charts = append(cell.Charts, template.HTML(f.SVG))
		}
	}
	return cell
}

// hint gives the figures their intervals.
func hint(cells []pageText, cols []column, row *results.Row) {
	for i, col := range cols {
		if f, ok := row.Figures[col.key]; ok {
			cells[i].Hint = fmt.Sprintf("%s, %s interval of %s", interval(f.Estimate), percent(f.Confidence),
				text.Count(f.N, "round"))
		}
	}
}

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))
