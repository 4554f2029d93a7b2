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
