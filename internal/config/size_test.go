package config

import (
	"math"
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		says string // of the error; "": there is none
	}{
		{"0", 0, ""},
		{"1", 1, ""},
		{"4096", 4096, ""},
		{"256KiB", 256 << 10, ""},
		{"256 KiB", 256 << 10, ""},
		{"64MiB", 64 << 20, ""},
		{"2GiB", 2 << 30, ""},
		{"9223372036854775807", math.MaxInt64, ""},
		{"8589934591GiB", 8589934591 << 30, ""},
		{"8589934592GiB", 0, "largest"},
		{"9223372036854775808", 0, "want bytes"},
		{"", 0, "want bytes"},
		{"KiB", 0, "want bytes"},
		{"-1", 0, "want bytes"},
		{"+1", 0, "want bytes"},
		{"1.5MiB", 0, "want bytes"},
		{"256K", 0, "want bytes"},
		{"256kib", 0, "want bytes"},
		{"256KB", 0, "want bytes"},
		{"1KiBKiB", 0, "want bytes"},
		{" 1", 0, "want bytes"},
	} {
		got, err := ParseSize(c.text)
		switch {
		case c.says == "" && (err != nil || got != c.want):
			t.Errorf("%q: %d, %v; want %d", c.text, got, err, c.want)
		case c.says != "" && (err == nil || got != 0 || !strings.Contains(err.Error(), c.says) ||
			!strings.Contains(err.Error(), `"`+c.text+`"`)):
			t.Errorf("%q: %d, %v; want an error that names it and says %q", c.text, got, err, c.says)
		}
	}
}

// TestFormatSize: what is written is read back as the same, and is short.
func TestFormatSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0", 1: "1", 1023: "1023", 1 << 10: "1KiB", 1536: "1536", 256 << 10: "256KiB", 3 << 20: "3MiB",
		5 << 30: "5GiB", 1<<30 + 1<<10: "1048577KiB",
	} {
		got := FormatSize(bytes)
		if back, err := ParseSize(got); got != want || err != nil || back != bytes {
			t.Errorf("%d: %q, read back as %d, %v; want %q", bytes, got, back, err, want)
		}
	}
}
