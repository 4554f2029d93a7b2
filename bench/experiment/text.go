package experiment

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// WriteText writes the tables, with what was published beneath what was measured, and the notes.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	text.Wrap(&b, r.Shows+" After "+r.Source)
	text.Wrap(&b, fmt.Sprintf("%s, %s; medians of %s of %v; took %v.", r.Command, r.Machine.Short(),
		text.Count(r.Rounds, "round"), r.Duration.Round(time.Millisecond), r.Took.Round(time.Second)))
	b.WriteString("\n")
	for _, t := range r.tables() {
		text.Wrap(&b, t.Title)
		(&text.Table{Head: [][]string{t.Head}, Rows: t.Rows}).Write(&b)
		b.WriteString("\n")
	}
	for _, note := range r.Notes {
		text.Wrap(&b, note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tables are those of the grids, and the experiment's own.
func (r *Result) tables() (all []Table) {
	for _, g := range r.Grids {
		if g.Wide {
			all = append(all, g.summary())
		}
		for _, m := range g.Metrics {
			if !g.Wide {
				all = append(all, g.medians(m))
			}
			if !m.Unpaired {
				all = append(all, g.ratios(m))
			}
		}
	}
	return append(all, r.Tables...)
}

// Table has a row for each subject from one on, with what is to be said of it at each point; "" for nothing.
func (g *Grid) Table(title string, from int, figure func(point, subject int) string) Table {
	t := Table{Title: title, Head: []string{""}}
	for _, p := range g.Points {
		t.Head = append(t.Head, p.Name)
	}
	for i := from; i < len(g.Subjects); i++ {
		t.add(g.Subjects[i].Name, len(g.Points), func(p int) string { return figure(p, i) })
	}
	return t
}

// add adds a row of so many figures.
func (t *Table) add(name string, count int, figure func(i int) string) {
	row := []string{name}
	for i := range count {
		of := figure(i)
		if of == "" {
			of = text.Unknown
		}
		row = append(row, of)
	}
	t.Rows = append(t.Rows, row)
}

// median of a metric; "" where there is none.
func (g *Grid) median(point, subject int, metric string) string {
	if f, ok := g.Figure(point, subject, metric); ok {
		return text.Number(f.Median)
	}
	return ""
}

// summary has the medians of all metrics at a grid's only point.
func (g *Grid) summary() Table {
	t := Table{Title: g.Title, Head: []string{""}}
	for _, m := range g.Metrics {
		t.Head = append(t.Head, m.Name)
	}
	for i, s := range g.Subjects {
		t.add(s.Name, len(g.Metrics), func(m int) string { return g.median(0, i, g.Metrics[m].Key) })
	}
	return t
}

// medians of one metric, with what was published of a subject beneath its own.
func (g *Grid) medians(m Metric) Table {
	all := g.Table(fmt.Sprintf("%s, %s, by %s", g.Title, m.Name, g.Axis), 0, func(point, subject int) string {
		return g.median(point, subject, m.Key)
	})
	rows := all.Rows
	all.Rows = nil
	for _, row := range rows {
		all.Rows = append(all.Rows, row)
		for _, o := range g.Originals {
			if o.Subject != row[0] || o.Metric != m.Key {
				continue
			}
			all.add("  "+o.Name, len(o.Values), func(i int) string {
				if o.Values[i] == 0 {
					return ""
				}
				return text.Number(o.Values[i])
			})
		}
	}
	return all
}

// ratios of a metric to the first subject's: the median, the interval and a mark where it is no difference.
func (g *Grid) ratios(m Metric) Table {
	title := fmt.Sprintf("× %s of the same round [interval of %s]; =: no difference, ?: too noisy or too few rounds "+
		"to say", g.Subjects[0].Name, g.confidence())
	if g.Wide {
		title = m.Name + " " + title
	}
	marks := map[stats.Verdict]string{stats.Same: "= ", stats.Few: "? ", stats.Noisy: "? "}
	return g.Table(title, 1, func(point, subject int) string {
		f, ok := g.Figure(point, subject, m.Key)
		if !ok || f.Ratio == nil {
			return ""
		}
		return fmt.Sprintf("%s%s [%s %s]", marks[f.Verdict], text.Number(f.Ratio.Median), text.Number(f.Ratio.Low),
			text.Number(f.Ratio.High))
	})
}

// confidence is what the intervals have with so many rounds.
func (g *Grid) confidence() string {
	rounds := 1
	for _, s := range g.Samples {
		rounds = max(rounds, s.Round)
	}
	return fmt.Sprintf("%.0f %%", 100*stats.ConfidenceOf(rounds))
}
