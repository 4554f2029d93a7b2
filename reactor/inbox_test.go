//go:build unix

package reactor

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// TestNoWakeIsLost has another goroutine post a message in every gap of the
// protocol, from the loop's side and from that of another poster, and sees
// the loop take it without having slept through a wait.
func TestNoWakeIsLost(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		for _, gap := range []string{"asleep", "looked", "woken", "awake", "posted", "claimed"} {
			t.Run(gap, func(t *testing.T) {
				s := prepare(t, v, 1)
				loop, p := s.loops[0], s.pollers[0]
				var missed atomic.Int64
				taken := make(chan struct{})
				var once atomic.Bool
				loop.inbox.hook = func(name string) {
					if name != gap || !once.CompareAndSwap(false, true) {
						return
					}
					posted := make(chan struct{})
					go func() { // as a worker would
						slept := p.slept.Load()
						loop.post(func(*Loop) {
							missed.Store(p.slept.Load() - slept)
							close(taken)
						})
						close(posted)
					}()
					<-posted
				}
				s.serve([][]model.Listener{nil})
				s.until("the gap is reached, from a poster's side too", func(*Loop) bool { return once.Load() })
				s.await("the loop takes the message", taken)
				if n := missed.Load(); n != 0 {
					t.Errorf("the message waited for the end of %d waits", n)
				}
			})
		}
	})
}

// TestPosterHeldInAGap holds a poster between its steps while the loop goes
// through whole rounds, and sees its message handled when it goes on.
func TestPosterHeldInAGap(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		for _, gap := range []string{"posted", "claimed"} {
			t.Run(gap, func(t *testing.T) {
				s := prepare(t, v, 1)
				loop := s.loops[0]
				held, release := make(chan struct{}), make(chan struct{})
				var once atomic.Bool
				loop.inbox.hook = func(name string) {
					if name == gap && once.CompareAndSwap(false, true) {
						close(held)
						<-release
					}
				}
				s.serve([][]model.Listener{nil})
				taken := make(chan struct{})
				go func() { // until one meets a loop that sleeps
					for !once.Load() {
						handled := make(chan struct{})
						loop.post(func(*Loop) { close(handled) })
						<-handled
					}
					close(taken)
				}()
				defer func() { s.await("the message is taken", taken) }()
				s.await("the poster is in the gap", held)
				for range 100 {
					s.on(0, func(*Loop) {})
				}
				close(release)
			})
		}
	})
}

// TestWakesAreCoalesced posts to a loop that is awake, which costs no
// wake-up at all, and wakes one connection often, which is one message.
func TestWakesAreCoalesced(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const posts = 1000
		s := start(t, v)
		loop, p := s.loops[0], s.pollers[0]
		handled := 0
		s.on(0, func(l *Loop) {
			wakes := p.wakes.Load()
			var posters sync.WaitGroup
			for range 10 {
				posters.Go(func() {
					for range posts / 10 {
						loop.post(func(*Loop) { handled++ })
						loop.Wake(1<<32 | 7)
						loop.Wake(1<<32 | 8)
					}
				})
			}
			posters.Wait()
			if n := p.wakes.Load() - wakes; n != 0 {
				t.Errorf("%d wake-ups were written to a loop that is awake", n)
			}
			if n := len(l.inbox.messages); n != posts+2 {
				t.Errorf("%d messages wait, not %d", n, posts+2)
			}
		})
		s.on(0, func(*Loop) {
			if handled != posts {
				t.Errorf("%d of %d messages were handled", handled, posts)
			}
		})
	})
}

// TestInboxTakesEveryMessage has many goroutines post while the loop sleeps and wakes.
func TestInboxTakesEveryMessage(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const posters, posts = 8, 2000
		s := start(t, v)
		handled := 0
		var group sync.WaitGroup
		for range posters {
			group.Go(func() {
				for range posts {
					s.loops[0].post(func(*Loop) { handled++ })
				}
			})
		}
		group.Wait()
		s.on(0, func(*Loop) {
			if handled != posters*posts {
				t.Errorf("%d of %d messages were handled", handled, posters*posts)
			}
		})
	})
}

// TestInboxAfterTheEnd: nothing is taken any more, and who posts is told.
func TestInboxAfterTheEnd(t *testing.T) {
	b := inbox{wake: func() error { return nil }}
	if !b.post(message{token: 1 << 32}) {
		t.Error("a message was refused")
	}
	if got := b.close(); len(got) != 1 || got[0].token != poller.Token(1<<32) {
		t.Errorf("the last messages are %v", got)
	}
	if b.post(message{token: 1 << 32}) || b.post(message{do: func(*Loop) {}}) {
		t.Error("a message was taken after the end")
	}
	if got := b.take(); len(got) != 0 {
		t.Errorf("%d messages came after the end", len(got))
	}
}
