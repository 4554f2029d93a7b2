package classic

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// unknown stands for a figure that cannot be had.
const unknown = "–"

// WriteText writes the tables, with what was published beneath what was measured, and the notes.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	text.Wrap(&b, r.Shows+" After "+r.Source)
	text.Wrap(&b, fmt.Sprintf("%s, %s; medians of %s of %v; took %v.", r.Command, r.Machine.Short(), text.Count(r.Rounds, "round"),
		r.Duration.Round(time.Millisecond), r.Took.Round(time.Second)))
	b.WriteString("\n")
	for _, g := range r.Grids {
		for _, m := range g.Metrics {
			g.table(m).write(&b)
			if !m.Alone {
				g.ratios(m).write(&b)
			}
		}
	}
	for _, t := range r.Tables {
		t.write(&b)
	}
	for _, note := range r.Notes {
		text.Wrap(&b, note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table is a metric's medians, a row each subject and published one.
func (g *Grid) table(m Metric) Table {
	t := Table{Title: fmt.Sprintf("%s, %s, by %s", g.Title, m.Name, g.Axis), Head: []string{""}}
	for _, p := range g.Points {
		t.Head = append(t.Head, p.Name)
	}
	for i, s := range g.Subjects {
		row := []string{s.Name}
		for p := range g.Points {
			figure := unknown
			if f, ok := g.Figure(p, i, m.Key); ok {
				figure = Number(f.Median)
			}
			row = append(row, figure)
		}
		t.Rows = append(t.Rows, row)
		for _, o := range g.Originals {
			if o.Subject == s.Name && o.Metric == m.Key {
				t.Rows = append(t.Rows, o.row())
			}
		}
	}
	return t
}

func (o *Original) row() []string {
	row := []string{"  " + o.Name}
	for _, v := range o.Values {
		if v == 0 {
			row = append(row, unknown)
		} else {
			row = append(row, Number(v))
		}
	}
	return row
}

// ratios is a metric beside the first subject's: the median, and the interval where it is a difference.
func (g *Grid) ratios(m Metric) Table {
	t := Table{Title: fmt.Sprintf("× %s of the same round [interval of %s]; =: no difference, ?: too noisy or too few rounds to say", g.Subjects[0].Name, g.confidence()), Head: []string{""}}
	for _, p := range g.Points {
		t.Head = append(t.Head, p.Name)
	}
	for i, s := range g.Subjects {
		if i == 0 {
			continue
		}
		row := []string{s.Name}
		for p := range g.Points {
			figure := unknown
			if f, ok := g.Figure(p, i, m.Key); ok && f.Ratio != nil {
				figure = fmt.Sprintf("%s [%s %s]", Number(f.Ratio.Median), Number(f.Ratio.Low), Number(f.Ratio.High))
				switch f.Verdict {
				case stats.Same:
					figure = "= " + figure
				case stats.Few, stats.Noisy:
					figure = "? " + figure
				}
			}
			row = append(row, figure)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// confidence is what the intervals have with so many rounds.
func (g *Grid) confidence() string {
	rounds := 1
	for _, s := range g.Samples {
		rounds = max(rounds, s.Round)
	}
	return fmt.Sprintf("%.0f %%", 100*stats.Of(make([]float64, rounds)).Confidence)
}

func (t Table) write(b *strings.Builder) {
	text.Wrap(b, t.Title)
	(&text.Table{Head: [][]string{t.Head}, Rows: t.Rows}).Write(b)
	b.WriteString("\n")
}

// Number writes a value with three significant digits, and thousands as people do.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return text.Thousands(int(math.Round(v)))
	case a >= 100 || a == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		digits := 2 - int(math.Floor(math.Log10(a)))
		return fmt.Sprintf("%.*f", min(digits, 9), v)
	}
}
