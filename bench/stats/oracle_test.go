package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/perf/benchmath"
)

func sampleOf(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// drawn is a sample of n values, which are the fewer different ones the smaller kinds is.
func drawn(random *rand.Rand, n, kinds int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(random.IntN(kinds))
	}
	return values
}

// TestEstimateAsBenchstat: median, interval and confidence are those of benchmath, which approximates from 31 values
// on.
func TestEstimateAsBenchstat(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for n := 1; n <= 200; n++ {
		values := drawn(random, n, 1<<30)
		got, want := Of(values), benchmath.AssumeNothing.Summary(sampleOf(values), Confidence)
		if got.Median != want.Center {
			t.Errorf("%d values: median %v, want %v", n, got.Median, want.Center)
		}
		switch {
		case math.IsInf(want.Lo, 0) || math.IsInf(want.Hi, 0):
			if got.Low != slices.Min(values) || got.High != slices.Max(values) || got.Confidence >= Confidence {
				t.Errorf("%d values: %+v, want the range", n, got)
			}
		case n <= 30:
			// Of two intervals that mirror one another benchmath takes the upper one now and then, by a rounding error.
			sorted := slices.Sorted(slices.Values(values))
			rank := func(v float64) int { return slices.Index(sorted, v) + 1 }
			same := got.Low == want.Lo && got.High == want.Hi
			mirrored := rank(got.Low)+rank(want.Hi) == n+1 && rank(got.High)+rank(want.Lo) == n+1
			if !same && !mirrored || !near(got.Confidence, want.Confidence) {
				t.Errorf("%d values: %+v, want %+v", n, got, want)
			}
		default:
			sorted := slices.Sorted(slices.Values(values))
			apart := func(a, b float64) int {
				i, _ := slices.BinarySearch(sorted, a)
				j, _ := slices.BinarySearch(sorted, b)
				return max(i-j, j-i)
			}
			if apart(got.Low, want.Lo) > 1 || apart(got.High, want.Hi) > 1 ||
				math.Abs(got.Confidence-want.Confidence) > 0.02 ||
				got.Confidence < Confidence {
				t.Errorf("%d values: %+v, want about %+v", n, got, want)
			}
		}
	}
}

// TestCompareAsBenchstat: P is that of benchmath, with ties and without, counted and approximated, and the same for
// both orders. benchmath, which counts in the wrong tail for one of the orders if ties are not symmetric, is asked in
// the other.
func TestCompareAsBenchstat(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		kinds := []int{3, 10, 1 << 30}[random.IntN(3)]
		a, b := drawn(random, 1+random.IntN(30), kinds), drawn(random, 1+random.IntN(30), kinds)
		if random.IntN(2) == 0 { // often not alike
			for i := range b {
				b[i] += float64(kinds / 3)
			}
		}
		if greater(a, b) > 0 {
			a, b = b, a
		}
		got, other := Compare(a, b), Compare(b, a)
		want := benchmath.AssumeNothing.Compare(sampleOf(a), sampleOf(b))
		if math.Abs(got.P-want.P) > 1e-9 || got != other {
			t.Fatalf("%v and %v: %+v and %+v, want P %v", a, b, got, other, want.P)
		}
	}
	for _, n := range []int{50, 51, 200} {
		a, b := drawn(random, n, 1<<30), drawn(random, n, 1<<30)
		got, want := Compare(a, b), benchmath.AssumeNothing.Compare(sampleOf(a), sampleOf(b))
		if math.Abs(got.P-want.P) > 1e-9 {
			t.Errorf("%d and %d: P %v, want %v", n, n, got.P, want.P)
		}
	}
}

// greater is by how many pairs a has the greater value more often than b.
func greater(a, b []float64) (n int) {
	for _, x := range a {
		for _, y := range b {
			n += cmp.Compare(x, y)
		}
	}
	return n
}
