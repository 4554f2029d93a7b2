package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	plain "text/template"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// page is what the HTML report shows.
type page struct {
	*results.Results
	figures []figure
}

// writePage writes the report as one file that needs nothing else.
func writePage(w io.Writer, r *results.Results, charts []figure) error {
	return pageTemplate.Execute(w, page{r, charts})
}

// Charts are those of a cell, or of several where it has no name.
func (p page) Charts(cell string) (all []template.HTML) {
	for _, f := range p.figures {
		if f.cell == cell {
			all = append(all, template.HTML(f.SVG)) // made by chart, which escapes what is not its own
		}
	}
	return all
}

// Hint is the interval of a figure, which a pointer over it shows.
func (c column) Hint(row *results.Row) string {
	f, ok := row.Figures[c.key]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s [%s, %s], %s interval of %s", text.Number(f.Median), text.Number(f.Low), text.Number(f.High),
		percent(f.Confidence), text.Count(f.N, "round"))
}

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageSource string

//go:embed table.txt
var tableSource string

//go:embed footer.txt
var footer string

// functions are those of both templates.
var functions = map[string]any{
	"style": func() template.CSS { return template.CSS(chart.Style + pageStyle) }, "command": command,
	"summary": summary, "describe": describe, "remarks": remarks, "columns": columns, "table": table, "pinned": pinned,
	"rounds": func(r *results.Results) string {
		return fmt.Sprintf("%s of %v", text.Count(r.Setup.Rounds, "round"), r.Setup.Duration.Round(time.Millisecond))
	},
	"footer": func() []string {
		return strings.Split(strings.NewReplacer("\n\n", "\n", "\n", " ").Replace(strings.TrimSpace(footer)), "\n")
	},
	"class":     func(c *results.Cell, row *results.Row) string { return class(c, row, row.Figures[results.CPU]) },
	"roundsMin": func() int { return stats.RoundsMin },
	"noisy":     func() float64 { return 100 * (stats.BandMax - 1) },
	"files":     func() []string { return resultFiles },
}

var (
	pageTemplate  = template.Must(template.New("page").Funcs(functions).Parse(pageSource))
	tableTemplate = plain.Must(plain.New("table").Funcs(functions).Parse(tableSource))
)
