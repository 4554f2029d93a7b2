//go:build unix

package reactor

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/socket"
)

// TestClosedDirectly: a connection whose only request asks for the close, and
// is there when it is accepted, never enters the poller (rule 4).
func TestClosedDirectly(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s, l := driven(t, v)
		p := s.pollers[0]
		adds := p.adds.Load()
		for range 10 {
			c := s.dial().send(getClose("/small"))
			for s.answers.served.Swap(0) == 0 {
				l.round()
			}
			c.expect(200)
			c.expectEnd(false)
		}
		if a, m, r := p.adds.Load()-adds, p.modifies.Load(), p.removes.Load(); a+m+r != 0 {
			t.Errorf("%d Adds, %d Modifies, %d Removes", a, m, r)
		}
	})
}

// TestRegistrations: with an edge trigger a connection is added once, whatever
// it goes through; with a level trigger it is removed while it waits for neither direction.
func TestRegistrations(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		released := make(chan struct{})
		close(released)
		s := start(t, v, withJobs(&r, released))
		p := s.pollers[0]
		adds := p.adds.Load()
		c := s.dial()
		for range 3 {
			c.send(get("/small")).expect(200)
			c.send(get("/defer/1")).expect(200)
			c.send(get("/huge"))
			s.wants(conn.WantWrite, conn.PhaseSending)
			c.expect(200)
			c.send(get("/file")).expect(200)
		}
		s.wants(conn.WantRead, conn.PhaseIdle)
		c.Close()
		s.empty()
		a, m, d := p.adds.Load()-adds, p.modifies.Load(), p.removes.Load()
		if a != d {
			t.Errorf("%d Adds, %d Removes", a, d)
		}
		if l := s.loops[0]; l.edge() && (a != 1 || m != 0) {
			t.Errorf("with an edge trigger: %d Adds, %d Modifies", a, m)
		} else if !l.edge() && (a != 4 || m == 0) {
			t.Errorf("with a level trigger: %d Adds for one connection that waited three times for work, %d Modifies",
				a, m)
		}
	})
}

// TestSeveralLoops: every connection is served, by loops with listeners of their own
// (SO_REUSEPORT) and by loops that share one, and none holds connections that another closed.
func TestSeveralLoops(t *testing.T) {
	const loops, clients = 3, 200
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(loops + 1)) // as the daemon does
	share := map[string]func(s *server) [][]model.Listener{
		"shared": func(s *server) (lists [][]model.Listener) {
			for range loops {
				lists = append(lists, []model.Listener{{FD: s.fds[0], Shared: true}})
			}
			return lists
		},
	}
	if reusesPort {
		share["reuseport"] = func(s *server) (lists [][]model.Listener) {
			for i := range loops {
				if i > 0 {
					s.listen()
				}
				lists = append(lists, []model.Listener{{FD: s.fds[i]}})
			}
			return lists
		}
	}
	eachVariant(t, func(t *testing.T, v variant) {
		for name, lists := range share {
			for _, network := range []string{"tcp", "unix"} {
				if network == "unix" && name != "shared" {
					continue
				}
				t.Run(network+"/"+name, func(t *testing.T) {
					s := prepare(t, v, loops, func(s *server) { s.network = network })
					s.serve(lists(s))
					var open []*client
					for range clients {
						c := s.dial().send(get("/small"))
						c.expect(200)
						open = append(open, c)
					}
					if n := s.Open(); n != clients {
						t.Errorf("%d connections are open, not %d", n, clients)
					}
					total := 0
					for i := range loops {
						s.on(i, func(l *Loop) {
							if total += l.slab.live; name == "reuseport" && l.slab.live == 0 {
								t.Errorf("loop %d has none", i)
							}
						})
					}
					if total != clients {
						t.Errorf("the loops have %d connections, not %d", total, clients)
					}
					for _, c := range open {
						c.send(getClose("/small")).expect(200)
						c.expectEnd(false)
					}
				})
			}
		}
	})
}

// TestRemoteAddress: the slot keeps the peer's address, IPv6 too; a Unix peer has none.
func TestRemoteAddress(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		for _, network := range []string{"tcp", "unix"} {
			var remote string
			s := start(t, v, func(s *server) { s.network = network }, withAnswers(func(a *answers) {
				a.onServe = func(_ string, out *conn.Output) { remote = out.Remote().AddrPort().String() }
			}))
			c := s.dial().send(get("/small"))
			c.expect(200)
			want := c.LocalAddr().String()
			if network == "unix" {
				want = "invalid AddrPort"
			}
			s.on(0, func(*Loop) {
				if remote != want {
					t.Errorf("%s: the peer is %q, not %q", network, remote, want)
				}
			})
		}
	})
}

// TestConnectionLimit: at the limit the oldest idle connection goes; when there is none
// the new one gets a 503; below the limit nothing happens.
func TestConnectionLimit(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		release := make(chan struct{})
		s := start(t, v, withJobs(&r, release), withOptions(func(o *Options) { o.Connections = 3 }))
		var idle []*client
		for range 3 {
			c := s.dial().send(get("/small"))
			c.expect(200)
			idle = append(idle, c)
		}
		if _, warned := s.warnings.Load(model.WarnTooMany); warned {
			t.Error("a warning at the limit")
		}
		idle[0].send(get("/small")).expect(200) // idle[1] is the oldest now
		fourth := s.dial().send(get("/small"))
		fourth.expect(200)
		idle[1].expectEnd(false)
		if _, warned := s.warnings.Load(model.WarnTooMany); !warned {
			t.Error("no warning beyond the limit")
		}
		for i, c := range []*client{idle[0], idle[2], fourth} {
			c.send(get("/each/1"))
			s.deferred(i + 1)
		}
		c := s.dial().send(get("/small"))
		if a := c.expect(503); a.fields.Get("Retry-After") == "" || !a.close {
			t.Errorf("Retry-After %q, close %v", a.fields.Get("Retry-After"), a.close)
		}
		c.Close()
		close(release)
		for _, c := range []*client{idle[0], idle[2], fourth} {
			c.expect(200)
		}
		s.until("the refused one ends", func(l *Loop) bool { return l.slab.live == 3 })
		s.dial().send(get("/small")).expect(200)
		if n := s.Open(); n != 3 {
			t.Errorf("%d connections are open", n)
		}
	})
}

