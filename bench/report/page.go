package report

import (
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/results"
)

// page is what the HTML report shows.
type page struct {
	Title, Command, When, How, Machine string
	Style                              template.CSS
	Lead                               []template.HTML // charts of several cells
	Cells                              []pageCell
	Absent                             []results.Absent
	Notes, Footer                      []string
	Facts                              []machine.Line
	Files                              []string
}

type pageCell struct {
	ID, Title, Load, Shows, Source, Control string
	Head                                    []string
	Rows                                    []pageRow
	Charts                                  []template.HTML
}

type pageRow struct {
	Class string
	Cells []pageText
}

// pageText is one figure, with its interval as what a pointer over it shows.
type pageText struct{ Text, Hint, Class string }

// writePage writes the report as one file that needs nothing else.
func writePage(w io.Writer, r *results.Results, charts []Chart) error {
	p := page{
		Title:   "IO models compared",
		Command: orElse(r.Command, "evhttpd bench"),
		When:    r.Began.Format("2006-01-02 15:04 MST"),
		How: fmt.Sprintf("medians of %d rounds of %v after %v of warm-up; %s; took %v", r.Setup.Rounds, r.Setup.Duration.Round(time.Millisecond),
			r.Setup.WarmUp.Round(time.Millisecond), pinned(&r.Setup), r.Took.Round(time.Second)),
		Machine: r.Machine.Short(),
		Style:   template.CSS(chart.Style + pageStyle),
		Absent:  r.Absent, Notes: r.Notes, Footer: results.Footer(), Facts: r.Machine.Lines(),
		Files: []string{jsonFile, csvFile, benchstatFile, textFile},
	}
	for _, f := range charts {
		if f.Cell == "" {
			p.Lead = append(p.Lead, template.HTML(f.SVG)) // made by chart, which escapes what is not its own
		}
	}
	for i := range r.Cells {
		p.Cells = append(p.Cells, cellOf(r, &r.Cells[i], i, charts))
	}
	return pageTemplate.Execute(w, p)
}

func cellOf(r *results.Results, c *results.Cell, n int, charts []Chart) pageCell {
	cell := pageCell{ID: fmt.Sprintf("cell-%d", n), Title: c.Title(), Load: describe(c), Shows: c.Shows, Source: c.Source, Control: control(r, c)}
	cols := columns(r)
	for _, col := range cols {
		head := col.head[0]
		if unit := col.head[1]; unit != "" {
			head += " " + unit
		}
		cell.Head = append(cell.Head, head)
	}
	for i := range c.Rows {
		row := &c.Rows[i]
		line := pageRow{Class: class(c, row, row.Figures[results.CPU])}
		for _, col := range cols {
			text := pageText{Text: col.text(c, row)}
			if col.left {
				text.Class = "left"
			}
			line.Cells = append(line.Cells, text)
		}
		hint(line.Cells, cols, row)
		cell.Rows = append(cell.Rows, line)
	}
	for _, f := range charts {
		if f.Cell == c.Name {
			cell.Charts = append(cell.Charts, template.HTML(f.SVG))
		}
	}
	return cell
}

// hint gives the figures their intervals.
func hint(cells []pageText, cols []column, row *results.Row) {
	keys := map[string]string{"CPU/req": results.CPU, "req/s": results.Rate, "p50": results.P50, "p99": results.P99, "p99.9": results.P999,
		"mem/conn": results.Memory, "calls": results.Calls, "ctx sw": results.Switches, "wrk": results.Wrk}
	for i, col := range cols {
		if f, ok := row.Figures[keys[col.head[0]]]; ok {
			cells[i].Hint = fmt.Sprintf("%s, %.0f %% interval of %d rounds", interval(f.Estimate), 100*f.Confidence, f.N)
		}
	}
}

