package faults_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/test/faults"
)

// reliability is the page that has the tables, between these marks.
const (
	reliability = "../../docs/reliability.md"
	tablesBegin = "<!-- made by make faults: begin -->\n"
	tablesEnd   = "<!-- made by make faults: end -->\n"
)

// writeTables puts what a whole run has shown into the page.
func (r *results) writeTables() error {
	text, err := os.ReadFile(reliability)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tablesBegin)
	_, after, ok2 := strings.Cut(rest, tablesEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks for the tables", reliability)
	}
	made := before + tablesBegin + r.serving() + r.changing() + exceptions() + tablesEnd + after
	return os.WriteFile(reliability, []byte(made), 0o644)
}

// complete reports whether all of the matrix was run.
func (r *results) complete() bool {
	whens := make(map[string]bool)
	for _, c := range r.changes {
		whens[c.when] = true
	}
	models := make(map[variant]bool)
	for _, c := range r.rows {
		models[c.v] = true
	}
	return whole() && len(models) == len(variants) && len(whens) == 3 && os.Getenv(rowEnv) == ""
}

// sum is what cells have shown together.
type sum struct {
	cells, answers int64
	hits           uint64
	models         map[string]bool
	recovery       time.Duration
}

func (s *sum) add(r *result) {
	if s.models == nil {
		s.models = make(map[string]bool)
	}
	s.cells++
	s.hits += r.o.hits
	s.answers += r.o.answers
	s.models[r.v.Model] = true
	s.recovery = max(s.recovery, r.o.recovery)
}

// serving is the table of calls that fail while clients are served.
func (r *results) serving() string {
	var b strings.Builder
	b.WriteString("\nWhile clients are served:\n\n" +
		"| call | of | fails with | what is said | models | cells | calls failed | answers checked | " +
		"right again after |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	var all sum
	for i := range rows {
		row := &rows[i]
		var s sum
		for j := range r.rows {
			if r.rows[j].c.row == row {
				s.add(&r.rows[j])
				all.add(&r.rows[j])
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d | %d | %d | %d ms |\n", row.name, kinds(row.on), row.fails(),
			row.says(), modelsOf(s.models), s.cells, s.hits, s.answers, s.recovery.Milliseconds())
	}
	fmt.Fprintf(&b, "\nTogether %d cells, %d calls that failed, %d answers checked and none wrong, right again after "+
		"%d ms at most.\n", all.cells, all.hits, all.answers, all.recovery.Milliseconds())
	return b.String()
}

func kinds(all []faults.Kind) string {
	var words []string
	for _, k := range all {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

// fails are the errors of a row, and which of the calls have them.
func (r *row) fails() string {
	var what []string
	switch r.way {
	case faults.Short:
		what = []string{"half the bytes"}
	case faults.Delay:
		what = []string{delay.String() + " late"}
	}
	for _, e := range r.errnos {
		what = append(what, unix.ErrnoName(e))
	}
	var modes []string
	for _, m := range r.modes {
		modes = append(modes, m.name)
	}
	return strings.Join(what, " ") + "; " + strings.Join(modes, ", ")
}

// says is what an operator learns of it.
func (r *row) says() string {
	switch {
	case r.deaf:
		return r.said + "; `/readyz` 503"
	case r.counted != "":
		return "counted: " + r.counted
	}
	return strings.ReplaceAll(r.said, "|", " or ")
}

// modelsOf are the models' names, or their number if there are many.
func modelsOf(models map[string]bool) string {
	var names []string
	for name := range models {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 4 {
		return fmt.Sprint(len(names))
	}
	return strings.Join(names, " ")
}

// changing is the table of calls that fail while the server changes.
func (r *results) changing() string {
	var b strings.Builder
	b.WriteString("\nWhile the server starts, changes its IO model by a reload, or is upgraded, all calls, and each " +
		"by itself:\n\n" +
		"| call | fails with | starts | reloads | upgrades | calls failed |\n|---|---|---|---|---|---|\n")
	all := make(map[string]int)
	for _, c := range changes {
		tried, hits := make(map[string]int), uint64(0)
		for _, t := range r.changes {
			if t.c == c && t.hits > 0 {
				tried[t.when]++
				all[t.when]++
				hits += t.hits
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d |\n", c.name, unix.ErrnoName(c.errno), tried["start"],
			tried["reload"], tried["upgrade"], hits)
	}
	fmt.Fprintf(&b, "\nTogether %d starts, %d reloads and %d upgrades in which a call failed.\n", all["start"],
		all["reload"], all["upgrade"])
	return b.String()
}

// exceptions is the table of calls that are not made to fail.
func exceptions() string {
	var b strings.Builder
	b.WriteString("\nNot made to fail:\n\n| call | why |\n|---|---|\n")
	reasons := make(map[string][]string)
	var order []string
	for _, e := range faults.Exceptions() {
		if reasons[e.Reason] == nil {
			order = append(order, e.Reason)
		}
		reasons[e.Reason] = append(reasons[e.Reason], e.Name)
	}
	for _, reason := range order {
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(reasons[reason], " "), reason)
	}
	return b.String() + "\n"
}
