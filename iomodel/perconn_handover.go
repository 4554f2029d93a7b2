package iomodel

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
)

// Handover implements [Server]. It returns when nothing more is accepted.
func (s *ownedServer) Handover(to func(model.Handed) bool) {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	if !again {
		s.successor.Store(&to)
		s.stop()
		s.nudge()
	}
	s.accepting.Wait()
}

// admitMoved counts a connection that another server hands over. It reports
// false when this one takes none any more.
func (s *ownedServer) admitMoved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.all.Add(1) // the acceptors have not ended: this is not the first
	s.open.Add(1)
	return true
}

// handOver hands the connection over, if somebody takes it and it is between two requests.
func (c *ownedConn) handOver() bool {
	s := c.server
	to := s.successor.Load()
	if to == nil || s.immovable || c.unmovable || !c.conn.Movable() || !c.transport.drained() {
		return false
	}
	s.mu.Lock()
	evicted := c.evicted
	s.mu.Unlock()
	if evicted {
		return false // it is to end
	}
	fd, err := c.transport.detach()
	if err != nil {
		s.opts.Warn("handing a connection over", err)
		c.unmovable = true
		return false
	}
	taken := (*to)(model.Handed{FD: fd, Conn: c.conn})
	if !taken {
		c.transport.detached(fd, false)
		c.unmovable = true
		return false
	}
	s.mu.Lock()
	s.forget(c)
	s.mu.Unlock()
	s.share.Add(-int64(s.perConn))
	if c.countedPhase != conn.NumPhases {
		var gone conn.Counters
		gone.Connections[c.countedPhase]--
		s.shards[c.token%counterShards].add(&gone)
	}
	c.transport.detached(fd, true)
	c.left = true
	s.all.Done()
	return true
}
