//go:build unix

package poller

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mailbox is what an owner does with Wake: others post and wake, the owner
// looks after each Wait. A post that is never looked at is a lost wake.
type mailbox struct {
	*subject
	posted atomic.Int64
	seen   int64 // by the owner
}

// post publishes, then wakes. It may be called from any goroutine.
func (m *mailbox) post() error {
	m.posted.Add(1)
	return m.Wake()
}

// mustPost is post for goroutines other than the test's own.
func (m *mailbox) mustPost(t *testing.T) {
	if err := m.post(); err != nil {
		t.Error(err)
	}
}

// wait is the owner's: it waits until something has ended the wait before its time, then looks.
func (m *mailbox) wait() error {
	for over := true; over; {
		start := time.Now()
		if _, err := m.Wait(m.events, -1); err != nil {
			return err
		}
		over = time.Since(start) >= WaitMax
	}
	m.seen = m.posted.Load()
	return nil
}

// waitUntil waits until count posts were seen, each time until it is woken: a lost
// wake hangs, and the test fails for that.
func (m *mailbox) waitUntil(t *testing.T, count int64) {
	t.Helper()
	inBackground(t, func() {
		for m.seen < count {
			if err := m.wait(); err != nil {
				t.Error(err)
				return
			}
		}
	})()
}

func TestWakeBeforeWait(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		m := &mailbox{subject: s}
		for i := range int64(3) {
			must(t, m.post())
			m.waitUntil(t, i+1)
		}
	})
}

func TestWakeIsNoEventAndIsUsedUp(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		ours, peers := unixPair(t)
		s.add(t, ours, tokenA, Readable, 0)
		woken := 0
		s.inGap("cleared", func() { woken++ })
		for round := range 3 {
			for range 3 {
				must(t, s.Wake())
			}
			if got := s.take(t, patience); len(got) != 0 {
				t.Fatalf("a wake was reported as %v", got)
			}
			for range 3 { // the three were one, and it is used up
				s.take(t, 0)
			}
			if woken != round+1 {
				t.Fatalf("%d bursts of wakes ended %d waits", round+1, woken)
			}
			send(t, peers, "x")
			if got := s.take(t, patience); got[tokenA] != Readable {
				t.Errorf("got %v, want %#x readable", got, tokenA)
			}
			receive(t, ours)
		}
	})
}

func TestWakeBesideEvents(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		ours, peers := unixPair(t)
		s.add(t, ours, tokenA, Readable, 0)
		send(t, peers, "x")
		must(t, s.Wake())
		// A buffer of one: the wake may take a call of its own, and hides nothing.
		one := make([]Event, 1)
		for calls := 1; ; calls++ {
			n, err := s.Wait(one, 0)
			must(t, err)
			if n == 1 {
				break
			}
			if calls == 3 {
				t.Fatal("the descriptor was not reported")
			}
		}
	})
}

// A wake that comes after a wait has slept its whole time.
func TestWakeAfterWholeWaits(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		m := &mailbox{subject: s}
		waits := 0
		s.inGap("waiting", func() {
			if waits++; waits == 2 {
				m.mustPost(t)
			}
		})
		m.waitUntil(t, 1)
		if waits < 2 {
			t.Errorf("%d system calls, want 2 at least", waits)
		}
	})
}

// In each gap of the protocol another goroutine posts and its Wake returns; the
// owner must see every post. The hook runs once, where it stands in the way.
func TestWakeInEveryGapIsSeen(t *testing.T) {
	for _, name := range []string{"claimed", "sent", "waiting", "reported", "cleared"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *subject) {
				m := &mailbox{subject: s}
				var ran atomic.Bool
				s.inGap(name, func() {
					if !ran.CompareAndSwap(false, true) {
						return
					}
					inBackground(t, func() {
						for range 3 {
							m.mustPost(t)
						}
					})()
				})
				must(t, m.post())
				m.waitUntil(t, 4)
				if !ran.Load() {
					t.Error("the hook never ran")
				}
				// And the protocol is where it began.
				must(t, m.post())
				m.waitUntil(t, 5)
			})
		})
	}
}

