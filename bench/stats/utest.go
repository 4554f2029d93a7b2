package stats

import (
	"math"
	"slices"
)

const (
	// exactMax and exactTiesMax are the most values of a side for which [Compare] counts; with more of them
	// the normal distribution is near enough.
	exactMax     = 50
	exactTiesMax = 25
)

// Compare tests whether a and b, of one value at least each, come from the same distribution, with the Mann-Whitney U
// test (Mann and Whitney, On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other,
// 1947): U is how many pairs have the greater value in a, where equal ones count a half.
func Compare(a, b []float64) Comparison {
	c := Comparison{P: 1, Enough: min(len(a), len(b)) >= RoundsMin}
	twoU := 0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				twoU += 2
			case x == y:
				twoU++
			}
		}
	}
	ties := tied(slices.Concat(a, b))
	pairs := len(a) * len(b)
	if twoU > pairs { // the other's U is in the lower half of its distribution
		a, b, twoU = b, a, 2*pairs-twoU
	}
	most := exactMax
	if len(ties) < len(a)+len(b) {
		most = exactTiesMax
	}
	switch {
	case twoU == pairs || len(ties) == 1: // in the middle of its distribution, or nothing differs
	case max(len(a), len(b)) <= most:
		c.P = 2 * ways(len(a), ties, twoU) / choose(len(a)+len(b), len(a))
	default:
		c.P = normal(len(a), len(b), twoU, ties)
	}
	return c
}

// tied counts equal values, in their order.
func tied(values []float64) (counts []int) {
	slices.Sort(values)
	for i, v := range values {
		if i == 0 || v != values[i-1] {
			counts = append(counts, 0)
		}
		counts[len(counts)-1]++
	}
	return counts
}

// ways counts the choices of n values out of those that ties counts, for which U is at most limit/2.
func ways(n int, ties []int, limit int) (sum float64) {
	found := make([][]float64, n+1) // by the number chosen so far, and by 2 U
	for i := range found {
		found[i] = make([]float64, limit+1)
	}
	found[0][0] = 1
	seen := 0
	for _, t := range ties {
		for chosen := n; chosen > 0; chosen-- {
			for k := 1; k <= min(t, chosen); k++ {
				before := chosen - k
				// Each of the k is above what was seen and not chosen, and ties with the rest of its equals.
				more := 2*k*(seen-before) + k*(t-k)
				if before > seen {
					continue
				}
				for u := more; u <= limit; u++ {
					found[chosen][u] += choose(t, k) * found[before][u-more]
				}
			}
		}
		seen += t
	}
	for _, count := range found[n] {
		sum += count
	}
	return sum
}

// choose is the number of choices of k things out of n.
func choose(n, k int) float64 {
	c := 1.0
	for i := range min(k, n-k) {
		c = c * float64(n-i) / float64(i+1)
	}
	return c
}

// normal is P by the normal distribution, with corrections for ties and for U's steps.
func normal(n1, n2, twoU int, ties []int) float64 {
	n, pairs, tied := float64(n1+n2), float64(n1*n2), 0.0
	for _, t := range ties {
		tied += math.Pow(float64(t), 3) - float64(t)
	}
	deviation := math.Sqrt(pairs * (n + 1 - tied/(n*(n-1))) / 12)
	distance := math.Abs(float64(twoU)-pairs)/2 - 0.5
	return math.Erfc(distance / deviation / math.Sqrt2)
}
