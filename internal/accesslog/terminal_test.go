package accesslog

import (
	"strings"
	"testing"
	"time"
)

func TestThrottlePassesTwoHundredLinesASecond(t *testing.T) {
	start := time.Now()
	lines := func(n int) []byte { return []byte(strings.Repeat("line\n", n)) }
	steps := []struct {
		after time.Duration // since the start
		lines int
		shown int // lines passed, a summary included
		left  string
	}{
		{0, 150, 150, ""},
		{100 * time.Millisecond, 100, 50, ""},
		{900 * time.Millisecond, 7, 0, ""},
		{1000 * time.Millisecond, 0, 1, "... 57 lines left out"},
		{1500 * time.Millisecond, 200, 200, ""},
		{2600 * time.Millisecond, 300, 200, ""},
		{3600 * time.Millisecond, 10, 11, "... 100 lines left out"},
		{9000 * time.Millisecond, 0, 0, ""},
	}
	var throttle throttle
	for _, s := range steps {
		now := start.Add(s.after)
		got := string(throttle.pass(nil, lines(s.lines), now))
		if n := strings.Count(got, "\n"); n != s.shown || !strings.HasPrefix(got, s.left) {
			t.Errorf("after %v, %d lines: %d shown, first %.30q", s.after, s.lines, n, got)
		}
		if due := throttle.due(now); (due > 0) != (throttle.left > 0) || due > time.Second {
			t.Errorf("after %v: the summary of %d is due in %v", s.after, throttle.left, due)
		}
	}
}
