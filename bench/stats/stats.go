// Package stats says what repeated measurements allow to be said: medians with
// confidence intervals, and whether two samples differ. It assumes nothing of how they are distributed.
//
// It imports golang.org/x/perf/benchmath, whose tests benchstat uses.
package stats

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
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
	sorted := slices.Clone(values)
	sample := benchmath.NewSample(sorted, &benchmath.DefaultThresholds)
	s := benchmath.AssumeNothing.Summary(sample, Confidence)
	e := Estimate{Median: s.Center, Low: s.Lo, High: s.Hi, N: len(values), Confidence: s.Confidence}
	if math.IsInf(e.Low, 0) || math.IsInf(e.High, 0) {
		e.Low, e.High = sorted[0], sorted[len(sorted)-1]
		e.Confidence = 1 - math.Pow(2, float64(1-len(sorted)))
	}
	return e
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

// Compare tests whether a and b, of one value at least each, come from the same
// distribution, with the Mann-Whitney U test (exact for small samples).
func Compare(a, b []float64) Comparison {
	t := benchmath.AssumeNothing.Compare(sampleOf(a), sampleOf(b))
	return Comparison{P: t.P, Enough: min(len(a), len(b)) >= RoundsMin}
}

func sampleOf(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}