// The waker is held in each of its gaps while the owner takes turns of its own.
func TestOwnerRunsWhileAWakeIsHeld(t *testing.T) {
	for _, name := range []string{"claimed", "sent"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *subject) {
				m := &mailbox{subject: s}
				reached, resume := make(chan struct{}), make(chan struct{})
				var ran atomic.Bool
				s.inGap(name, func() {
					if ran.CompareAndSwap(false, true) {
						close(reached)
						<-resume
					}
				})
				posted := inBackground(t, func() { m.mustPost(t) })
				<-reached
				for range 3 { // none of them blocks: they only look
					if got := s.take(t, 0); len(got) != 0 {
						t.Errorf("events: %v", got)
					}
				}
				inBackground(t, func() { m.mustPost(t) })()
				for range 3 {
					s.take(t, 0)
				}
				close(resume)
				posted()
				// Whatever those looks took, they looked after the posts; a new one must be seen.
				m.seen = 0
				must(t, m.post())
				m.waitUntil(t, 3)
			})
		})
	}
}

// A Wake between its claim and its write meets Close, and a descriptor that
// gets the numbers of the poller's own: it must not be written to.
func TestCloseBetweenClaimAndWrite(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		reached, resume := make(chan struct{}), make(chan struct{})
		s.inGap("claimed", func() { close(reached); <-resume })
		woken := inBackground(t, func() {
			if err := s.Wake(); err != nil {
				t.Error(err)
			}
		})
		<-reached
		must(t, s.Close())
		var strangers []int
		for range 4 { // more numbers than a poller has
			ours, peers := unixPair(t)
			strangers = append(strangers, ours, peers)
		}
		close(resume)
		woken()
		must(t, s.Wake())
		for _, fd := range strangers {
			if data, _ := receive(t, fd); data != "" {
				t.Errorf("%q was written to a stranger's descriptor %d", data, fd)
			}
		}
	})
}

// Close waits for a Wake that has begun to tell the kernel.
func TestWakesDuringClose(t *testing.T) {
	for _, b := range Backends() {
		for range 20 {
			s := open(t, b, b.Triggers&-b.Triggers)
			var wakers sync.WaitGroup
			for range 4 {
				wakers.Go(func() {
					for range 100 {
						if err := s.Wake(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			s.take(t, 0)
			must(t, s.Close())
			ours, peers := unixPair(t)
			wakers.Wait()
			for _, fd := range []int{ours, peers} {
				if data, _ := receive(t, fd); data != "" {
					t.Errorf("%q was written to a stranger's descriptor", data)
				}
			}
		}
	}
}

// A Wake whose write failed leaves nothing set: the next one tries again.
func TestFailedWakeIsTakenBack(t *testing.T) {
	var w waker
	if !w.claim() {
		t.Fatal("the first claim must succeed")
	}
	w.release(unix.EIO)
	if !w.claim() {
		t.Fatal("after a failure the next Wake must tell the kernel")
	}
	w.release(nil)
	if w.claim() {
		t.Error("after a success the next Wake must not tell the kernel again")
	}
}

// Many goroutines post; the owner, which waits without bound, sees every post,
// and the calls that reached the kernel are no more than the waits that they ended.
func TestWakesOfManyGoroutinesAreCoalesced(t *testing.T) {
	const goroutines, posts = 16, 500
	each(t, func(t *testing.T, s *subject) {
		m := &mailbox{subject: s}
		var sent, cleared atomic.Int64
		s.inGap("sent", func() { sent.Add(1) })
		s.inGap("cleared", func() { cleared.Add(1) })
		var wakers sync.WaitGroup
		for range goroutines {
			wakers.Go(func() {
				for range posts {
					m.mustPost(t)
				}
			})
		}
		m.waitUntil(t, goroutines*posts)
		wakers.Wait()
		if sent, cleared := sent.Load(), cleared.Load(); sent > cleared+1 {
			t.Errorf("%d wakes reached the kernel, which ended %d waits", sent, cleared)
		}
	})
}

// A burst between two waits is one call to the kernel.
func TestBurstOfWakesIsOneCall(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		var sent atomic.Int64
		s.inGap("sent", func() { sent.Add(1) })
		for round := range int64(3) {
			var wakers sync.WaitGroup
			for range 8 {
				wakers.Go(func() {
					for range 100 {
						if err := s.Wake(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wakers.Wait()
			if got := sent.Load(); got != round+1 {
				t.Errorf("%d bursts made %d calls to the kernel", round+1, got)
			}
			s.take(t, time.Second)
		}
	})
}
