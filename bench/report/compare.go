package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// compared are the metrics of [WriteComparison], in its order.
var compared = []string{results.CPU, results.Rate, results.P50, results.P99, results.Memory, results.Calls}

// change is a comparison of two comparisons at work.
type change struct {
	before, after *results.Results
	text          strings.Builder
	lost          []string // what only one of them has, in sentences
	figures       int      // that are compared
	differ        int      // of them, those that became better or worse
	enough        int      // of them, those with enough rounds to tell
}

// WriteComparison says what became better or worse from one comparison to another: by the
// Mann-Whitney U test over the rounds, and only if it changed by more than the controls of
// both differ from their baselines.
func WriteComparison(w io.Writer, before, after *results.Results) error {
	c := &change{before: before, after: after}
	for name, r := range []*results.Results{before, after} {
		text.Wrap(&c.text, fmt.Sprintf("%c: %s, %s", 'A'+name, r.Began.Format("2006-01-02 15:04"), command(r)))
	}
	if d := before.Machine.Differences(&after.Machine); len(d) > 0 {
		text.Wrap(&c.text, fmt.Sprintf("The machines or programs differ in: %s.", strings.Join(d, ", ")))
	}
	if before.Setup.Duration != after.Setup.Duration || before.Setup.Loops != after.Setup.Loops {
		text.Wrap(&c.text, "They were measured in different ways (--duration or --loops): what differs may come from "+
			"that.")
	}
	c.compare()
	c.text.WriteString("\n")
	switch {
	case c.figures == 0:
		return errors.New("the two have no cell and model in common that could be compared")
	case c.enough == 0:
		text.Wrap(&c.text, fmt.Sprintf("Too few rounds to tell: a difference needs %d rounds on either side at least.",
			stats.RoundsMin))
	case c.differ == 0:
		text.Wrap(&c.text, fmt.Sprintf("No difference in %d figures.", c.figures))
	default:
		text.Wrap(&c.text, fmt.Sprintf("%d of %d figures differ.", c.differ, c.figures))
	}
	text.Wrap(&c.text, fmt.Sprintf("A difference has p < %.2f (Mann-Whitney U over the rounds) and is larger than "+
		"what either control differs from its baseline by. Machines change between two runs too: a change of all "+
		"models alike is the machine's.", stats.Alpha))
	for _, line := range c.lost {
		text.Wrap(&c.text, line)
	}
	_, err := io.WriteString(w, c.text.String())
	return err
}

// compare writes what is in both, a table for each subject of each cell, and names what is not.
func (c *change) compare() {
	for i := range c.before.Cells {
		a := &c.before.Cells[i]
		b := cellNamed(c.after, a)
		if b == nil {
			c.lost = append(c.lost, fmt.Sprintf("Only A has %s.", a.Title()))
			continue
		}
		title := "\n" + a.Title() + "\n"
		for n := range a.Rows {
			row := &a.Rows[n]
			other := rowNamed(b, row.Subject)
			switch {
			case other == nil:
				c.lost = append(c.lost, fmt.Sprintf("%s: only A has %s.", a.Title(), row.Subject))
				continue
			case !row.Whole() || !other.Whole():
				c.lost = append(c.lost, fmt.Sprintf("%s: %s did not serve all its connections and is not compared.",
					a.Title(), row.Subject))
				continue
			}
			table := text.Table{Indent: 4, Head: [][]string{{"", "A", "B", "change", "p", ""}},
				Left: map[int]bool{5: true}}
			for _, key := range compared {
				band := max(a.Band(c.before.Subjects, key), b.Band(c.after.Subjects, key), 1)
				if line := c.line(row, other, results.MetricOf(key), band); line != nil {
					table.Rows = append(table.Rows, line)
				}
			}
			if len(table.Rows) > 0 {
				c.text.WriteString(title + "  " + row.Subject + "\n")
				table.Write(&c.text)
				title = ""
			}
		}
	}
	for i := range c.after.Cells {
		if cellNamed(c.before, &c.after.Cells[i]) == nil {
			c.lost = append(c.lost, fmt.Sprintf("Only B has %s.", c.after.Cells[i].Title()))
		}
	}
}

// line compares one metric of a row, which must differ by more than band; nil: one of the two does not have it.
func (c *change) line(row, other *results.Row, m results.Metric, band float64) []string {
	mine, its := row.Values(m.Key), other.Values(m.Key)
	if len(mine) == 0 || len(its) == 0 {
		return nil
	}
	before, after, test := stats.Of(mine).Median, stats.Of(its).Median, stats.Compare(mine, its)
	if before <= 0 || after <= 0 {
		return nil
	}
	c.figures++
	verdict := results.Few
	if test.Enough {
		c.enough++
		verdict = results.Same
	}
	if ratio := after / before; test.Differs() && max(ratio, 1/ratio) > band {
		c.differ++
		verdict = results.Worse
		if (ratio > 1) == (m.Better == stats.More) {
			verdict = results.Better
		}
	}
	p := text.Unknown
	if !math.IsNaN(test.P) {
		p = fmt.Sprintf("%.3f", test.P)
	}
	return []string{m.Title + inParentheses(m.Unit), text.Number(before), text.Number(after),
		fmt.Sprintf("%+.1f %%", 100*(after/before-1)), p, verdicts[verdict]}
}

func cellNamed(r *results.Results, like *results.Cell) *results.Cell {
	i := slices.IndexFunc(r.Cells, func(c results.Cell) bool {
		return c.Name == like.Name && c.Scenario == like.Scenario
	})
	if i < 0 {
		return nil
	}
	return &r.Cells[i]
}

func rowNamed(c *results.Cell, subject string) *results.Row {
	i := slices.IndexFunc(c.Rows, func(r results.Row) bool { return r.Subject == subject })
	if i < 0 {
		return nil
	}
	return &c.Rows[i]
}

// inParentheses writes a unit behind a title that does not say it.
func inParentheses(unit string) string {
	if unit == "µs" || unit == "B" {
		return " (" + unit + ")"
	}
	return ""
}
