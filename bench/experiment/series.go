package experiment

import (
	"maps"
	"slices"

	"github.com/evhttpd/evhttpd/bench/stats"
)

// Series is what was measured of one metric of one subject, by round.
type Series map[int]float64

// Values are those of the series, in the order of the rounds.
func (s Series) Values() []float64 {
	values := make([]float64, 0, len(s))
	for _, round := range slices.Sorted(maps.Keys(s)) {
		values = append(values, s[round])
	}
	return values
}

// Estimate is what the rounds say; nil without one.
func (s Series) Estimate() *stats.Estimate {
	if len(s) == 0 {
		return nil
	}
	e := stats.Of(s.Values())
	return &e
}

// Ratio is the estimate of what each round's value is of the baseline's of the same round, so that a machine that
// becomes slower in between changes figures and no ratios. Only positive values have one; nil: there is none.
func (s Series) Ratio(baseline Series) *stats.Estimate {
	ratios := make(Series)
	for round, v := range s {
		if base := baseline[round]; v > 0 && base > 0 {
			ratios[round] = v / base
		}
	}
	return ratios.Estimate()
}

// Judged is what the rounds say of one metric of a subject.
type Judged struct {
	stats.Estimate
	// Ratio is to the baseline's value of the same round; nil where there is none.
	Ratio *stats.Estimate `json:"ratio,omitempty"`
	// Verdict is what may be said of Ratio; empty: nothing.
	Verdict stats.Verdict `json:"verdict,omitempty"`
}

// Judge takes the estimate of a series, of which there is a value at least, the ratio to a baseline, if there is one,
// and a verdict beside a control: nothing is called a difference that is not greater than what the control differs by.
func (s Series) Judge(baseline, control Series) Judged {
	j := Judged{Estimate: *s.Estimate(), Ratio: s.Ratio(baseline)}
	if band := control.Ratio(baseline); j.Ratio != nil && band != nil {
		j.Verdict = j.Ratio.Beside(band.Band())
	}
	return j
}
