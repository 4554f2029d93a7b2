package loadtest

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/text"
)

// Version of the report's JSON form: fields may be added, and with a new version renamed.
const Version = 1

// Report is what a load showed.
type Report struct {
	Version     int     `json:"version"`
	URL         string  `json:"url"`
	Address     string  `json:"address"`
	Method      string  `json:"method"`
	URLs        int     `json:"urls"` // that were asked for in turn
	Connections int     `json:"connections"`
	Pipeline    int     `json:"pipeline"`
	RateAsked   float64 `json:"rate_asked"` // 0: closed loop

	Began  time.Time     `json:"began"`
	Window time.Duration `json:"window_ns"` // that is measured
	// Interrupted: the load was ended before its time.
	Interrupted bool `json:"interrupted"`

	load.Counts
	Errors int64 `json:"errors"` // see errors

	Rate           float64 `json:"requests_per_second"` // Completed by Window
	BytesPerSecond float64 `json:"bytes_per_second"`

	Latency  Latency          `json:"latency"`
	Statuses map[string]int64 `json:"statuses"`
	Failures []Failure        `json:"failures"` // that were seen

	ClientShare     float64       `json:"client_cpu_share"` // of the busiest thread's CPU
	ClientSaturated bool          `json:"client_saturated"`
	LagMax          time.Duration `json:"lag_max_ns"` // how late the client itself began a request, at worst

	Conditions []Outcome `json:"conditions"`
}

// Latency is of right answers, and of what was given up on with the time it had waited. An
// open loop's count from when the request was due.
type Latency struct {
	Count       int64         `json:"count"`
	Mean        time.Duration `json:"mean_ns"`
	Deviation   time.Duration `json:"standard_deviation_ns"`
	Min         time.Duration `json:"min_ns"`
	Max         time.Duration `json:"max_ns"`
	Percentiles []Percentile  `json:"percentiles"`

	of *load.Latency
}

// Percentile is one of a distribution.
type Percentile struct {
	Percentile float64       `json:"percentile"`
	Value      time.Duration `json:"ns"`
}

// Failure is a kind of failure that was seen.
type Failure struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
	First string `json:"first"` // described
}

// Outcome is a condition's.
type Outcome struct {
	Condition string   `json:"condition"`
	Value     *float64 `json:"value"` // null: there was no answer to take it from
	Holds     bool     `json:"holds"`
	Says      string   `json:"-"` // the value as people read it
}

func newReport(o *Options, addr load.Addr, began time.Time, result *load.Result, interrupted bool) *Report {
	role := &result.Roles[0]
	r := &Report{Version: Version, URL: o.URL, Address: addr.String(), Method: o.Method, URLs: max(len(o.URLs), 1),
		Connections: o.Connections, Pipeline: o.Pipeline, RateAsked: o.Rate,
		Began: began, Window: max(result.Window, 0), Interrupted: interrupted,
		Counts: role.Counts, Rate: result.Rate(&role.Counts), Statuses: make(map[string]int64), Failures: []Failure{},
		Conditions:      []Outcome{},
		ClientSaturated: result.Saturated(), LagMax: role.LagMax}
	r.Errors = r.errors()
	if r.Window > 0 {
		r.BytesPerSecond = float64(r.Bytes) / r.Window.Seconds()
	}
	for status, n := range role.Statuses {
		r.Statuses[strconv.Itoa(status)] = n
	}
	for f, n := range role.Failures {
		if n > 0 {
			r.Failures = append(r.Failures, Failure{load.Failure(f).String(), n, role.First[f]})
		}
	}
	for _, l := range result.Loops {
		r.ClientShare = max(r.ClientShare, l.Share)
	}
	r.Latency = newLatency(&role.Latency, o.Percentiles)
	for i := range o.FailIf {
		r.Conditions = append(r.Conditions, r.outcome(&o.FailIf[i]))
	}
	return r
}

func newLatency(of *load.Latency, percentiles []float64) Latency {
	l := Latency{Count: of.Count, Percentiles: []Percentile{}, of: of}
	if l.Count == 0 {
		return l
	}
	h := of.Histogram
	l.Mean, l.Deviation, l.Min, l.Max = of.Mean, time.Duration(h.StdDev()), time.Duration(h.Min()), of.Max
	for _, p := range percentiles {
		l.Percentiles = append(l.Percentiles, Percentile{p, time.Duration(h.ValueAtPercentile(p))})
	}
	return l
}

