package soak

import (
	"io"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestChecker: what an answer may not be is found, and what it is, is said.
func TestChecker(t *testing.T) {
	w, err := newWorld(t.TempDir())
	testkit.Must(t, err)
	var target *target
	for _, other := range w.targets {
		if other.name == "renamed-1000.bin" {
			target = other
		}
	}
	f, foreign := target.files[0], target.files[1].number
	c := &checker{world: w, valid: valid, roots: valid, late: func() time.Duration { return 0 }}
	right := func() (*request, *answer) {
		s := f.now()
		a := &answer{status: 200, tag: `"` + s.tag() + `"`, modified: s.mtime / 1e9, length: s.size}
		a.body = make([]byte, s.size)
		fill(a.body, f.number, f.version, 0)
		now := w.since()
		a.received = now
		return &request{target: target, sent: now}, a
	}
	for _, k := range []struct {
		name   string
		want   verdict
		change func(q *request, a *answer) error
	}{
		{"right", 0, func(*request, *answer) error { return nil }},
		{"right, a range", 0, func(q *request, a *answer) error {
			q.spans = []span{{33, 99}}
			a.status, a.contentRange, a.body = 206, "bytes 33-99/1000", a.body[33:100]
			a.length = 67
			return nil
		}},
		{"another range", wrong, func(q *request, a *answer) error {
			q.spans = []span{{33, 100}}
			a.status, a.contentRange, a.body = 206, "bytes 33-99/1000", a.body[33:100]
			a.length = 67
			return nil
		}},
		{"a byte", crossed, func(_ *request, a *answer) error { a.body[512] ^= 0x80; return nil }},
		{"another file", crossed, func(_ *request, a *answer) error {
			fill(a.body, foreign, f.version, 0)
			return nil
		}},
		{"another offset", mixed, func(_ *request, a *answer) error {
			fill(a.body, f.number, f.version, 32)
			return nil
		}},
		{"two versions", mixed, func(_ *request, a *answer) error {
			fill(a.body[500:], f.number, f.version+1, 500)
			return nil
		}},
		{"zeros", mixed, func(_ *request, a *answer) error { clear(a.body[999:]); return nil }},
		{"an unknown tag", crossed, func(_ *request, a *answer) error { a.tag = `"1-3e8"`; return nil }},
		{"a date", wrong, func(_ *request, a *answer) error { a.modified--; return nil }},
		{"ended early", short, func(_ *request, a *answer) error { a.body = a.body[:999]; return io.EOF }},
		{"missing", wrong, func(_ *request, a *answer) error { a.status = 404; return nil }},
		{"unavailable", wrong, func(_ *request, a *answer) error { a.status = 503; return nil }},
		{"not modified", wrong, func(q *request, a *answer) error { a.status, q.noneIf = 304, `"1-3e8"`; return nil }},
		{"modified", wrong, func(q *request, a *answer) error { q.noneIf = a.tag; return nil }},
		{"of another version than If-Range", mixed, func(q *request, a *answer) error {
			a.status, q.rangeIf = 206, `"1-3e8"`
			return nil
		}},
	} {
		q, a := right()
		got := c.check(q, a, k.change(q, a))
		if (got == nil) != (k.want == 0) || got != nil && got.verdict != k.want {
			t.Errorf("%s: %+v, want %v", k.name, got, k.want)
		}
	}
	q, a := right()
	f.mu.Lock()
	testkit.Must(t, f.replace(w, 1000))
	f.mu.Unlock()
	if got := c.check(q, a, nil); got != nil {
		t.Errorf("a state that has just passed: %+v", got)
	}
	q.sent += time.Minute
	a.received = q.sent
	if got := c.check(q, a, nil); got == nil || got.verdict != stale {
		t.Errorf("a state that has long passed: %+v", got)
	}
}
