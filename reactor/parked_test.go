//go:build unix

package reactor

import (
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
)

// quietWaits is how many waits a loop may make before one lasts as long as it
// may (nap). A poller that reports a parked connection on and on makes 100,000 a second.
const quietWaits = 20

// quiet checks that the first loop comes to rest: a wait lasts until its time is up.
func (s *server) quiet() {
	s.t.Helper()
	p := s.pollers[0]
	if p.restless {
		return
	}
	waits, slept := p.waits.Load(), p.slept.Load()
	for p.slept.Load() == slept {
		if n := p.waits.Load() - waits; n > quietWaits {
			s.t.Fatalf("the loop does not rest: %d waits", n)
		}
		time.Sleep(time.Millisecond)
	}
}

// parkedStates are those in which a connection waits, and how it gets into and out of them.
var parkedStates = []struct {
	name string
	// park brings the connection into the state.
	park func(t *testing.T, s *server, c *client)
	// after goes on from there and sees the end of the connection.
	after func(t *testing.T, s *server, c *client, release func())
}{
	{"deferred", func(t *testing.T, s *server, c *client) {
		c.send(get("/defer/1"))
		s.wants(conn.WantDeferred, conn.PhaseDeferred)
	}, answered},
	{"deferred with requests behind", func(t *testing.T, s *server, c *client) {
		c.send(get("/defer/1"))
		s.wants(conn.WantDeferred, conn.PhaseDeferred)
		c.send(get("/small"))
	}, answered},
	{"deferred on a used connection", func(t *testing.T, s *server, c *client) {
		c.send(get("/small")).expect(200)
		c.send(get("/defer/1"))
		s.wants(conn.WantDeferred, conn.PhaseDeferred)
	}, answered},
	{"deferred, the client half-closed", func(t *testing.T, s *server, c *client) {
		c.send(get("/small")).expect(200)
		c.send(get("/defer/1"))
		s.wants(conn.WantDeferred, conn.PhaseDeferred)
		c.closeWrite()
	}, answered},
	{"deferred, the client gone", func(t *testing.T, s *server, c *client) {
		c.send(get("/small")).expect(200)
		c.send(get("/defer/1"))
		s.wants(conn.WantDeferred, conn.PhaseDeferred)
		c.reset()
	}, gone},
	{"waiting for a page of a file", func(t *testing.T, s *server, c *client) {
		// The workers are taken, so that the page does not come.
		for range 4 {
			s.dial().send(get("/each/1"))
		}
		s.deferred(4)
		c.send(get("/cold"))
		s.deferred(5)
	}, func(t *testing.T, s *server, c *client, release func()) {
		release()
		if a := c.expect(200); a.body != int64(len(huge)) {
			t.Errorf("%d bytes came", a.body)
		}
	}},
	{"waiting for a source", func(t *testing.T, s *server, c *client) {
		c.send(get("/source"))
		s.wants(conn.WantSource, conn.PhaseSending)
	}, gone},
	{"waiting for a source, the client gone", func(t *testing.T, s *server, c *client) {
		c.send(get("/small")).expect(200)
		c.send(get("/source"))
		s.wants(conn.WantSource, conn.PhaseSending)
		c.reset()
	}, nil},
	{"sending to a client that does not read", func(t *testing.T, s *server, c *client) {
		c.send(get("/huge"))
		s.wants(conn.WantWrite, conn.PhaseSending)
	}, downloaded},
	{"sending a file to a client that does not read", func(t *testing.T, s *server, c *client) {
		c.send(get("/file"))
		s.wants(conn.WantWrite, conn.PhaseSending)
	}, downloaded},
	{"sending to a client that half-closed", func(t *testing.T, s *server, c *client) {
		c.send(get("/huge"))
		c.closeWrite()
		s.wants(conn.WantWrite, conn.PhaseSending)
	}, downloaded},
	{"sending while more requests come", func(t *testing.T, s *server, c *client) {
		c.send(get("/huge"))
		s.wants(conn.WantWrite, conn.PhaseSending)
		for range 100 {
			c.send(get("/small"))
		}
	}, downloaded},
	{"sending to a client that half-closed later", func(t *testing.T, s *server, c *client) {
		c.send(get("/small")).expect(200)
		c.send(get("/huge"))
		s.wants(conn.WantWrite, conn.PhaseSending)
		c.closeWrite()
	}, downloaded},
	{"lingering", func(t *testing.T, s *server, c *client) {
		c.send("no request\n\n").expect(400)
		s.wants(conn.WantRead, conn.PhaseLingering)
	}, gone},
	{"idle", func(t *testing.T, s *server, c *client) {
		c.send(get("/small")).expect(200)
		s.wants(conn.WantRead, conn.PhaseIdle)
	}, gone},
	{"in a head", func(t *testing.T, s *server, c *client) {
		c.send("GET / HT")
		s.wants(conn.WantRead, conn.PhaseHead)
	}, gone},
	{"in a body", func(t *testing.T, s *server, c *client) {
		c.send("GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123")
		s.wants(conn.WantRead, conn.PhaseBody)
	}, gone},
	{"none: gone while it was sent to", func(t *testing.T, s *server, c *client) {
		c.send(get("/huge"))
		s.wants(conn.WantWrite, conn.PhaseSending)
		c.reset()
		s.empty()
	}, nil},
	{"none: half-closed while idle", func(t *testing.T, s *server, c *client) {
		c.send(get("/small")).expect(200)
		c.closeWrite()
		c.expectEnd(false)
		s.empty()
	}, nil},
}

// TestParkedConnectionsCostNothing puts one connection into each state in which
// it waits, and sees the loop sleep (docs/architecture.md, Interest).
func TestParkedConnectionsCostNothing(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		if restless(v.backend) {
			return
		}
		for _, network := range []string{"tcp", "unix"} {
			t.Run(network, func(t *testing.T) {
				for _, state := range parkedStates {
					t.Run(state.name, func(t *testing.T) {
						t.Parallel()
						release := make(chan struct{})
						s := start(t, v, func(s *server) {
							s.network = network
							s.answers.job = func(string) conn.Result { <-release; return find("done") }
						})
						released := false
						free := func() {
							if !released {
								close(release)
							}
							released = true
						}
						defer free()
						c := s.dial()
						state.park(t, s, c)
						s.quiet()
						if state.after != nil {
							state.after(t, s, c, free)
						}
					})
				}
			})
		}
	})
}

// answered sees the deferred answer come.
func answered(t *testing.T, _ *server, c *client, release func()) {
	t.Helper()
	release()
	if a := c.expect(200); a.text != "done" {
		t.Errorf("the answer is %q", a.text)
	}
}

// downloaded reads all of an answer.
func downloaded(t *testing.T, _ *server, c *client, _ func()) {
	t.Helper()
	if a := c.expect(200); a.body != int64(len(huge)) {
		t.Errorf("%d bytes came", a.body)
	}
}

// gone breaks the connection, if that has not happened, and sees the server end its side
// as soon as it can know.
func gone(t *testing.T, s *server, c *client, release func()) {
	t.Helper()
	release()
	c.Close()
	if s.answers.sources.Load() > 0 {
		return // nobody looks at it until the source has something
	}
	s.empty()
}
