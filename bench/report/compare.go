package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// compared are the metrics of [WriteComparison], in its order.
var compared = []string{results.CPU, results.Rate, results.P50, results.P99, results.Memory, results.Calls}

// change is one metric of one subject under one load, before and after.
type change struct {
	cell, subject string
	metric        results.Metric
	before, after stats.Estimate
	test          stats.Comparison
	verdict       string // results.Better, Worse, Same
}

// percent is by how much it changed.
func (c *change) percent() float64 { return 100 * (c.after.Median/c.before.Median - 1) }

// WriteComparison says what became better or worse from one comparison to another: by the
// Mann-Whitney U test over the rounds, and only if it changed by more than the controls of
// both differ from their baselines.
func WriteComparison(w io.Writer, before, after *results.Results) error {
	var b strings.Builder
	for _, each := range []struct {
		name string
		of   *results.Results
	}{{"A", before}, {"B", after}} {
		text.Wrap(&b, fmt.Sprintf("%s: %s, %s", each.name, each.of.Began.Format("2006-01-02 15:04"),
			command(each.of)))
	}
	if d := before.Machine.Differences(&after.Machine); len(d) > 0 {
		text.Wrap(&b, fmt.Sprintf("The machines or programs differ in: %s.", strings.Join(d, ", ")))
	}
	if before.Setup.Duration != after.Setup.Duration || before.Setup.Loops != after.Setup.Loops {
		text.Wrap(&b, "They were measured in different ways (--duration or --loops): what differs may come from that.")
	}
	changes, lost := pair(before, after)
	if len(changes) == 0 {
		return fmt.Errorf("the two have no cell and model in common that could be compared")
	}
	differ, enough := 0, 0
	for i := range changes {
		if changes[i].verdict != results.Same {
			differ++
		}
		if changes[i].test.Enough {
			enough++
		}
	}
	writeChanges(&b, changes)
	b.WriteString("\n")
	switch {
	case enough == 0:
		text.Wrap(&b, fmt.Sprintf("Too few rounds to tell: a difference needs %d rounds on either side at least.",
			stats.RoundsMin))
	case differ == 0:
		text.Wrap(&b, fmt.Sprintf("No difference in %d figures.", len(changes)))
	default:
		text.Wrap(&b, fmt.Sprintf("%d of %d figures differ.", differ, len(changes)))
	}
	text.Wrap(&b, fmt.Sprintf("A difference has p < %.2f (Mann-Whitney U over the rounds) and is larger than what "+
		"either control differs from its baseline by. Machines change between two runs too: a change of all models "+
		"alike is the machine's.", stats.Alpha))
	for _, line := range lost {
		text.Wrap(&b, line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pair finds what is in both, and names what is not.
func pair(before, after *results.Results) (changes []change, lost []string) {
	for i := range before.Cells {
		a := &before.Cells[i]
		b := cellNamed(after, a)
		if b == nil {
			lost = append(lost, fmt.Sprintf("Only A has %s.", a.Title()))
			continue
		}
		for n := range a.Rows {
			row := &a.Rows[n]
			other := rowNamed(b, row.Subject)
			switch {
			case other == nil:
				lost = append(lost, fmt.Sprintf("%s: only A has %s.", a.Title(), row.Subject))
				continue
			case !row.Whole() || !other.Whole():
				lost = append(lost, fmt.Sprintf("%s: %s did not serve all its connections and is not compared.",
					a.Title(), row.Subject))
				continue
			}
			for _, key := range compared {
				if c, ok := changeOf(before, after, a, b, row, other, key); ok {
					changes = append(changes, c)
				}
			}
		}
	}
	for i := range after.Cells {
		if cellNamed(before, &after.Cells[i]) == nil {
			lost = append(lost, fmt.Sprintf("Only B has %s.", after.Cells[i].Title()))
		}
	}
	return changes, lost
}

func changeOf(before, after *results.Results, a, b *results.Cell, row, other *results.Row, key string) (change, bool) {
	m := results.MetricOf(key)
	mine, its := row.Values(key), other.Values(key)
	if len(mine) == 0 || len(its) == 0 {
		return change{}, false
	}
	c := change{cell: a.Title(), subject: row.Subject, metric: m, before: stats.Of(mine), after: stats.Of(its),
		test: stats.Compare(mine, its), verdict: results.Same}
	if c.before.Median <= 0 || c.after.Median <= 0 {
		return change{}, false
	}
	ratio := c.after.Median / c.before.Median
	band := max(a.Band(before.Subjects, key), b.Band(after.Subjects, key), 1)
	if c.test.Differs() && max(ratio, 1/ratio) > band {
		c.verdict = results.Worse
		if (ratio > 1) == m.More {
			c.verdict = results.Better
		}
	}
	return c, true
}

func cellNamed(r *results.Results, like *results.Cell) *results.Cell {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Name == like.Name && c.Scenario == like.Scenario {
			return c
		}
	}
	return nil
}

func rowNamed(c *results.Cell, subject string) *results.Row {
	for i := range c.Rows {
		if c.Rows[i].Subject == subject {
			return &c.Rows[i]
		}
	}
	return nil
}

// writeChanges writes a table for each subject of each cell.
func writeChanges(b *strings.Builder, changes []change) {
	var table text.Table
	cell, subject := "", ""
	for i := range changes {
		c := &changes[i]
		if c.cell != cell || c.subject != subject {
			table.Write(b)
			table = text.Table{Indent: 4, Head: [][]string{{"", "A", "B", "change", "p", ""}},
				Left: map[int]bool{5: true}}
			if c.cell != cell {
				b.WriteString("\n" + c.cell + "\n")
			}
			cell, subject = c.cell, c.subject
			b.WriteString("  " + subject + "\n")
		}
		verdict := verdicts[c.verdict]
		if !c.test.Enough {
			verdict = verdicts[results.Few]
		}
		p := fmt.Sprintf("%.3f", c.test.P)
		if math.IsNaN(c.test.P) {
			p = text.Unknown
		}
		table.Rows = append(table.Rows, []string{c.metric.Title + inParentheses(c.metric.Unit),
			text.Number(c.before.Median), text.Number(c.after.Median),
			fmt.Sprintf("%+.1f %%", c.percent()), p, verdict})
	}
	table.Write(b)
}

// inParentheses writes a unit behind a title that does not say it.
func inParentheses(unit string) string {
	if unit == "µs" || unit == "B" {
		return " (" + unit + ")"
	}
	return ""
}
