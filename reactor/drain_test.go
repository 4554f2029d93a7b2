//go:build unix

package reactor

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// TestDrain: what waits to be accepted is accepted and answered, keep-alive
// clients get Connection: close on their next answer, a download under way
// comes to its end, and then the loops do.
func TestDrain(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const queued = 3 * model.AcceptMax
		s := start(t, v)
		alive, large := s.dial(), s.dial()
		alive.send(get("/small")).expect(200)
		large.send(get("/file"))
		s.until("it is being sent", func(l *Loop) bool { return s.answers.served.Load() == 2 })
		var waiting []*client
		s.on(0, func(l *Loop) { // the loop is busy, so these wait in the queue
			for range queued {
				waiting = append(waiting, s.dial().send(get("/small")))
			}
			l.drain(patience)
		})
		s.Drain(patience) // again: nothing changes
		for _, c := range waiting {
			if a := c.expect(200); !a.close {
				t.Error("an answer after the stop does not announce the close")
			}
			c.expectEnd(false)
			c.Close()
		}
		if a := alive.send(get("/small")).expect(200); !a.close {
			t.Error("an answer after the stop does not announce the close")
		}
		alive.expectEnd(false)
		alive.Close()
		if a := large.expect(200); a.body != int64(len(huge)) {
			t.Errorf("%d bytes came", a.body)
		}
		large.Close()
		if e := s.end(); e != (model.Ended{}) {
			t.Errorf("ended with %+v", e)
		}
		if n, err := unix.GetsockoptInt(s.fds[0], unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || n != 1 {
			t.Errorf("the listener does not listen: %d, %v", n, err)
		}
	})
}

// TestDrainDeadline: who is left is cut, and idle ones are counted apart.
func TestDrainDeadline(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		idle := []*client{s.dial(), s.dial()}
		for _, c := range idle {
			c.send(get("/small")).expect(200)
		}
		cut := s.dial().send(get("/huge"))
		s.until("it is being sent", func(l *Loop) bool { return s.answers.served.Load() == 3 })
		s.Drain(10 * time.Millisecond)
		if e := s.end(); e.Idle != 2 || e.Cut != 1 || e.Err != nil {
			t.Errorf("ended with %+v", e)
		}
		for _, c := range idle {
			c.expectEnd(false)
		}
		if a, err := cut.read(); err == nil {
			t.Errorf("a whole answer of %d bytes came", a.body)
		}
	})
}

// TestDrainUnderAFlood: clients that go on connecting do not keep the loop from
// ending, and when Drain has returned the listener may be closed.
func TestDrainUnderAFlood(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v, overUnix)
		stop := make(chan struct{})
		var flood sync.WaitGroup
		for range 4 {
			flood.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := net.DialTimeout(s.network, s.addr, time.Second)
					if err == nil {
						c.Close()
					}
				}
			})
		}
		s.until("they come", func(l *Loop) bool { return l.slab.chunks != nil })
		drained := make(chan struct{})
		go func() { s.Drain(patience); close(drained) }()
		s.await("Drain returns", drained)
		s.end()
		close(stop)
		flood.Wait()
	})
}

// TestDrainWhileAcceptingPauses: what waits when descriptors have run out is
// accepted when there are some again.
func TestDrainWhileAcceptingPauses(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		var waiting *client
		s.on(0, func(l *Loop) {
			l.acceptor.rest(&l.acceptor.list[0], model.WarnStarved, unix.EMFILE, l.local.Clock.Mono)
			waiting = s.dial().send(get("/small"))
			l.drain(patience)
		})
		waiting.expect(200)
		waiting.expectEnd(false)
		waiting.Close()
		s.end()
	})
}

// TestPollerFailure: when a loop's poller fails its connections are cut, and the
// other loops drain and end: Wait says why.
func TestPollerFailure(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3)) // as the daemon does
	eachVariant(t, func(t *testing.T, v variant) {
		s := prepare(t, v, 2)
		s.serve([][]model.Listener{{{FD: s.fds[0]}}, nil})
		a := s.dial()
		a.send(get("/small")).expect(200)
		// A connection of the second loop, in the middle of a download.
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		must(t, unix.SetNonblock(pair[1], true))
		peer := fileClient(t, pair[0])
		s.on(1, func(l *Loop) {
			l.opts.Open.Add(1)
			l.begin(pair[1], conn.Addr{}, false)
		})
		peer.send(get("/huge"))
		s.until("it is being sent", func(*Loop) bool { return s.answers.served.Load() == 2 })
		broken := errors.New("the poller is broken")
		s.pollers[0].fail.Store(&broken)
		a.expectEnd(false)
		if a := peer.expect(200); a.body != int64(len(huge)) {
			t.Errorf("%d bytes came", a.body)
		}
		peer.Close()
		if e := s.end(); !errors.Is(e.Err, broken) || e.Idle != 1 || e.Cut != 0 {
			t.Errorf("ended with %+v", e)
		}
		if s.loops[0].post(func(*Loop) {}) {
			t.Error("a loop that has ended takes a message")
		}
	})
}

// TestWaitFailsForAWhile: a wait that fails for want of memory ends nothing: it is said and tried again.
func TestWaitFailsForAWhile(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		c := s.dial()
		c.send(get("/small")).expect(200)
		full := error(os.NewSyscallError("ppoll", unix.ENOMEM))
		s.pollers[0].fail.Store(&full)
		eventually := time.Now().Add(patience)
		for said := false; !said; _, said = s.warnings.Load(waitFails) {
			if time.Now().After(eventually) {
				t.Fatal("it is not said")
			}
			s.loops[0].post(func(*Loop) {}) // it may be in a wait that has not failed yet
			time.Sleep(time.Millisecond)
		}
		c.send(get("/small"))
		s.pollers[0].fail.Store(nil)
		c.expect(200)
		s.dial().send(get("/small")).expect(200)
	})
}

// TestFailedOpen: a poller that cannot be opened leaves nothing behind.
func TestFailedOpen(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		opened := 0
		failing := v.backend
		failing.Open = func(o poller.Options) (poller.Poller, error) {
			if opened++; opened == 3 {
				return nil, errors.New("no more")
			}
			return v.backend.Open(o)
		}
		r, err := New(3, Options{Backend: failing, Trigger: v.trigger, Options: model.Options{Config: testConfig(),
			NewHandler: func() conn.Handler { return new(answers) }}})
		if r != nil || err == nil || !strings.Contains(err.Error(), v.backend.Name+": no more") {
			t.Errorf("%v, %v", r, err)
		}
	})
}

// TestServeWantsAListALoop: a mistake is an error, not a loop without listeners.
func TestServeWantsAListALoop(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := prepare(t, v, 1)
		if err := s.Serve(nil); err == nil {
			t.Error("no error")
		}
		s.loops[0].end(nil)
	})
}
