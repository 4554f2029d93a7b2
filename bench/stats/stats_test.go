package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// TestEstimateOrderStatistics: intervals of known samples, by the binomial table.
func TestEstimateOrderStatistics(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   Estimate
	}{
		{"one", []float64{7}, Estimate{7, 7, 7, 1, 0}},
		{"three: the range", []float64{3, 1, 2}, Estimate{2, 1, 3, 3, 0.75}},
		{"five: the range", []float64{5, 1, 4, 2, 3}, Estimate{3, 1, 5, 5, 0.9375}},
		{"six: the range, with more than asked", []float64{6, 5, 4, 3, 2, 1}, Estimate{3.5, 1, 6, 6, 1 - 2.0/64}},
		{"nine: second and eighth", []float64{9, 8, 7, 6, 5, 4, 3, 2, 1}, Estimate{5, 2, 8, 9, 1 - 20.0/512}},
	} {
		got := Of(c.values)
		if got.Median != c.want.Median || got.Low != c.want.Low || got.High != c.want.High || got.N != c.want.N ||
			!near(got.Confidence, c.want.Confidence) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestEstimateLeavesValuesAlone(t *testing.T) {
	values := []float64{3, 1, 2}
	Of(values)
	Compare(values, values)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("values are now %v", values)
	}
}

// TestCoverage: of many samples of a skewed distribution, the interval holds the
// true median about as often as it says.
func TestCoverage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const samples = 4000
	held := 0
	for range samples {
		values := make([]float64, 7)
		for i := range values {
			values[i] = math.Exp(random.NormFloat64()) // median 1
		}
		if e := Of(values); e.Low <= 1 && 1 <= e.High {
			held++
		}
	}
	// 7 values: 1 - 2/128 = 0.984; four standard errors either way.
	if share := float64(held) / samples; math.Abs(share-0.984375) > 4*math.Sqrt(0.984375*0.015625/samples) {
		t.Errorf("the interval held the median in %.4f of samples, want 0.984", share)
	}
}

// TestCompareKnown: exact values of the U test, from its table: for samples fully apart
// P is 2 / C(n+m, n).
func TestCompareKnown(t *testing.T) {
	for _, c := range []struct {
		name    string
		a, b    []float64
		p       float64
		enough  bool
		differs bool
	}{
		{"six and six, apart", []float64{1, 2, 3, 4, 5, 6}, []float64{7, 8, 9, 10, 11, 12}, 2.0 / 924, true, true},
		{"six and five, apart, are too few", []float64{1, 2, 3, 4, 5, 6}, []float64{7, 8, 9, 10, 11}, 2.0 / 462, false,
			false},
		{"three and three cannot tell", []float64{1, 2, 3}, []float64{60, 70, 80}, 2.0 / 20, false, false},
		{"interleaved", []float64{1, 3, 5, 7, 9, 11}, []float64{2, 4, 6, 8, 10, 12}, 0.6991341991341992, true, false},
		{"one and one", []float64{1}, []float64{2}, 1, false, false},
	} {
		got := Compare(c.a, c.b)
		if !near(got.P, c.p) || got.Enough != c.enough || got.Differs() != c.differs {
			t.Errorf("%s: %+v, want P %v, enough %v, differs %v", c.name, got, c.p, c.enough, c.differs)
		}
	}
}

// TestEqualsDifferSeldom: samples of one distribution are called different no more often than Alpha.
func TestEqualsDifferSeldom(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const pairs = 2000
	differ := 0
	for range pairs {
		a, b := make([]float64, 7), make([]float64, 7)
		for i := range a {
			a[i], b[i] = random.ExpFloat64(), random.ExpFloat64()
		}
		if Compare(a, b).Differs() {
			differ++
		}
	}
	if differ > pairs*7/100 || differ == 0 {
		t.Errorf("%d of %d equal pairs differ", differ, pairs)
	}
}

func TestBeside(t *testing.T) {
	for _, c := range []struct {
		control, ratio Estimate
		want           Verdict
	}{
		{Estimate{Low: 0.96, High: 1.02}, Estimate{Median: 1.5, Low: 1.4, High: 1.6, N: 6}, More},
		// smaller than the control's own
		{Estimate{Low: 0.96, High: 1.02}, Estimate{Median: 1.03, Low: 1.01, High: 1.05, N: 6}, Same},
		// its interval holds 1
		{Estimate{Low: 0.96, High: 1.02}, Estimate{Median: 1.5, Low: 0.9, High: 1.6, N: 6}, Same},
		{Estimate{Low: 0.96, High: 1.02}, Estimate{Median: 0.5, Low: 0.4, High: 0.6, N: 6}, Less},
		{Estimate{Low: 0.96, High: 1.02}, Estimate{Median: 0.97, Low: 0.965, High: 0.99, N: 6}, Same},
		// a control that is off
		{Estimate{Low: 1.1, High: 1.2}, Estimate{Median: 1.15, Low: 1.1, High: 1.19, N: 6}, Same},
		// a control that says nothing
		{Estimate{Low: 0, High: 1}, Estimate{Median: 9, Low: 8, High: 10, N: 6}, Noisy},
		// a control that says next to nothing
		{Estimate{Low: 0.6, High: 1}, Estimate{Median: 9, Low: 8, High: 10, N: 6}, Noisy},
		// an interval of 94 %
		{Estimate{Low: 1, High: 1}, Estimate{Median: 2, Low: 2, High: 2, N: 5}, Few},
	} {
		if got := c.ratio.Beside(c.control.Band()); got != c.want {
			t.Errorf("%+v beside a control of %+v: %q, want %q", c.ratio, c.control, got, c.want)
		}
	}
}

// TestConfidenceOf: from RoundsMin on, an interval has the confidence that it is asked for, and not before.
func TestConfidenceOf(t *testing.T) {
	for n := range 20 {
		if n++; (ConfidenceOf(n) >= Confidence) != (n >= RoundsMin) {
			t.Errorf("%d values: %v", n, ConfidenceOf(n))
		}
	}
	if got := ConfidenceOf(2); got != 0.5 {
		t.Errorf("of two values: %v", got)
	}
}
