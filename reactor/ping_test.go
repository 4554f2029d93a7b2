//go:build unix

package reactor

import (
	"strings"
	"testing"
	"time"
)

// TestPing: loops answer whether they sleep or work; one that is stuck is named,
// however often is asked, and answers again when it is not; one that has ended is not stuck.
func TestPing(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		for range 3 {
			must(t, s.Ping(patience))
		}
		s.dial().send(get("/small")).expect(200)
		must(t, s.Ping(patience))

		stuck, free := make(chan struct{}), make(chan struct{})
		s.loops[0].post(func(*Loop) { close(stuck); <-free })
		s.await("the loop takes a message", stuck)
		for range 3 {
			if err := s.Ping(time.Millisecond); err == nil || !strings.Contains(err.Error(), "loop 0 ") {
				t.Errorf("a stuck loop: %v", err)
			}
		}
		in := &s.loops[0].inbox
		in.mu.Lock()
		waiting := len(in.messages)
		in.mu.Unlock()
		if waiting != 1 {
			t.Errorf("%d messages wait for a loop that was asked three times, want 1", waiting)
		}
		close(free)
	})
}

// TestPingAfterAStuckLoop: what was asked while a loop was stuck is answered when it goes on.
func TestPingAfterAStuckLoop(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		stuck, free := make(chan struct{}), make(chan struct{})
		s.loops[0].post(func(*Loop) { close(stuck); <-free })
		s.await("the loop takes a message", stuck)
		if err := s.Ping(time.Millisecond); err == nil {
			t.Error("a stuck loop has answered")
		}
		close(free)
		must(t, s.Ping(patience))
		s.Drain(patience)
		s.end()
		must(t, s.Ping(patience))
	})
}
