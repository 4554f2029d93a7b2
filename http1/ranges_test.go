package http1

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseRangeRFC9110Section14(t *testing.T) {
	whole := []ByteRange(nil)
	for _, c := range []struct {
		name, value string
		size        int64
		max         int
		want        []ByteRange
		result      RangeResult
	}{
		{"14.1.2 first and last", "bytes=0-499", 1000, 16, []ByteRange{{0, 500}}, RangeSatisfiable},
		{"14.1.2 one byte", "bytes=0-0", 1000, 16, []ByteRange{{0, 1}}, RangeSatisfiable},
		{"14.1.2 to the end", "bytes=999-", 1000, 16, []ByteRange{{999, 1}}, RangeSatisfiable},
		{"14.1.2 last beyond the end", "bytes=500-5000", 1000, 16, []ByteRange{{500, 500}}, RangeSatisfiable},
		{"14.1.2 suffix", "bytes=-500", 1000, 16, []ByteRange{{500, 500}}, RangeSatisfiable},
		{"14.1.2 suffix longer than all", "bytes=-5000", 1000, 16, []ByteRange{{0, 1000}}, RangeSatisfiable},
		{
			"14.1.2 several", "bytes=0-0, 10-19 ,-1,5-", 1000, 16, []ByteRange{{0, 1}, {10, 10}, {999, 1}, {5, 995}},
			RangeSatisfiable,
		},
		{
			"14.1.2 those beyond the end are left out", "bytes=5-6,1000-,0-0", 1000, 16, []ByteRange{{5, 2}, {0, 1}},
			RangeSatisfiable,
		},
		{"14.1 unit in any case", "BYTES=0-0", 1000, 16, []ByteRange{{0, 1}}, RangeSatisfiable},
		{"5.6.1 empty elements", "bytes=,, 0-0 ,", 1000, 16, []ByteRange{{0, 1}}, RangeSatisfiable},
		{"14.1.1 overflow of last", "bytes=5-99999999999999999999999", 1000, 16, []ByteRange{{5, 995}},
			RangeSatisfiable},
		{"14.1.1 overflow of a suffix", "bytes=-99999999999999999999999", 1000, 16, []ByteRange{{0, 1000}},
			RangeSatisfiable},
		{"14.1.1 at the limit", "bytes=0-0,1-1", 1000, 2, []ByteRange{{0, 1}, {1, 1}}, RangeSatisfiable},
		{"14.1.1 without a limit", "bytes=0-0,1-1", 1000, 0, []ByteRange{{0, 1}, {1, 1}}, RangeSatisfiable},

		{"14.1.2 first at the end", "bytes=1000-", 1000, 16, whole, RangeUnsatisfiable},
		{"14.1.2 suffix of nothing", "bytes=-0", 1000, 16, whole, RangeUnsatisfiable},
		{"14.1.1 overflow of first", "bytes=99999999999999999999999-", 1000, 16, whole, RangeUnsatisfiable},
		{
			"14.1.1 overflow of both", "bytes=99999999999999999999998-99999999999999999999999", 1000, 16, whole,
			RangeUnsatisfiable,
		},
		{"14.2 of an empty representation", "bytes=0-", 0, 16, whole, RangeIgnored},
		{"14.2 of an empty representation, to a byte", "bytes=0-9", 0, 16, whole, RangeIgnored},
		{"14.2 of an empty representation, behind one beyond it", "bytes=5-9,0-", 0, 16, whole, RangeIgnored},
		{"14.1.2 beyond an empty representation", "bytes=5-9", 0, 16, whole, RangeUnsatisfiable},
		{"14.2 suffix of nothing of an empty representation", "bytes=-0", 0, 16, whole, RangeIgnored},
		{"14.2 suffix of an empty representation", "bytes=-5", 0, 16, whole, RangeIgnored},
		{"14.1.1 last before first", "bytes=5-4", 1000, 16, whole, RangeIgnored},
		{"14.1.1 last before first behind a good one", "bytes=0-0,5-4", 1000, 16, whole, RangeIgnored},
		{"14.1.1 last before first beyond the end", "bytes=5000-4000", 1000, 16, whole, RangeIgnored},
		{"14.1.1 no number", "bytes=-", 1000, 16, whole, RangeIgnored},
		{"14.1.1 no dash", "bytes=5", 1000, 16, whole, RangeIgnored},
		{"14.1.1 two dashes", "bytes=1-2-3", 1000, 16, whole, RangeIgnored},
		{"14.1.1 sign", "bytes=+1-2", 1000, 16, whole, RangeIgnored},
		{"14.1.1 white space within", "bytes=1 -2", 1000, 16, whole, RangeIgnored},
		{"14.1.1 white space before the equals sign", "bytes =1-2", 1000, 16, whole, RangeIgnored},
		{"14.1.1 no range", "bytes=", 1000, 16, whole, RangeIgnored},
		{"14.1.1 empty elements alone", "bytes=, ,", 1000, 16, whole, RangeIgnored},
		{"14.1 other unit", "lines=0-1", 1000, 16, whole, RangeIgnored},
		{"14.1 no unit", "0-1", 1000, 16, whole, RangeIgnored},
		{"14.2 more than the limit", "bytes=0-0,1-1,2-2", 1000, 2, whole, RangeIgnored},
		{"14.2 more than the limit, beyond the end", "bytes=5000-,5000-,5000-", 1000, 2, whole, RangeIgnored},
		{"14.2 very many", "bytes=" + strings.Repeat("0-,", 10000), 1000, 16, whole, RangeIgnored},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := []ByteRange{{7, 7}}
			got, result := ParseRange([]byte(c.value), c.size, c.max, before)
			if result != c.result || !reflect.DeepEqual(got, append(before, c.want...)) {
				t.Errorf("got %v, %d; want %v, %d", got[1:], result, c.want, c.result)
			}
		})
	}
}

