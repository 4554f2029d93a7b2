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
	Text   string // as it was written
	metric string
	kind   kind
	op     string
	limit  float64
	// percentile of a latency; 0: another metric
	percentile float64
}

// kind is what a metric is measured in.
type kind uint8

const (
	count kind = iota
	share      // of all requests, in percent
	perSecond
	latency // in nanoseconds
)

var (
	conditionForm  = regexp.MustCompile(`^\s*([a-z0-9.]+)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*$`)
	percentileForm = regexp.MustCompile(`^p([0-9]+(?:\.[0-9]+)?)$`)
	statusForm     = regexp.MustCompile(`^[1-9](?:xx|[0-9][0-9])$`)
)

// ParseCondition reads METRIC OPERATOR LIMIT. Metrics are p50, p99.9 and every other percentile, mean, min and
// max, with a duration; rate, in requests/s; errors, with a number or as a share such as 1%; requests and
// answered; and a status, such as 404 or 5xx, for how many answers had it.
func ParseCondition(text string) (Condition, error) {
	m := conditionForm.FindStringSubmatch(text)
	if m == nil {
		return Condition{}, fmt.Errorf("%q: want METRIC, one of > >= < <= == !=, and a limit, such as p99>5ms or "+
			"errors>0", text)
	}
	c := Condition{Text: strings.TrimSpace(text), metric: m[1], op: m[2]}
	var err error
	switch percentile := percentileForm.FindStringSubmatch(c.metric); {
	case percentile != nil:
		c.kind = latency
		if c.percentile, err = strconv.ParseFloat(percentile[1], 64); err != nil || c.percentile <= 0 ||
			c.percentile > 100 {
			return c, fmt.Errorf("%q: a percentile is more than 0 and at most 100", text)
		}
	case c.metric == "mean" || c.metric == "min" || c.metric == "max":
		c.kind = latency
	case c.metric == "rate":
		c.kind = perSecond
	case c.metric == "errors" && strings.HasSuffix(m[3], "%"):
		c.kind = share
	case c.metric == "errors" || c.metric == "requests" || c.metric == "answered" || statusForm.MatchString(c.metric):
		c.kind = count
	default:
		return c, fmt.Errorf("%q: there is no %q: want a percentile (p99), mean, min, max, rate, errors, requests, "+
			"answered or a status (404, 5xx)", text, c.metric)
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

// holds compares. What is not known, since there was not one answer, fails: nothing says that all is well.
func (c *Condition) holds(value float64, known bool) bool {
	switch {
	case !known:
		return true
	case c.op == ">":
		return value > c.limit
	case c.op == ">=":
		return value >= c.limit
	case c.op == "<":
		return value < c.limit
	case c.op == "<=":
		return value <= c.limit
	case c.op == "==":
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