// errors counts requests without a right answer, and failures of connections. A connection that fails with one
// request in flight is one error, with several as many as there were, with none one. What is in flight or due
// when somebody ends the load is none.
func (r *Report) errors() int64 {
	wrong := r.Counts.Failures[load.WrongStatus] + r.Counts.Failures[load.WrongLength] +
		r.Counts.Failures[load.WrongContent]
	n := wrong + max(r.Failed()-wrong, r.Lost)
	if !r.Interrupted {
		n += r.Unanswered + r.Unsent
	}
	return n
}

// all is how many requests were made or due.
func (r *Report) all() float64 { return float64(r.Requests + r.Unsent) }

// answers is how many answers had a status, such as 404 or 5xx.
func (r *Report) answers(statuses string) (sum float64) {
	for status, n := range r.Statuses {
		if status == statuses || strings.HasSuffix(statuses, "xx") && status[0] == statuses[0] {
			sum += float64(n)
		}
	}
	return sum
}

// outcome looks whether a condition holds. What is not known, since there was not one answer, fails: nothing says that
// all is well.
func (r *Report) outcome(c *Condition) Outcome {
	if c.kind == latency && r.Latency.Count == 0 || c.kind == share && r.all() == 0 ||
		c.kind == perSecond && r.Window <= 0 {
		return Outcome{Condition: c.Text, Holds: true, Says: "there was no answer"}
	}
	value := c.of(r)
	return Outcome{Condition: c.Text, Value: &value, Holds: c.holds(value), Says: c.kind.write(value)}
}

// Held are the conditions that hold, with their values.
func (r *Report) Held() []string {
	var all []string
	for _, o := range r.Conditions {
		if o.Holds {
			all = append(all, o.Condition+" ("+o.Says+")")
		}
	}
	return all
}

// Why says why there was no right answer.
func (r *Report) Why() string {
	switch {
	case len(r.Failures) > 0:
		return r.Failures[0].First
	case r.Requests == 0:
		return "no request was made"
	default:
		return fmt.Sprintf("no whole answer came for %s", text.Count(int(r.Requests), "request"))
	}
}

// WriteJSON writes one object.
func (r *Report) WriteJSON(w io.Writer) error { return experiment.WriteJSON(w, r) }

//go:embed report.txt
var reportSource string

// reportText is the report for people, a paragraph or a row in each line.
var reportText = template.Must(template.New("report").Funcs(template.FuncMap{
	"bytes": bytes, "number": text.Number, "short": short,
	"thousands": func(n reflect.Value) string { return text.Thousands(n.Int()) },
	"count":     func(n reflect.Value, of string) string { return text.Count(int(n.Int()), of) },
	"decimal":   func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) },
	"row":       func(name string) string { return fmt.Sprintf("  %-12s ", name) },
}).Parse(reportSource))

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error { return text.Write(w, reportText, r) }

// statusesMax is how many statuses the text lists.
const statusesMax = 12

// StatusCounts are the statuses in order, with their numbers.
func (r *Report) StatusCounts() (lines []string) {
	for i, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		if i == statusesMax {
			return append(lines, fmt.Sprintf("and %d others", len(r.Statuses)-i))
		}
		lines = append(lines, status+": "+text.Thousands(r.Statuses[status]))
	}
	return lines
}

// Redirects are answers that have the client ask elsewhere (RFC 9110 section 15.4), 304 not among them.
func (r *Report) Redirects() int64 {
	return r.Statuses["301"] + r.Statuses["302"] + r.Statuses["303"] + r.Statuses["307"] + r.Statuses["308"]
}

// Late reports whether an open loop's client was itself late by more than what goes unnoticed.
func (r *Report) Late() bool { return r.RateAsked > 0 && r.LagMax > time.Millisecond }

// short is a duration with three significant digits.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// bytes writes a size with its unit.
func bytes(v float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if v < 1000 {
			return text.Number(v) + " " + unit
		}
		v /= 1024
	}
	return text.Number(v) + " GiB"
}