// TestSilentConnectionsMakeRoom: who has sent nothing for a while goes when
// nobody is idle, who has only just come does not; so connections that were
// refused and stay silent cannot pile up.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v, overUnix, withOptions(func(o *Options) { o.Connections = 2 }))
		silent := []*client{s.dial(), s.dial()}
		s.until("they are accepted", func(l *Loop) bool { return l.slab.live == 2 })
		s.dial().send(get("/small")).expect(503)
		s.until("the refused one lingers alone", func(l *Loop) bool { return l.slab.live == 3 })
		s.until("both have been silent for long", func(l *Loop) bool {
			long := 0
			l.slab.each(func(s *slot) {
				if phase, since := s.conn.Phase(); phase == conn.PhaseFirstByte &&
					model.Evictable(phase, since, l.local.Clock.Mono) {
					long++
				}
			})
			return long == len(silent)
		})
		s.dial().send(get("/small")).expect(200)
		for _, c := range silent {
			c.expectEnd(false)
		}
	})
}

// TestOutOfMemoryPauses: errors of the whole system (ENFILE) are handled like
// those of the process: one is refused by means of the reserve, accepting
// pauses and goes on.
func TestOutOfMemoryPauses(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		for _, errno := range []unix.Errno{unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.EMFILE} {
			if !socket.Starved(errno) {
				t.Errorf("%v is not taken for a want of resources", errno)
			}
		}
		s, l := driven(t, v)
		first, second := s.dial().send(get("/small")), s.dial().send(get("/small"))
		if l.starved(&l.acceptor.list[0], unix.ENFILE) {
			t.Error("accepting goes on")
		}
		if l.acceptor.reserve.Held() || l.acceptor.list[0].watched {
			t.Errorf("reserve %v, accepting: %v", l.acceptor.reserve.Held(), l.acceptor.list[0].watched)
		}
		first.expect(503)
		first.Close()
		for s.answers.served.Load() == 0 {
			l.round()
		}
		second.expect(200)
		if !l.acceptor.reserve.Held() || !l.acceptor.list[0].watched {
			t.Errorf("reserve %v, accepting: %v", l.acceptor.reserve.Held(), l.acceptor.list[0].watched)
		}
	})
}

// TestBrokenListenerRests: a descriptor that is no listener, and ready for
// ever, makes the loop neither spin nor fall, the others are served, and it is counted.
func TestBrokenListenerRests(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := prepare(t, v, 1)
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		t.Cleanup(func() { must(t, unix.Close(pair[0])) })
		must(t, unix.Close(pair[1])) // ready for ever
		s.serve([][]model.Listener{{{FD: pair[0]}, {FD: s.fds[0]}}})
		c := s.dial().send(get("/small"))
		c.expect(200)
		s.until("it is said", func(*Loop) bool { _, ok := s.warnings.Load(model.WarnAccept); return ok })
		if n := s.Counters().Resting; n != 1 {
			t.Errorf("%d listeners rest", n)
		}
		s.quiet()
	})
}

// TestWatchingAListenerIsTriedAgain: a poller that refuses a listener when accepting goes on after a pause does not
// make the loop deaf: it is said and counted, and tried until it works.
func TestWatchingAListenerIsTriedAgain(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		c := s.dial().send(get("/small"))
		c.expect(200)
		s.on(0, func(l *Loop) {
			s.pollers[0].failAdds.Store(3)
			l.acceptor.rest(&l.acceptor.list[0], model.WarnStarved, unix.EMFILE, l.local.Clock.Mono)
		})
		if n := s.Counters().Resting; n != 1 {
			t.Errorf("%d listeners rest", n)
		}
		c.send(get("/small")).expect(200) // who is there goes on
		s.dial().send(get("/small")).expect(200)
		if _, said := s.warnings.Load(watchFails); !said {
			t.Error("it is not said")
		}
		if n := s.Counters().Resting; n != 0 {
			t.Errorf("%d listeners rest when it has worked", n)
		}
	})
}

// TestWatchingAConnectionIsTriedAgain: a poller that refuses a connection for want of memory cuts it nowhere: not
// between two requests, not within one, not within an answer.
func TestWatchingAConnectionIsTriedAgain(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v)
		p := s.pollers[0]
		refuse := func() {
			p.failAdds.Store(2)
			p.failModifies.Store(2)
		}
		refuse()
		c := s.dial().send(get("/small"))
		c.expect(200)
		c.send(get("/small")[:9])
		refuse()
		c.send(get("/small")[9:]).expect(200)
		refuse()
		c.send(get("/huge"))
		s.wants(conn.WantWrite, conn.PhaseSending)
		if a := c.expect(200); a.body != int64(len(huge)) {
			t.Errorf("%d bytes came", a.body)
		}
		half := s.dial().send(get("/small")[:9])
		s.until("both are there", func(l *Loop) bool { return l.slab.live == 2 })
		half.send(get("/small")[9:]).expect(200)
	})
}
