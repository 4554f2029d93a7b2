//go:build unix

package reactor

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// driven is a server of one loop that the test itself takes from batch to batch.
func driven(t testing.TB, v variant, options ...option) (*server, *Loop) {
	t.Helper()
	runtime.LockOSThread() // as the loop would be
	t.Cleanup(runtime.UnlockOSThread)
	s := prepare(t, v, 1, options...)
	l := s.loops[0]
	l.acceptor.set([]model.Listener{{FD: s.fds[0]}})
	l.acceptor.watch(clock.Mono())
	t.Cleanup(func() { l.end(nil) })
	return s, l
}

// settled drives the loop until a wait lasts as long as it may: there is nothing to do.
func settled(t testing.TB, s *server, l *Loop) {
	t.Helper()
	p := s.pollers[0]
	if p.restless {
		for range 1000 {
			l.round()
		}
		return
	}
	slept, waits := p.slept.Load(), p.waits.Load()
	for p.slept.Load() == slept {
		if p.waits.Load() > waits+10_000 {
			t.Fatal("the loop does not come to rest")
		}
		l.round()
	}
}

// fd is the client's descriptor, for calls that do not wait.
func (c *client) fd() (fd int) {
	c.t.Helper()
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	must(c.t, err)
	must(c.t, raw.Control(func(n uintptr) { fd = int(n) }))
	return fd
}

// poll returns what has come, without waiting.
func (c *client) poll() string {
	c.t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Read(c.fd(), buf)
	if err != nil && err != unix.EAGAIN {
		c.t.Fatal(err)
	}
	return string(buf[:max(n, 0)])
}

// TestFairness: beside a connection that pipelines without end, each of 20
// others is answered in the next batch (rule 7).
func TestFairness(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const others, turn, rounds = 20, 8, 30
		s, l := driven(t, v, withConfig(func(c *conn.Config) { c.TurnRequests = turn }))
		greedy := s.dial()
		flood := []byte(strings.Repeat(get("/small"), 1000))
		offset, answers := 0, 0
		more := func() { // keeps the greedy one's requests coming, and takes its answers
			answers += strings.Count(greedy.poll(), "HTTP/1.1 200")
			for {
				n, err := unix.Write(greedy.fd(), flood[offset:])
				if err != nil {
					return
				}
				offset = (offset + n) % len(flood)
			}
		}
		var small []*client
		for range others {
			c := s.dial().send(get("/small"))
			small = append(small, c)
		}
		more()
		settledFor(s, l, others+1)
		for round := range rounds {
			for i, c := range small {
				if got := c.poll(); strings.Count(got, "HTTP/1.1 200") != 1 {
					t.Fatalf("round %d: client %d got %q after one batch", round, i, got)
				}
				c.send(get("/small"))
			}
			more()
			before := s.answers.served.Load()
			l.round()
			if n := s.answers.served.Load() - before; n != others+turn {
				t.Fatalf("round %d: %d requests were answered in a batch, not %d of others and %d of the greedy one",
					round, n, others, turn)
			}
		}
		if more(); answers < rounds*turn {
			t.Errorf("the greedy one got %d answers", answers)
		}
	})
}

// settledFor drives the loop until it has n connections that were all answered once.
func settledFor(s *server, l *Loop, n int) {
	s.t.Helper()
	for range 100 {
		answered := 0
		l.slab.each(func(s *slot) {
			if s.conn.Requests() > 0 {
				answered++
			}
		})
		if answered == n {
			return
		}
		l.round()
	}
	s.t.Fatalf("%d connections are not answered", n)
}

// TestAcceptIsBounded: a flood of new connections does not hold up the one
// that is there, and all are served in the end.
func TestAcceptIsBounded(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const flood = 5 * model.AcceptMax / 2
		s, l := driven(t, v)
		old := s.dial().send(get("/small"))
		settledFor(s, l, 1)
		old.expect(200)
		var clients []*client
		for range flood {
			clients = append(clients, s.dial().send(getClose("/small")))
		}
		for _, accepted := range []int64{model.AcceptMax, model.AcceptMax, flood - 2*model.AcceptMax} {
			old.send(get("/small"))
			before := s.answers.served.Load()
			l.round()
			if got := old.poll(); strings.Count(got, "HTTP/1.1 200") != 1 {
				t.Fatalf("the old connection got %q in a batch", got)
			}
			if n := s.answers.served.Load() - before - 1; n != accepted {
				t.Fatalf("%d connections were accepted in a batch, not %d", n, accepted)
			}
		}
		for _, c := range clients {
			c.expect(200)
		}
	})
}