const pageStyle = `
:root{color-scheme:light dark;--bg:#fff;--ink:#1f2328;--soft:#59636e;--rule:#d8dee4;--card:#f6f8fa;--better:#1a7f4b;--worse:#c2410c}
@media (prefers-color-scheme:dark){:root{--bg:#15191f;--ink:#e6edf3;--soft:#9da7b3;--rule:#30363d;--card:#1c2128;--better:#4cc38a;--worse:#f08c4a}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1280px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:44px 0 4px;padding-top:14px;border-top:1px solid var(--rule)}
p{margin:6px 0}.soft{color:var(--soft)}code{font:13px ui-monospace,SFMono-Regular,Menlo,monospace;background:var(--card);padding:1px 5px;border-radius:4px;overflow-wrap:anywhere}
nav{margin:14px 0;columns:3 260px;font-size:14px}nav a{display:block;color:inherit}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;margin:10px 0;min-width:60%}
th,td{padding:3px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}th{font-weight:600;color:var(--soft)}
th:first-child,td.left{text-align:left}
tr.base td{font-weight:600}tr.better td:last-child{color:var(--better)}tr.worse td:last-child{color:var(--worse)}tr.same td:last-child{color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));gap:14px;margin:12px 0}
.charts svg{width:100%;height:auto;border:1px solid var(--rule);border-radius:6px;display:block}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 16px;font-size:13.5px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
ul{padding-left:20px}
.key span{display:inline-block;width:11px;height:11px;border-radius:2px;margin:0 5px 0 14px;vertical-align:-1px}
.key .b{background:#57606a}.key .s{background:#9aa4af}.key .g{background:var(--better)}.key .w{background:var(--worse)}
@media print{nav{display:none}h2{break-after:avoid}svg,table{break-inside:avoid}}
`

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{{.Title}}: {{.When}}</title><style>{{.Style}}</style></head><body><main>
<h1>{{.Title}}</h1>
<p>{{.When}} · {{.Machine}}</p>
<p><code>{{.Command}}</code></p>
<p class="soft">{{.How}}</p>
<p class="key soft">Bars:<span class="b"></span>baseline<span class="s"></span>no difference larger than the control's<span class="g"></span>better<span class="w"></span>worse. Lines on bars are confidence intervals; ratios are taken within a round.</p>
<nav>{{range .Cells}}<a href="#{{.ID}}">{{.Title}}</a>{{end}}<a href="#notes">Notes and limits</a><a href="#machine">The machine</a></nav>
{{if .Lead}}<div class="charts">{{range .Lead}}{{.}}{{end}}</div>{{end}}
{{range .Cells}}<section><h2 id="{{.ID}}">{{.Title}}</h2>
<p>{{.Load}}. {{.Shows}}</p><p class="soft">Measured before by: {{.Source}}</p>
<div class="scroll"><table><thead><tr>{{range .Head}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr class="{{.Class}}">{{range .Cells}}<td{{if .Class}} class="{{.Class}}"{{end}}{{if .Hint}} title="{{.Hint}}"{{end}}>{{.Text}}</td>{{end}}</tr>
{{end}}</tbody></table></div>
{{if .Control}}<p class="soft">{{.Control}}</p>{{end}}
<div class="charts">{{range .Charts}}{{.}}{{end}}</div></section>
{{end}}
<h2 id="notes">Notes and limits</h2><ul>{{range .Absent}}<li>{{.Name}} is not available here: {{.Reason}}</li>{{end}}{{range .Notes}}<li>{{.}}</li>{{end}}{{range .Footer}}<li>{{.}}</li>{{end}}</ul>
<p class="soft">Raw results beside this page: {{range $i, $f := .Files}}{{if $i}}, {{end}}<a href="{{$f}}">{{$f}}</a>{{end}}.</p>
<h2 id="machine">The machine</h2><dl>{{range .Facts}}<dt>{{.Name}}</dt><dd>{{.Value}}</dd>{{end}}</dl>
</main></body></html>
`))
