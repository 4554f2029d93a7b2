package loadtest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Condition compares a figure of the report with a limit: p99>5ms.
type Condition struct {
	Text  string // as it was written
	op    string
	limit float64
	metric
}

// metric is a figure that conditions are about.
type metric struct {
	kind kind
	of   func(r *Report) float64
}

// kind is what a metric is measured in.
type kind uint8

const (
	count kind = iota
	share      // of all requests, in percent
	perSecond
	latency // in nanoseconds
)

// metrics are those that are named by a word. A percentile and a status are others.
var metrics = map[string]metric{
	"mean":     {latency, func(r *Report) float64 { return float64(r.Latency.Mean) }},
	"min":      {latency, func(r *Report) float64 { return float64(r.Latency.Min) }},
	"max":      {latency, func(r *Report) float64 { return float64(r.Latency.Max) }},
	"rate":     {perSecond, func(r *Report) float64 { return r.Rate }},
	"errors":   {count, func(r *Report) float64 { return float64(r.Errors) }},
	"requests": {count, func(r *Report) float64 { return float64(r.Requests) }},
	"answered": {count, func(r *Report) float64 { return float64(r.Answered) }},
}

var (
	conditionForm  = regexp.MustCompile(`^\s*([a-z0-9.]+)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*$`)
	percentileForm = regexp.MustCompile(`^p([0-9]+(?:\.[0-9]+)?)$`)
	statusForm     = regexp.MustCompile(`^[1-9](?:xx|[0-9][0-9])$`)
)

// ParseCondition reads METRIC OPERATOR LIMIT. Metrics are p50, p99.9 and every other percentile, mean, min and
// max, with a duration; rate, in requests/s; errors, with a number or as a share such as 1%; requests and
// answered; and a status, such as 404 or 5xx, for how many answers had it.
func ParseCondition(text string) (c Condition, err error) {
	m := conditionForm.FindStringSubmatch(text)
	if m == nil {
		return c, fmt.Errorf("%q: want METRIC, one of > >= < <= == !=, and a limit, such as p99>5ms or errors>0", text)
	}
	c = Condition{Text: strings.TrimSpace(text), op: m[2]}
	known := true
	switch name := m[1]; {
	case percentileForm.MatchString(name):
		percentile, err := strconv.ParseFloat(name[1:], 64)
		if err != nil || percentile <= 0 || percentile > 100 {
			return c, fmt.Errorf("%q: a percentile is more than 0 and at most 100", text)
		}
		c.metric = metric{latency, func(r *Report) float64 {
			return float64(r.Latency.of.Histogram.ValueAtPercentile(percentile))
		}}
	case statusForm.MatchString(name):
		c.metric = metric{count, func(r *Report) float64 { return r.answers(name) }}
	case name == "errors" && strings.HasSuffix(m[3], "%"):
		c.metric = metric{share, func(r *Report) float64 { return 100 * float64(r.Errors) / r.all() }}
	default:
		c.metric, known = metrics[name]
	}
	if !known {
		return c, fmt.Errorf("%q: there is no %q: want a percentile (p99), mean, min, max, rate, errors, requests, "+
			"answered or a status (404, 5xx)", text, m[1])
	}
	if c.limit, err = parseLimit(c.kind, m[3]); err != nil {
		return c, fmt.Errorf("%q: %w", text, err)
	}
	return c, nil
}

func parseLimit(k kind, text string) (float64, error) {
	if k == latency {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%q is not a duration such as 500us, 5ms or 1.5s", text)
		}
		return float64(d), nil
	}
	limit, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(limit >= 0) || k != share && strings.HasSuffix(text, "%") {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return limit, nil
}

// holds compares.
func (c *Condition) holds(value float64) bool {
	switch c.op {
	case ">":
		return value > c.limit
	case ">=":
		return value >= c.limit
	case "<":
		return value < c.limit
	case "<=":
		return value <= c.limit
	case "==":
		return value == c.limit
	default:
		return value != c.limit
	}
}

// write is the value as people read it.
func (k kind) write(value float64) string {
	switch k {
	case latency:
		return short(time.Duration(value)).String()
	case share:
		return fmt.Sprintf("%.3g %%", value)
	case perSecond:
		return fmt.Sprintf("%.6g/s", value)
	default:
		return fmt.Sprintf("%.0f", value)
	}
}
