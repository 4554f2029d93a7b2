// Package results is what a comparison found: one tree of types that the table, the
// HTML report, JSON, CSV, benchstat's text and `bench compare` are all made from.
//
// It imports bench/experiment, bench/scenario and bench/stats.
package results

import (
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/scenario"
	"github.com/evhttpd/evhttpd/bench/stats"
)

// Version of the tree's JSON form: fields may be added, and with a new version renamed.
const Version = 1

// Results is the whole of it.
type Results struct {
	experiment.Head
	Setup Setup `json:"setup"`
	// Subjects are what was compared, the baseline first.
	Subjects []Subject `json:"subjects"`
	// Absent are models that could not take part, and why.
	Absent []Absent `json:"absent"`
	Cells  []Cell   `json:"cells"`
}

// Setup is how the comparison was made.
type Setup struct {
	Rounds     int           `json:"rounds"`
	Duration   time.Duration `json:"duration_ns"` // of a measurement
	WarmUp     time.Duration `json:"warm_up_ns"`
	Loops      int           `json:"loops"`       // of each server, and of the client
	ServerCPUs []int         `json:"server_cpus"` // none: not pinned
	ClientCPUs []int         `json:"client_cpus"`
	Seed       uint64        `json:"seed"`
}

// Subject is a server that was compared.
type Subject struct {
	Name    string `json:"name"`
	Model   string `json:"model"` // empty: another server, at URL
	Trigger string `json:"trigger"`
	URL     string `json:"url,omitempty"`
	// Control is the baseline once more: what differs between the two is no difference.
	Control bool `json:"control"`
}

// Absent is a model that cannot run here.
type Absent struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Cell is one load, and how each subject did.
type Cell struct {
	scenario.Cell
	Shows  string `json:"shows"`
	Source string `json:"source"`
	Rows   []Row  `json:"rows"` // as Subjects
}

// Row is one subject under one load.
type Row struct {
	Subject string   `json:"subject"`
	Samples []Sample `json:"samples"` // one a round
	// Served of Wanted connections got an answer, in the worst round. With fewer
	// than all of them the row is not compared with others.
	Served int64 `json:"served"`
	Wanted int64 `json:"wanted"`
	// Unanswered is in how many rounds there was not one answer.
	Unanswered int `json:"unanswered,omitempty"`
	// Saturated: the client used its CPU up in most rounds, so that requests/s may be its own limit.
	Saturated bool               `json:"client_saturated"`
	Figures   map[string]Figures `json:"figures"` // by metric; without what is not known
}

// Figures are a metric's medians over the rounds, beside the baseline. The verdict is one of those below.
type Figures = experiment.Judged

// Verdicts of Figures.
const (
	Better stats.Verdict = "better"
	Worse  stats.Verdict = "worse"
	Same                 = stats.Same  // no difference that is larger than the control's
	Few                  = stats.Few   // fewer rounds than a verdict needs
	Noisy                = stats.Noisy // the control differs too much, or there were measurements without an answer
)

// Whole reports whether every connection was served.
func (r *Row) Whole() bool { return r.Served >= r.Wanted }

