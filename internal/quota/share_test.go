package quota

import (
	"math"
	"testing"
)

// TestShare: a use takes what is wanted where there is memory for it, and its part of little.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		wanted int64
		there  uint64
		want   int64
	}{
		{64 << 20, 0, 64 << 20},
		{64 << 20, 64 << 20, 16 << 20},
		{64 << 20, 256 << 20, 64 << 20},
		{8 << 30, 16 << 30, 8 << 30},
		{8 << 30, 1 << 30, 832 << 20},
		{8 << 30, math.MaxUint64, 8 << 30},
	} {
		if got := Share(c.wanted, c.there, 4); got != c.want {
			t.Errorf("%d MiB of %d MiB: %d MiB, want %d", c.wanted>>20, c.there>>20, got>>20, c.want>>20)
		}
	}
}