func TestParseRangeAllocatesNothing(t *testing.T) {
	value := []byte("bytes=0-0,5-9,-1")
	dst := make([]ByteRange, 0, 16)
	if n := testing.AllocsPerRun(100, func() { ParseRange(value, 1000, 16, dst) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCoalesceRangesRFC9110Section15_3_7_2(t *testing.T) {
	for _, c := range []struct {
		name       string
		asked, got []ByteRange
	}{
		{"one", []ByteRange{{5, 5}}, []ByteRange{{5, 5}}},
		{"apart, in the order asked", []ByteRange{{20, 5}, {0, 5}, {10, 5}}, []ByteRange{{20, 5}, {0, 5}, {10, 5}}},
		{"overlapping", []ByteRange{{0, 10}, {5, 10}}, []ByteRange{{0, 15}}},
		{"overlapping backwards", []ByteRange{{5, 10}, {0, 10}}, []ByteRange{{0, 15}}},
		{"touching", []ByteRange{{0, 5}, {5, 5}}, []ByteRange{{0, 10}}},
		{"touching backwards", []ByteRange{{5, 5}, {0, 5}}, []ByteRange{{0, 10}}},
		{"a gap of one byte", []ByteRange{{0, 5}, {6, 5}}, []ByteRange{{0, 5}, {6, 5}}},
		{"within", []ByteRange{{0, 100}, {20, 1}}, []ByteRange{{0, 100}}},
		{"around", []ByteRange{{20, 1}, {0, 100}}, []ByteRange{{0, 100}}},
		{"the same", []ByteRange{{1, 2}, {1, 2}, {1, 2}}, []ByteRange{{1, 2}}},
		{
			"ascending and then not", []ByteRange{{0, 5}, {10, 5}, {20, 5}, {5, 1}, {30, 5}},
			[]ByteRange{{0, 6}, {10, 5}, {20, 5}, {30, 5}},
		},
		{"the last joins the others", []ByteRange{{0, 5}, {50, 5}, {10, 5}, {4, 7}}, []ByteRange{{0, 15}, {50, 5}}},
		{
			"a joined range stands first", []ByteRange{{50, 5}, {90, 5}, {10, 5}, {55, 2}},
			[]ByteRange{{50, 7}, {90, 5}, {10, 5}},
		},
	} {
		if got := CoalesceRanges(append([]ByteRange(nil), c.asked...)); !reflect.DeepEqual(got, c.got) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.got)
		}
	}
}

// TestCoalesceRangesKeepsEveryByte compares with a map of the bytes.
func TestCoalesceRangesKeepsEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ByteRange {
			return ByteRange{rapid.Int64Range(0, 60).Draw(t, "offset"), rapid.Int64Range(1, 12).Draw(t, "length")}
		}), 1, 16).Draw(t, "asked")
		var want, seen [100]bool
		for _, r := range asked {
			for i := r.Offset; i < r.Offset+r.Length; i++ {
				want[i] = true
			}
		}
		got := CoalesceRanges(append([]ByteRange(nil), asked...))
		for _, r := range got {
			for i := r.Offset; i < r.Offset+r.Length; i++ {
				if seen[i] {
					t.Fatalf("%v: byte %d twice in %v", asked, i, got)
				}
				seen[i] = true
			}
			if end := r.Offset + r.Length; seen[end] {
				t.Fatalf("%v: two ranges touch in %v", asked, got)
			}
		}
		if seen != want {
			t.Fatalf("%v became %v", asked, got)
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=0-499", int64(1000))
	f.Add("bytes=-5, 3-", int64(4))
	f.Add("bytes=9223372036854775807-9223372036854775808", int64(9223372036854775807))
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		got, result := ParseRange([]byte(value), size, 16, nil)
		if (len(got) > 0) != (result == RangeSatisfiable) || len(got) > 16 {
			t.Errorf("%d ranges, result %d", len(got), result)
		}
		for _, r := range got {
			if r.Offset < 0 || r.Length <= 0 || r.Offset > size-r.Length {
				t.Errorf("range %v of %d bytes", r, size)
			}
		}
		checkRangeOracle(t, value, size, got, result)
	})
}
