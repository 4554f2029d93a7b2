// Package stats says what repeated measurements allow to be said: medians with
// confidence intervals, and whether two samples differ. It assumes nothing of how they are distributed.
//
// It imports the standard library alone. Its tests hold it against golang.org/x/perf/benchmath, which benchstat uses.
package stats

import (
	"math"
	"slices"
)

// Confidence is what the intervals of [Of] are asked for.
const Confidence = 0.95

// RoundsMin is the fewest values on which a verdict rests: of fewer no interval has [Confidence].
const RoundsMin = 6

// BandMax is the largest [Estimate.Band] of a control beside which anything can be told: there
// the same thing measured twice differs by a half.
const BandMax = 1.5

// Alpha is the chance of error at which [Differ] calls two samples different.
const Alpha = 0.05

// Estimate is a median and the interval that contains the true one with the
// given confidence.
type Estimate struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	N      int     `json:"n"`
	// Confidence is what the interval really has: at least 0.95 from 6 values
	// on; with fewer the interval is the whole range, and it has 1 - 2^(1-n).
	Confidence float64 `json:"confidence"`
}

// Of estimates the median of values, of which there is at least one. The interval is between order
// statistics (Hahn and Meeker, Statistical Intervals, 1991, section 5.2): of n
// independent values the true median lies below the least with probability 2^-n, whatever their distribution.
func Of(values []float64) Estimate {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	e := Estimate{Median: sorted[n/2], Low: sorted[0], High: sorted[n-1], N: n}
	if n%2 == 0 {
		e.Median = sorted[n/2-1] + (sorted[n/2]-sorted[n/2-1])/2
	}
	low, high, confidence := interval(n)
	if low == 0 || high > n { // there is none: the whole range, with the confidence that this has
		e.Confidence = 1 - math.Pow(2, float64(1-n))
		return e
	}
	e.Low, e.High, e.Confidence = sorted[low-1], sorted[high-1], confidence
	return e
}

// interval says between which of n values in order, counted from 1, the true median lies with Confidence; 0 and n+1
// stand for no bound. The number of values below the median has a binomial distribution: from its middle outwards,
// the lower side first, its parts are added up until they suffice.
func interval(n int) (low, high int, confidence float64) {
	part := func(k int) float64 {
		if k < 0 || k > n {
			return 0
		}
		return math.Exp(logFactorial(n) - (logFactorial(k) + logFactorial(n-k)) - float64(n)*math.Ln2)
	}
	low, high = n/2, n/2+1
	confidence = part(low)
	for confidence < Confidence && (low > 0 || high <= n) {
		if below, above := part(low-1), part(high); below >= above {
			low, confidence = low-1, confidence+below
		} else {
			high, confidence = high+1, confidence+above
		}
	}
	return low, high, confidence
}

// logFactorial is the logarithm of n!.
func logFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n + 1))
	return v
}

// ConfidenceOf is the confidence that the interval of n values has, of which there is at least one.
func ConfidenceOf(n int) float64 { return Of(make([]float64, n)).Confidence }

// Band is how far, as a factor of at least 1, an estimate of a ratio reaches from
// 1: that of a thing to itself says how much difference is none.
func (e Estimate) Band() float64 {
	if e.Low <= 0 || e.High <= 0 {
		return math.Inf(1)
	}
	return max(e.High, 1/e.High, e.Low, 1/e.Low)
}

// Verdict is what may be said of a ratio beside that of a thing to itself, its control.
type Verdict string

// Verdicts.
const (
	Less  Verdict = "less"
	More  Verdict = "more"
	Same  Verdict = "same"  // no difference that is larger than the control's
	Few   Verdict = "few"   // fewer values than RoundsMin
	Noisy Verdict = "noisy" // a band beyond BandMax, beside which nothing can be told
)

// Beside says what may be said of the estimate of a ratio: it is a difference if its whole interval
// lies on one side of 1, and its median outside the control's band.
func (e Estimate) Beside(band float64) Verdict {
	switch {
	case e.N < RoundsMin:
		return Few
	case band > BandMax || e.Median <= 0:
		return Noisy
	case e.Low <= 1 && e.High >= 1, max(e.Median, 1/e.Median) <= band:
		return Same
	case e.Median < 1:
		return Less
	default:
		return More
	}
}

// Comparison is the outcome of a test of two samples.
type Comparison struct {
	// P is the probability of values at least as far apart if both came from the same distribution.
	P float64
	// Enough is false where either side has fewer values than [RoundsMin].
	Enough bool
}

// Differs reports whether the test calls the samples different.
func (c Comparison) Differs() bool { return c.Enough && c.P < Alpha }
