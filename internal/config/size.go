package config

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Sizes in bytes.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30
)

// What sizes and durations are, for errors.
const (
	wantSize     = "bytes or a whole number of KiB, MiB or GiB, such as 256KiB, or 0 for no limit"
	wantDuration = "a duration such as 500ms, 30s or 1h, or 0s"
)

// unit is a suffix of a quantity, and how much it stands for.
type unit struct {
	suffix string
	value  int64
}

var (
	// sizeUnits are the units of a size beyond the byte, the largest first.
	sizeUnits = []unit{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}
	// durationUnits are the units that FormatDuration uses.
	durationUnits = []unit{{"h", int64(time.Hour)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)},
		{"ms", int64(time.Millisecond)}}
)

// inUnits writes n in the first unit that leaves a whole number; empty: none does.
func inUnits(n int64, units []unit) string {
	for _, u := range units {
		if n != 0 && n%u.value == 0 {
			return strconv.FormatInt(n/u.value, 10) + u.suffix
		}
	}
	return ""
}

// ParseSize reads a size, 4096 or 256KiB or 1MiB or 2GiB, and returns it in bytes; 0 is no limit.
func ParseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, unit = strings.TrimRight(number, " "), u.value
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case err != nil:
		return 0, wrong(s, wantSize)
	case n > uint64(math.MaxInt64/unit):
		return 0, fmt.Errorf("%q: more than the largest size, %d bytes", s, int64(math.MaxInt64))
	}
	return int64(n) * unit, nil
}

// FormatSize writes bytes as ParseSize reads them, in the largest unit that leaves a whole number.
func FormatSize(bytes int64) string {
	return cmp.Or(inUnits(bytes, sizeUnits), strconv.FormatInt(bytes, 10))
}

// durationMax bounds every duration: more than a year is a mistake.
const durationMax = 8760 * time.Hour

// ParseDuration reads a duration, 500ms or 30s or 1h30m, that is not negative.
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil || d < 0 || strings.HasPrefix(s, "+"):
		return 0, wrong(s, wantDuration)
	case d > durationMax:
		return 0, wrong(s, "at most "+FormatDuration(durationMax))
	}
	return d, nil
}

// FormatDuration writes d as ParseDuration reads it, in the largest unit that leaves a whole number.
func FormatDuration(d time.Duration) string {
	return cmp.Or(inUnits(int64(d), durationUnits), d.String())
}