// Sample is one measurement. What is not known is nil.
type Sample struct {
	Round    int           `json:"round"`
	Window   time.Duration `json:"window_ns"`
	Requests int64         `json:"requests"` // answered rightly within the window
	Rate     float64       `json:"requests_per_second"`
	P50      time.Duration `json:"p50_ns"`
	P90      time.Duration `json:"p90_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	Max      time.Duration `json:"max_ns"`
	Bytes    int64         `json:"bytes"` // of content, of all roles

	CPU *float64 `json:"server_cpu_ns_per_request"`
	// ServerShare and ClientShare are of a CPU each; of several, the sum and the busiest.
	ServerShare *float64 `json:"server_cpu_share"`
	ClientShare *float64 `json:"client_cpu_share"`
	Saturated   bool     `json:"client_saturated"`
	// Memory is what the server's resident memory grew by until the window's end, for each connection.
	Memory      *float64 `json:"memory_bytes_per_connection"`
	Calls       *float64 `json:"system_calls_per_request"`
	Again       *float64 `json:"again_per_request"`
	Waits       *float64 `json:"waits_per_request"`
	Events      *float64 `json:"events_per_wait"`
	Voluntary   *float64 `json:"voluntary_switches_per_request"`
	Involuntary *float64 `json:"involuntary_switches_per_request"`
	Wrk         *float64 `json:"wrk_requests_per_second"`

	Served int64 `json:"served"`
	Wanted int64 `json:"wanted"`
	Failed int64 `json:"failed"`
	// Failure describes the first failure, if there was one.
	Failure string `json:"failure,omitempty"`
}

// Metric is a figure of a sample.
type Metric struct {
	Key    string // in JSON's figures, in CSV and for benchstat
	Title  string // of its column
	Unit   string
	Better stats.Verdict // stats.Less or stats.More; "": neither is, the figure helps to read the others
	// Benchstat is its unit there, which says of some which way is better; it has nanoseconds for µs.
	Benchstat string
	Of        func(s *Sample) *float64
}

// Keys of metrics that reports name.
const (
	CPU      = "cpu"
	Rate     = "rate"
	P50      = "p50"
	P90      = "p90"
	P99      = "p99"
	P999     = "p999"
	Memory   = "memory"
	Calls    = "calls"
	Switches = "switches"
	Wrk      = "wrk"
)

const micro = float64(time.Microsecond)

// Metrics lists every figure, the headline first.
func Metrics() []Metric {
	latency := func(of func(*Sample) time.Duration) func(*Sample) *float64 {
		return func(s *Sample) *float64 {
			if s.Requests == 0 {
				return nil
			}
			return new(float64(of(s)) / micro)
		}
	}
	cpu := func(s *Sample) *float64 {
		if s.CPU == nil {
			return nil
		}
		return new(*s.CPU / micro)
	}
	switches := func(s *Sample) *float64 {
		if s.Voluntary == nil || s.Involuntary == nil {
			return nil
		}
		return new(*s.Voluntary + *s.Involuntary)
	}
	return []Metric{
		{CPU, "server CPU a request", "µs", stats.Less, "cpu-ns/op", cpu},
		{Rate, "requests/s", "1/s", stats.More, "req/s", func(s *Sample) *float64 { return &s.Rate }},
		{P50, "p50", "µs", stats.Less, "p50-ns", latency(func(s *Sample) time.Duration { return s.P50 })},
		{P90, "p90", "µs", stats.Less, "", latency(func(s *Sample) time.Duration { return s.P90 })},
		{P99, "p99", "µs", stats.Less, "p99-ns", latency(func(s *Sample) time.Duration { return s.P99 })},
		{P999, "p99.9", "µs", stats.Less, "p999-ns", latency(func(s *Sample) time.Duration { return s.P999 })},
		{Memory, "memory a connection", "B", stats.Less, "B/conn", func(s *Sample) *float64 { return s.Memory }},
		{Calls, "system calls a request", "calls", stats.Less, "calls/op", func(s *Sample) *float64 { return s.Calls }},
		{"again", "of them EAGAIN", "calls", "", "", func(s *Sample) *float64 { return s.Again }},
		{"waits", "waits a request", "calls", "", "", func(s *Sample) *float64 { return s.Waits }},
		{"events", "events a wait", "events", "", "", func(s *Sample) *float64 { return s.Events }},
		{Switches, "context switches a request", "switches", stats.Less, "", switches},
		{"share", "server CPU", "CPUs", "", "", func(s *Sample) *float64 { return s.ServerShare }},
		{"client", "client CPU", "CPUs", "", "", func(s *Sample) *float64 { return s.ClientShare }},
		{Wrk, "wrk's requests/s", "1/s", stats.More, "", func(s *Sample) *float64 { return s.Wrk }},
	}
}

// MetricOf returns the metric of that key, which there is.
func MetricOf(key string) Metric {
	for _, m := range Metrics() {
		if m.Key == key {
			return m
		}
	}
	panic("results: no metric " + key)
}

// Sum takes all figures and verdicts from the samples.
func (r *Results) Sum() {
	for i := range r.Cells {
		r.Cells[i].sum(r.Subjects)
	}
}

func (c *Cell) sum(subjects []Subject) {
	for i := range c.Rows {
		row := &c.Rows[i]
		row.Served, row.Wanted, row.Saturated, row.Unanswered = 0, 0, false, 0
		saturated := 0
		for n := range row.Samples {
			s := &row.Samples[n]
			if n == 0 || s.Served-s.Wanted < row.Served-row.Wanted {
				row.Served, row.Wanted = s.Served, s.Wanted
			}
			if s.Saturated {
				saturated++
			}
			if s.Requests == 0 {
				row.Unanswered++
			}
		}
		row.Saturated = 2*saturated > len(row.Samples)
		row.Figures = make(map[string]Figures)
	}
	for _, m := range Metrics() {
		c.sumMetric(subjects, m)
	}
}

// sumMetric takes one metric's figures of all rows. All others, the control too, are compared with the baseline, which
// is the first row.
func (c *Cell) sumMetric(subjects []Subject, m Metric) {
	series := make([]experiment.Series, len(c.Rows))
	var control experiment.Series // without one nothing is called a difference
	for i := range c.Rows {
		series[i] = c.Rows[i].series(m)
		if subjects[i].Control && i > 0 && c.Rows[i].Whole() {
			control = series[i]
		}
	}
	for i := range c.Rows {
		row := &c.Rows[i]
		if len(series[i]) == 0 {
			continue
		}
		var baseline experiment.Series
		if i > 0 && row.Whole() && c.Rows[0].Whole() {
			baseline = series[0]
		}
		f := series[i].Judge(baseline, control)
		switch {
		case m.Better == "":
			f.Verdict = ""
		case f.Verdict != "" && row.Unanswered+c.Rows[0].Unanswered > 0:
			f.Verdict = Noisy
		case f.Verdict == m.Better:
			f.Verdict = Better
		case f.Verdict == stats.Less, f.Verdict == stats.More:
			f.Verdict = Worse
		}
		row.Figures[m.Key] = f
	}
}

// series are those of the row's samples that are known.
func (r *Row) series(m Metric) experiment.Series {
	series := make(experiment.Series)
	for i := range r.Samples {
		if v := m.Of(&r.Samples[i]); v != nil {
			series[r.Samples[i].Round] = *v
		}
	}
	return series
}

// Values are those of a metric that are known, a round each.
func (r *Row) Values(key string) []float64 { return r.series(MetricOf(key)).Values() }

// Keep drops the samples of all rounds but the first so many.
func (r *Results) Keep(rounds int) {
	for i := range r.Cells {
		for n := range r.Cells[i].Rows {
			row := &r.Cells[i].Rows[n]
			row.Samples = slices.DeleteFunc(row.Samples, func(s Sample) bool { return s.Round > rounds })
		}
	}
}

// Band is how large a ratio must be to be a difference: what the control differs from
// the baseline by; 0: nothing is known of that.
func (c *Cell) Band(subjects []Subject, key string) float64 {
	i := slices.IndexFunc(subjects, func(s Subject) bool { return s.Control })
	if i < 0 || i >= len(c.Rows) || c.Rows[i].Figures[key].Ratio == nil {
		return 0
	}
	return c.Rows[i].Figures[key].Ratio.Band()
}

// Title names what a cell is, in a line.
func (c *Cell) Title() string {
	if c.Name == c.Scenario {
		return c.Name
	}
	return strings.ToLower(c.Scenario) + ": " + c.Name
}