// TestStaleTokens: connection B is closed while A's event of the same batch is
// handled, and both its slot and its descriptor's number have a new owner
// when B's event comes: the new owner is not touched.
func TestStaleTokens(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s, l := driven(t, v, overUnix)
		a, b := s.dial().send(get("/small")), s.dial().send(get("/small"))
		settledFor(s, l, 2)
		a.expect(200)
		b.expect(200)
		var slots []*slot
		l.slab.each(func(s *slot) { slots = append(slots, s) })
		second := slots[1]
		stale, number := second.token(), second.fd
		var successor int
		closed := false
		s.answers.onServe = func(string, *conn.Output) {
			if closed {
				return
			}
			closed = true
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			must(t, err)
			must(t, unix.SetNonblock(pair[1], true))
			l.close(second)
			l.closeBatch()
			must(t, unix.Dup2(pair[1], int(number)))
			must(t, unix.Close(pair[1]))
			successor = pair[0]
			fresh := l.slab.take()
			fresh.fd = number
			fresh.conn.Start(l.local, conn.Addr{}, false)
			fresh.want, fresh.ready = conn.WantRead, 0
			l.opts.Open.Add(1)
			if fresh != second {
				t.Fatal("the slot was not reused")
			}
		}
		a.send(get("/small"))
		first := slots[0].token()
		l.dispatch(poller.Event{Token: first, Ready: poller.Readable})
		l.dispatch(poller.Event{Token: stale, Ready: poller.Readable | poller.Writable | poller.Hangup})
		if !closed {
			t.Fatal("the first event was not handled")
		}
		if second.ready != 0 || !second.live {
			t.Errorf("the new owner has the old one's bits %b, live: %v", second.ready, second.live)
		}
		result := find("late")
		l.Deliver(uint64(stale), 1, result)
		l.Wake(uint64(stale))
		l.receive()
		if n := result.refs.Load(); n != 0 {
			t.Errorf("%d references to a result that nobody waits for", n)
		}
		l.dispatch(poller.Event{Token: second.token(), Ready: poller.Readable})
		if second.ready != 0 { // it looked, and found nothing
			t.Errorf("ready bits %b after an empty recv", second.ready)
		}
		must(t, unix.Close(successor))
	})
}

// TestDataAndEndInOneEvent: a request and the end behind it, reported
// together, are both seen: the request is answered and the connection ends.
func TestDataAndEndInOneEvent(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		c := s.dial()
		c.send(get("/small")).expect(200)
		s.wants(conn.WantRead, conn.PhaseIdle)
		s.on(0, func(*Loop) { // between two waits
			c.send(get("/small"))
			c.closeWrite()
		})
		c.expect(200)
		c.expectEnd(false)
		s.empty()
	})
}

// TestAlone: a look at the file is asked for only when a lone request comes
// after a wait that slept (rule 10).
func TestAlone(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		if restless(v.backend) {
			return // it always has something to look at
		}
		var alone []bool
		s, l := driven(t, v, overUnix, withAnswers(func(a *answers) {
			a.onServe = func(_ string, out *conn.Output) { alone = append(alone, out.Alone()) }
		}))
		check := func(what string, want ...bool) {
			t.Helper()
			if fmt.Sprint(alone) != fmt.Sprint(want) {
				t.Errorf("%s: Alone is %v, not %v", what, alone, want)
			}
			alone = nil
		}
		a, b := s.dial().send(get("/small")), s.dial().send(get("/small"))
		settled(t, s, l)
		alone = nil

		a.send(get("/small"))
		l.round()
		check("a lone request after a sleep", true)
		a.send(get("/small"))
		l.round()
		check("a lone request without a sleep", false)

		settled(t, s, l)
		a.send(get("/small"))
		b.send(get("/small"))
		l.round()
		check("two at once after a sleep", false, false)

		settled(t, s, l)
		for range 2 {
			s.dial().send(get("/small"))
		}
		l.round()
		check("two new connections after a sleep", true, false)
	})
}

// TestSteadyStateAllocatesNothing: keep-alive requests over a real socket.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const requests, allowed = 10_000, 50
		s := start(t, v)
		c := s.dial()
		request, response := []byte(get("/small")), make([]byte, 4096)
		exchange := func() {
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Conn.Read(response); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			exchange()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range requests {
			exchange()
		}
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; n > allowed {
			t.Errorf("%d allocations in %d requests", n, requests)
		}
	})
}

// TestTurnsOfLargeAnswers: a large answer leaves in turns, between which others are served.
func TestTurnsOfLargeAnswers(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const turn = 16 << 10
		for _, path := range []string{"/huge", "/file"} {
			s, l := driven(t, v, withConfig(func(c *conn.Config) { c.TurnBytes = turn }))
			large := s.dial().send(get(path))
			settled(t, s, l)
			other := s.dial().send(get("/small"))
			var got int
			for range 20 { // what the socket took at first leaves it again
				got += len(large.poll())
				l.round()
			}
			if answer := other.poll(); !strings.HasPrefix(answer, "HTTP/1.1 200") {
				t.Errorf("%s: the other client got %q", path, answer)
			}
			done := make(chan int64)
			go func() {
				n, err := io.Copy(io.Discard, io.LimitReader(large.Conn, int64(len(huge)-got)))
				if err != nil {
					t.Error(err)
				}
				done <- n
			}()
			for running := true; running; {
				select {
				case n := <-done:
					if int(n)+got < len(huge) {
						t.Errorf("%s: %d bytes came", path, int(n)+got)
					}
					running = false
				default:
					l.round()
				}
			}
		}
	})
}
