package iomodel

import (
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
)

// tellHeld makes known what the connection holds between two turns, for others to look at.
func (c *ownedConn) tellHeld() {
	bytes, since := c.conn.Held()
	if c.held.Load() != bytes {
		c.since.Store(since) // first: whoever sees the bytes sees since when
		c.held.Store(bytes)
	}
	c.local.Tell()
}

// holder is what ending the connection frees: what the model has for every connection if this one is
// idle, else what it holds itself.
func (c *ownedConn) holder() conn.Holder {
	if idle := c.idle.Load(); idle != 0 {
		return conn.Holder{Token: c.token, Bytes: int64(c.server.perConn), Since: max(idle, -idle)}
	}
	return conn.Holder{Token: c.token, Bytes: c.held.Load() + c.unread.Load(), Since: c.since.Load()}
}

// relieve ends the connections that hold most for longest, as far as this server's
// Share of the Budget is to give up. They give it up when they notice.
func (s *ownedServer) relieve() {
	s.mu.Lock()
	// In this order: a connection that ends is taken off both, and off the Share first.
	excess := s.share.Excess() - s.leaving
	var holders []conn.Holder
	for _, c := range s.conns {
		if h := c.holder(); excess > 0 && h.Bytes > 0 && !c.evicted && c.cut.Load() == 0 {
			holders = append(holders, h)
		}
	}
	conn.SortHolders(holders, clock.Mono())
	var relieved uint64
	for _, h := range holders {
		if excess <= 0 {
			break
		}
		c := s.conns[h.Token]
		freed := h.Bytes
		if c.idle.Load() == 0 {
			freed += int64(s.perConn)
		}
		c.cut.Store(freed)
		s.leaving += freed
		excess -= freed
		relieved++
		s.interrupt(c, unix.SHUT_RDWR)
		c.wake()
	}
	s.mu.Unlock()
	if relieved > 0 {
		s.addCounters(&conn.Counters{Relieved: relieved})
		s.opts.Warn(model.WarnHeld, nil)
	}
}
