package daemon

import (
	"math"
	"testing"
)

func TestGoMemory(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		there uint64
		parts []int64
		want  int64
	}{
		{"a container of 256 MiB", 256 * mib, []int64{64 * mib, 64 * mib, mib}, 177 * mib},
		{"one that is too small", 100 * mib, []int64{64 * mib, 64 * mib}, 90 * mib},
		{"not known how much there is", 0, []int64{64 * mib}, 112 * mib},
		{"no limit of a part", 0, []int64{math.MaxInt64, math.MaxInt64}, math.MaxInt64},
		{"no limit of a group, version 1", math.MaxInt64, []int64{mib}, 49 * mib},
	} {
		if got := goMemory(c.there, c.parts...); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
