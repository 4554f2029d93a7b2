package classic

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/bench/stats"
)

const (
	// unknown stands for a figure that cannot be had.
	unknown = "–"
	// lineWidth is what sentences are broken at, in columns.
	lineWidth = 100
)

// WriteText writes the tables, with what was published beneath what was measured, and the notes.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	wrap(&b, r.Shows+" After "+r.Source)
	fmt.Fprintf(&b, "%s, %s; medians of %s of %v; took %v.\n\n", r.Command, r.Machine.Short(), plural(r.Rounds, "round"),
		r.Duration.Round(time.Millisecond), r.Took.Round(time.Second))
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
		wrap(&b, note)
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
			text := unknown
			if f, ok := g.Figure(p, i, m.Key); ok {
				text = Number(f.Median)
			}
			row = append(row, text)
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
			text := unknown
			if f, ok := g.Figure(p, i, m.Key); ok && f.Ratio != nil {
				text = fmt.Sprintf("%s [%s %s]", Number(f.Ratio.Median), Number(f.Ratio.Low), Number(f.Ratio.High))
				switch f.Verdict {
				case stats.Same:
					text = "= " + text
				case stats.Few, stats.Noisy:
					text = "? " + text
				}
			}
			row = append(row, text)
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
	wide := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, text := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(text))
		}
	}
	wrap(b, t.Title)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		var line strings.Builder
		for i, text := range row {
			pad := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(text))
			if i == 0 {
				line.WriteString(text + pad)
			} else {
				line.WriteString("  " + pad + text)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	b.WriteString("\n")
}

// wrap writes a sentence in lines.
func wrap(b *strings.Builder, text string) {
	column := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column > 0 && column+1+n > lineWidth:
			b.WriteString("\n")
			column = 0
		case column > 0:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteString("\n")
}

// Number writes a value with three significant digits, and thousands as people do.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return thousands(int(math.Round(v)))
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

func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
