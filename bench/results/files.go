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
	out := csv.NewWriter(w)
	head := []string{"scenario", "cell", "active", "idle", "slow", "subject", "model", "trigger", "control", "round",
		"requests", "window_s", "served", "wanted", "failed"}
	metrics := Metrics()
	for _, m := range metrics {
		head = append(head, m.Key+" ["+m.Unit+"]")
	}
	// Errors stay with the writer until Error is asked for.
	_ = out.Write(head)
	for i := range r.Cells {
		c := &r.Cells[i]
		for n := range c.Rows {
			subject := &r.Subjects[n]
			for k := range c.Rows[n].Samples {
				s := &c.Rows[n].Samples[k]
				line := []string{c.Scenario, c.Name, strconv.Itoa(c.Active), strconv.Itoa(c.Idle), strconv.Itoa(c.Slow),
					subject.Name, subject.Model, subject.Trigger, strconv.FormatBool(subject.Control),
					strconv.Itoa(s.Round),
					strconv.FormatInt(s.Requests, 10), experiment.FormatCSV(s.Window.Seconds()),
					strconv.FormatInt(s.Served, 10), strconv.FormatInt(s.Wanted, 10), strconv.FormatInt(s.Failed, 10)}
				for _, m := range metrics {
					line = append(line, m.Of(s).csv())
				}
				_ = out.Write(line)
			}
		}
	}
	out.Flush()
	return out.Error()
}

func (f Figure) csv() string {
	if !f.Known {
		return ""
	}
	return experiment.FormatCSV(f.Value)
}

// WriteBenchstat writes the Go benchmark format (golang.org/design/14313-benchmark-format), a
// line for each measurement, for benchstat: by subject (-col /subject) or two files beside each other.
func (r *Results) WriteBenchstat(w io.Writer) error {
	out := bufio.NewWriter(w)
	// A bufio.Writer keeps its first error for Flush.
	fmt.Fprintf(out, "goos: %s\n", before(r.Machine.Platform, "/"))
	fmt.Fprintf(out, "goarch: %s\n", after(r.Machine.Platform, "/"))
	fmt.Fprintf(out, "cpu: %s\nkernel: %s\npkg: evhttpd/bench\n\n", oneLine(r.Machine.CPU), oneLine(r.Machine.Kernel))
	for i := range r.Cells {
		c := &r.Cells[i]
		for n := range c.Rows {
			for k := range c.Rows[n].Samples {
				s := &c.Rows[n].Samples[k]
				fmt.Fprintf(out, "BenchmarkServe/cell=%s/subject=%s %d", word(c.Name), word(c.Rows[n].Subject),
					max(s.Requests, 1))
				for _, b := range benchUnits {
					if f := b.of(s); f.Known {
						fmt.Fprintf(out, " %s %s", experiment.FormatCSV(f.Value), b.unit)
					}
				}
				fmt.Fprintln(out)
			}
		}
	}
	return out.Flush()
}

// benchUnits are the figures for benchstat, in units that it scales and knows which way is better.
var benchUnits = []struct {
	unit string
	of   func(*Sample) Figure
}{
	{"cpu-ns/op", func(s *Sample) Figure { return s.CPU }},
	{"req/s", func(s *Sample) Figure { return Known(s.Rate) }},
	{"p50-ns", func(s *Sample) Figure { return Figure{float64(s.P50), s.Requests > 0} }},
	{"p99-ns", func(s *Sample) Figure { return Figure{float64(s.P99), s.Requests > 0} }},
	{"p999-ns", func(s *Sample) Figure { return Figure{float64(s.P999), s.Requests > 0} }},
	{"B/conn", func(s *Sample) Figure { return s.Memory }},
	{"calls/op", func(s *Sample) Figure { return s.Calls }},
}

func before(s, sep string) string { a, _, _ := strings.Cut(s, sep); return a }
func after(s, sep string) string  { _, b, _ := strings.Cut(s, sep); return b }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// word is a name as a part of a benchmark's: no spaces and no slashes.
func word(name string) string {
	return strings.NewReplacer(", ", ",", " ", "_", "/", "_", "(", "", ")", "").Replace(name)
}
