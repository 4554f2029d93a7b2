package report

import (
	"cmp"
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
	Style                              template.CSS
	Summary                            []string
	Lead                               []template.HTML // charts of several cells
	Glossary                           []term
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
		How: fmt.Sprintf("medians of %d rounds of %v after %v of warm-up; %s; took %v", r.Setup.Rounds, r.Setup.Duration.Round(time.Millisecond),
			r.Setup.WarmUp.Round(time.Millisecond), pinned(&r.Setup), r.Took.Round(time.Second)),
		Machine: r.Machine.Short(), Summary: summary(r), Glossary: glossary(r),
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
	cell := pageCell{ID: fmt.Sprintf("cell-%d", n), Title: c.Title(), Load: describe(c), Shows: c.Shows, Source: c.Source}
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
			cells[i].Hint = fmt.Sprintf("%s, %s interval of %s", interval(f.Estimate), percent(f.Confidence), text.Count(f.N, "round"))
		}
	}
}

// term is a word of the report and what it means.
type term struct{ Name, Means string }

// glossary explains every word that the report has.
func glossary(r *results.Results) []term {
	base := r.Subjects[0].Name
	return []term{
		{"CPU/req", "CPU time of the server a request, all of its threads, in microseconds: its own clock at both ends of a measurement, by the requests answered between. Less is better."},
		{"(1.06×)", "CPU/req by that of " + base + " in the same round, the median over the rounds: a machine that becomes slower in between changes figures and no ratios."},
		{"interval", "Where the true median of × lies, with the confidence that the column's head says. It assumes nothing of how the values are distributed."},
		{"baseline, control", "What all others are compared with, and the same once more. What these two differ by is the least that is called a difference."},
		{verdicts[results.Better] + ", " + verdicts[results.Worse], "The interval of × lies on one side of 1, and its median differs by more than the control's."},
		{verdicts[results.Same], "It does not. That does not say that the two are equal."},
		{verdicts[results.Few] + ", " + verdicts[results.Noisy], fmt.Sprintf("Nothing can be said: there were fewer than %d rounds, or the control differs from the baseline by more than %.0f %%, "+
			"or in some round there was not one answer.", stats.RoundsMin, 100*(stats.BandMax-1))},
		{"req/s", "Right answers a second. In a closed loop a client sends its next request when it has its answer, so the client may be the limit."},
		{"p50, p99, p99.9", "Half, 99 % and 99.9 % of the answers came within this time. In an open loop it counts from when a request was due, not from when it was sent."},
		{"mem/conn", "What the server's resident memory grew by, by the connections; with 500 connections or more."},
		{"calls /req", "System calls of the IO model a request, by the server's own count."},
		{"ctx sw /req", "Context switches of the server a request, of both kinds."},
		{"n of m served", "Some connections got no answer: the row stands for itself and is not compared."},
		{text.Unknown, "It cannot be had."},
	}
}

const pageStyle = `
:root{--card:#f6f8fa}
@media (prefers-color-scheme:dark){:root{--card:#1c2128}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1280px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:44px 0 4px;padding-top:14px;border-top:1px solid var(--grid)}
p{margin:6px 0}.soft{color:var(--soft)}code{font:13px ui-monospace,SFMono-Regular,Menlo,monospace;background:var(--card);padding:1px 5px;border-radius:4px;overflow-wrap:anywhere}
nav{margin:14px 0;columns:3 260px;font-size:14px}nav a{display:block;color:inherit}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;margin:10px 0;min-width:60%}
th,td{padding:3px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--grid)}th{font-weight:600;color:var(--soft)}
th.left,td.left{text-align:left}
th:first-child,td:first-child{position:sticky;left:0;background:var(--bg)}
tr.base td{font-weight:600}tr.better td:nth-child(3){color:var(--better)}tr.worse td:nth-child(3){color:var(--worse)}tr.same td:nth-child(3),tr.few td:nth-child(3),tr.noisy td:nth-child(3){color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));gap:14px;margin:12px 0}
.charts svg{width:100%;height:auto;border:1px solid var(--grid);border-radius:6px;display:block}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 16px;font-size:13.5px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
ul{padding-left:20px}
.key span{display:inline-block;width:11px;height:11px;border-radius:2px;margin:0 5px 0 14px;vertical-align:-1px}
.key .base{background:var(--base)}.key .same{background:var(--same)}.key .better{background:var(--better)}.key .worse{background:var(--worse)}.key .plain{background:var(--plain)}
.lead p{font-size:17px;margin:10px 0}
@media (max-width:640px){main{padding:16px 12px 40px}h1{font-size:22px}nav{columns:1}.charts svg{min-width:560px}.charts>div{overflow-x:auto}dl{display:block}dd{margin:0 0 8px}}
@media print{nav{display:none}h2{break-after:avoid}svg,table{break-inside:avoid}}
`

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{{.Title}}: {{.When}}</title><style>{{.Style}}</style></head><body><main>
<h1>{{.Title}}</h1>
<p>{{.When}} · {{.Machine}}</p>
<p><code>{{.Command}}</code></p>
<p class="soft">{{.How}}</p>
<div class="lead">{{range .Summary}}<p>{{.}}</p>{{end}}</div>
<p class="key soft">Bars:<span class="base"></span>baseline<span class="same"></span>no difference<span class="better"></span>better<span class="worse"></span>worse<span class="plain"></span>not compared, or too noisy to say. Lines on bars are intervals; an arrow says that one goes on.</p>
<nav>{{range .Cells}}<a href="#{{.ID}}">{{.Title}}</a>{{end}}<a href="#glossary">What the words mean</a><a href="#notes">Notes and limits</a><a href="#machine">The machine</a></nav>
{{if .Lead}}<div class="charts">{{range .Lead}}<div>{{.}}</div>{{end}}</div>{{end}}
{{range .Cells}}<section><h2 id="{{.ID}}">{{.Title}}</h2>
<p>{{.Load}}. {{.Shows}}</p><p class="soft">Measured before by: {{.Source}}</p>
<div class="scroll"><table><thead><tr>{{range .Head}}<th{{if .Class}} class="{{.Class}}"{{end}}>{{.Text}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr class="{{.Class}}">{{range .Cells}}<td{{if .Class}} class="{{.Class}}"{{end}}{{if .Hint}} title="{{.Hint}}"{{end}}>{{.Text}}</td>{{end}}</tr>
{{end}}</tbody></table></div>
{{range .Remarks}}<p class="soft">{{.}}</p>
{{end}}<div class="charts">{{range .Charts}}<div>{{.}}</div>{{end}}</div></section>
{{end}}
<h2 id="glossary">What the words mean</h2><dl>{{range .Glossary}}<dt>{{.Name}}</dt><dd>{{.Means}}</dd>{{end}}</dl>
<h2 id="notes">Notes and limits</h2><ul>{{range .Absent}}<li>{{.Name}} is not available here: {{.Reason}}</li>{{end}}{{range .Notes}}<li>{{.}}</li>{{end}}{{range .Footer}}<li>{{.}}</li>{{end}}</ul>
<p class="soft">Raw results beside this page: {{range $i, $f := .Files}}{{if $i}}, {{end}}<a href="{{$f}}">{{$f}}</a>{{end}}.</p>
<h2 id="machine">The machine</h2><dl>{{range .Facts}}<dt>{{.Name}}</dt><dd>{{.Value}}</dd>{{end}}</dl>
</main></body></html>
`))
