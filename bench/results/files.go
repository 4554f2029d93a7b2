package results

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/bench/experiment"
)

// sizeMax bounds a file of results that is read, in bytes: far more than any comparison writes.
const sizeMax = 256 << 20

// WriteJSON writes everything.
func (r *Results) WriteJSON(w io.Writer) error { return experiment.WriteJSON(w, r) }

// Read reads what WriteJSON has written. Figures are taken from the samples anew, so that
// files of different programs are judged by one measure.
func Read(name string) (r *Results, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r = &Results{}
	d := json.NewDecoder(io.LimitReader(file, sizeMax))
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%s: not the results.json of a comparison: %w", name, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r.Sum()
	return r, nil
}

func (r *Results) check() error {
	switch {
	case r.Version == 0 && len(r.Cells) == 0:
		return errors.New("not the results.json of a comparison: there is no version in it")
	case r.Version != Version:
		return fmt.Errorf("its version is %d, this program knows %d", r.Version, Version)
	case len(r.Subjects) == 0 || len(r.Cells) == 0:
		return errors.New("there are no subjects or no cells in it")
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		if len(c.Rows) != len(r.Subjects) {
			return fmt.Errorf("cell %q has %d rows for %d subjects", c.Name, len(c.Rows), len(r.Subjects))
		}
		for n := range c.Rows {
			if c.Rows[n].Subject != r.Subjects[n].Name {
				return fmt.Errorf("cell %q: row %d is of %q, not of %q", c.Name, n, c.Rows[n].Subject,
					r.Subjects[n].Name)
			}
		}
	}
	return nil
}

// WriteCSV writes a line for each measurement (RFC 4180). What is not known is empty.
func (r *Results) WriteCSV(w io.Writer) error {
	head := []string{"scenario", "cell", "active", "idle", "slow", "subject", "model", "trigger", "control", "round",
		"requests", "window_s", "served", "wanted", "failed"}
	metrics := Metrics()
	for _, m := range metrics {
		head = append(head, m.Key+" ["+m.Unit+"]")
	}
	lines := [][]string{head}
	r.each(func(c *Cell, subject *Subject, s *Sample) {
		line := []string{c.Scenario, c.Name, strconv.Itoa(c.Active), strconv.Itoa(c.Idle), strconv.Itoa(c.Slow),
			subject.Name, subject.Model, subject.Trigger, strconv.FormatBool(subject.Control), strconv.Itoa(s.Round),
			strconv.FormatInt(s.Requests, 10), experiment.FormatCSV(s.Window.Seconds()),
			strconv.FormatInt(s.Served, 10), strconv.FormatInt(s.Wanted, 10), strconv.FormatInt(s.Failed, 10)}
		for _, m := range metrics {
			text := ""
			if v := m.Of(s); v != nil {
				text = experiment.FormatCSV(*v)
			}
			line = append(line, text)
		}
		lines = append(lines, line)
	})
	return csv.NewWriter(w).WriteAll(lines)
}

// each calls visit with every measurement.
func (r *Results) each(visit func(*Cell, *Subject, *Sample)) {
	for i := range r.Cells {
		for n := range r.Cells[i].Rows {
			samples := r.Cells[i].Rows[n].Samples
			for k := range samples {
				visit(&r.Cells[i], &r.Subjects[n], &samples[k])
			}
		}
	}
}

// WriteBenchstat writes the Go benchmark format (golang.org/design/14313-benchmark-format), a
// line for each measurement, for benchstat: by subject (-col /subject) or two files beside each other.
func (r *Results) WriteBenchstat(w io.Writer) error {
	out := bufio.NewWriter(w)
	// A bufio.Writer keeps its first error for Flush.
	goos, goarch, _ := strings.Cut(r.Machine.Platform, "/")
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\ncpu: %s\nkernel: %s\npkg: evhttpd/bench\n\n", goos, goarch,
		oneLine(r.Machine.CPU), oneLine(r.Machine.Kernel))
	r.each(func(c *Cell, subject *Subject, s *Sample) {
		fmt.Fprintf(out, "BenchmarkServe/cell=%s/subject=%s %d", word(c.Name), word(subject.Name), max(s.Requests, 1))
		for _, m := range Metrics() {
			v := m.Of(s)
			if m.Benchstat == "" || v == nil {
				continue
			}
			scale := 1.0
			if m.Unit == "µs" {
				scale = micro
			}
			fmt.Fprintf(out, " %s %s", experiment.FormatCSV(*v*scale), m.Benchstat)
		}
		fmt.Fprintln(out)
	})
	return out.Flush()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// word is a name as a part of a benchmark's: no spaces and no slashes.
func word(name string) string {
	return strings.NewReplacer(", ", ",", " ", "_", "/", "_", "(", "", ")", "").Replace(name)
}
