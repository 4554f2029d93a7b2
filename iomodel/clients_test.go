//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
)

// TestConnectionsPerClient: over all loops of a server, and over servers that hand
// connections over to each other, a client has what the limit gives it, also
// when the limit comes later than the connections. The next ones are refused, then closed in silence.
func TestConnectionsPerClient(t *testing.T) {
	all := choices()
	for i, c := range all {
		t.Run(c.String(), func(t *testing.T) { testConnectionsPerClient(t, c, all[(i+1)%len(all)]) })
	}
}

func testConnectionsPerClient(t *testing.T, first, second iomodel.Choice) {
	clients := new(conn.Clients)
	r := begin(t, first, withConfig(func(c *conn.Config) { c.Clients = clients }))
	a, b := r.dial(t), r.dial(t)
	a.get("/small")
	b.get("/small")
	if n := clients.Len(); n != 0 {
		t.Error("without a limit, clients:", n)
	}
	limit := func(n int) {
		config := *r.opts.Config
		config.ConnectionsPerClient = n
		r.opts.Config = &config
		(*r.now.Load()).Update(model.Settings{Config: &config})
	}
	// One is not enough for both: the limit is in force when those that were open are counted.
	limit(1)
	eventually(t, func() error {
		if n := clients.Len(); n != 1 {
			return fmt.Errorf("%d clients", n)
		}
		return nil
	})
	full := func() {
		t.Helper()
		for range 3 {
			c := r.dial(t)
			c.send(request("/small"))
			if _, last := c.answer(503); !last {
				t.Error("a refusal does not say that it is the last answer")
			}
			c.end()
			c.Close() // else it lingers, and is counted
		}
	}
	full()
	limit(2)
	eventually(t, func() error { // until both are counted, there is room for more
		c := r.dial(t)
		defer c.Close()
		c.send(request("/small"))
		if status := c.status(); status != 503 {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
	r.pass(second)
	full()
	a.Close()
	eventually(t, func() error {
		c := r.dial(t)
		defer c.Close()
		c.send(request("/small"))
		if status := c.status(); status != 200 {
			return fmt.Errorf("status %d with one left", status)
		}
		return nil
	})
	limit(0)
	for range 3 {
		defer r.dial(t).get("/small")
	}
	b.Close()
	eventually(t, func() error {
		if n := clients.Len(); n != 0 {
			return fmt.Errorf("when all are gone, %d clients", n)
		}
		return nil
	})
}

// TestClientBeyondItsLimit: silent connections are not refused without end.
func TestClientBeyondItsLimit(t *testing.T) {
	eachModel(t, func(t *testing.T, m iomodel.Model, options ...option) {
		s := start(t, m, append(options, withConfig(func(c *conn.Config) {
			c.Clients, c.ConnectionsPerClient = new(conn.Clients), 1
		}))...)
		first := s.dial(t)
		first.get("/small")
		const most = 16 // refused ones at a time
		silent := s.dial(t)
		for range most - 1 {
			s.dial(t)
		}
		refused := func(n uint64) {
			t.Helper()
			eventually(t, func() error {
				if c := s.Counters(); c.RefusedClient != n {
					return fmt.Errorf("%d are refused, not %d", c.RefusedClient, n)
				}
				return nil
			})
		}
		refused(most)
		for range 3 {
			s.dial(t).end()
		}
		refused(most + 3)
		first.get("/small")
		silent.send(request("/small"))
		silent.answer(503)
		silent.Close()
		eventually(t, func() error {
			if c := s.Counters(); c.Open() != most { // one of them is served
				return fmt.Errorf("%d connections are open", c.Open())
			}
			return nil
		})
	})
}

// TestProxied: what stands behind a PROXY header counts for the client that it names.
func TestProxied(t *testing.T) {
	eachModel(t, func(t *testing.T, m iomodel.Model, options ...option) {
		s := start(t, m, append(options, withConfig(func(c *conn.Config) {
			c.Clients, c.ConnectionsPerClient = new(conn.Clients), 1
			c.Proxies = conn.NewNetworks([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
		}))...)
		const header = "PROXY TCP4 192.0.2.%d 198.51.100.1 51234 80\r\n"
		one := s.dial(t)
		one.send(fmt.Sprintf(header, 1) + request("/small") + request("/file"))
		one.answer(200)
		one.answer(200)
		again := s.dial(t)
		again.send(fmt.Sprintf(header, 1))
		again.send(request("/small"))
		again.answer(503)
		again.end()
		other := s.dial(t)
		for _, b := range fmt.Sprintf(header, 2) {
			other.send(string(b))
		}
		other.get("/small")
		one.get("/small")
		none := s.dial(t)
		none.send(request("/small"))
		none.answer(400)
		none.end()
	})
}
