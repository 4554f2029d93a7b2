package listing

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestAppendJSONString holds every string to the standard library's reading of it.
func TestAppendJSONString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		var got string
		if err := json.Unmarshal(appendJSONString(nil, []byte(want)), &got); err != nil || got != string([]rune(want)) {
			t.Errorf("%q came back as %q, %v", want, got, err)
		}
	})
}

// TestCompareNames has each name before all that follow it.
func TestCompareNames(t *testing.T) {
	names := []string{"", "\x01", "-", "0", "00", "1", "01", "1.9", "1.10", "2", "10", "99999999999999999999998",
		"99999999999999999999999", "A", "a", "a0", "a00", "a1", "a01b", "a1c", "a2", "a10", "Ab", "B", "b", "_", "é",
		"\xff"}
	slices.SortFunc(names, func(a, b string) int { return compareNames([]byte(a), []byte(b)) })
	want := strings.Join(names, "|")
	if !strings.Contains(want, "1.9|1.10|2|10|") || !strings.Contains(want, "A|a|a0|a00|") ||
		!strings.Contains(want, "a2|a10|Ab|B|b") {
		t.Errorf("order: %q", names)
	}
	for i, a := range names {
		for j, b := range names {
			if c := compareNames([]byte(a), []byte(b)); cmp.Compare(c, 0) != cmp.Compare(i, j) {
				t.Errorf("%q and %q: %d", a, b, c)
			}
		}
	}
}

func TestAppendSize(t *testing.T) {
	for size, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 10 << 10: "10 KiB", 1<<20 - 1: "1.0 MiB",
		123 << 20: "123 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := string(appendSize(nil, size)); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}

// TestDirectoriesOfFarTimes: a directory whose file has changed is another one, however far the times are apart.
func TestDirectoriesOfFarTimes(t *testing.T) {
	of := func(seconds int64, nanoseconds int32) *Directory {
		d := NewStore().newDirectory(Key{Path: "/"}, 0)
		if _, err := d.Add("x", Row{Seconds: seconds, Nanoseconds: nanoseconds}); err != nil {
			t.Fatal(err)
		}
		return d
	}
	// As many nanoseconds later as 64 bits have values.
	const wraps, rest = math.MaxUint64 / 1_000_000_000, math.MaxUint64%1_000_000_000 + 1
	a := of(1<<30, 5)
	if !a.equal(of(1<<30, 5)) || a.equal(of(1<<30+wraps, 5+rest)) {
		t.Error("times that wrap are taken for one")
	}
}
