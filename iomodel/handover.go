package iomodel

import (
	"math"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
)

// unusedEvery is how often Update looks whether old terms are still used.
const unusedEvery = time.Millisecond

// Update implements [Server]. Those that wait look at their timeouts anew.
func (c *crew) Update(set model.Settings) {
	old := c.terms.Load()
	t := &terms{config: set.Config, connections: set.Connections, newHandler: old.newHandler, log: old.log}
	if set.NewHandler != nil {
		t.newHandler = set.NewHandler
	}
	if set.Relog {
		t.log = nil
		if set.NewLog != nil {
			t.log = set.NewLog()
		}
	}
	t.locals.New = func() any { return c.newLocal(t) }
	c.terms.Store(t)
	c.nudge()
	for c.used(old) {
		time.Sleep(unusedEvery)
	}
	if set.Relog && old.log != nil {
		old.log.Tick(math.MaxInt64) // later than anything can wait
	}
}

// hold notes which terms the turn is made with, so that Update knows. The
// second look finds those that were replaced before the note could be seen.
func (k *link) hold() *terms {
	for {
		t := k.crew.terms.Load()
		k.using.Store(t)
		if k.crew.terms.Load() == t {
			return t
		}
	}
}

// used reports whether a turn is made with those terms.
func (c *crew) used(t *terms) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.links {
		if k.using.Load() == t {
			return true
		}
	}
	return false
}

// nudge has every connection that waits look around: its timeout may have
// changed, or another server wait for it.
func (c *crew) nudge() {
	c.epoch.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.links {
		k.wire.nudge()
		k.ring()
	}
}

// Handover implements [Server]. It returns when nothing more is accepted.
func (c *crew) Handover(to func(model.Handed) bool) {
	c.mu.Lock()
	again := c.closing
	c.closing = true
	c.mu.Unlock()
	if !again {
		c.heir.Store(&to)
		c.stop()
		c.nudge()
	}
	c.accepting.Wait()
}

// ending reports whether accepting is to end.
func (c *crew) ending() bool { return c.draining.Load() || c.heir.Load() != nil }

// admitMoved counts a connection that another server hands over. It reports
// false when this one takes none any more.
func (c *crew) admitMoved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.all.Add(1) // who accepts has not ended: it is not the first
	c.open.Add(1)
	return true
}

// handOver hands the connection over, if somebody takes it and it is between two requests.
func (k *link) handOver() bool {
	c := k.crew
	to := c.heir.Load()
	if to == nil || c.rooted || k.stays || !k.conn.Movable() || !k.wire.quiet() {
		return false
	}
	c.mu.Lock()
	spared := k.spared
	c.mu.Unlock()
	if spared {
		return false // it is to end
	}
	fd, err := k.wire.detach()
	if err != nil {
		c.opts.Warn("handing a connection over", err)
		k.stays = true
		return false
	}
	taken := (*to)(model.Handed{FD: fd, Conn: k.conn})
	if !taken {
		k.wire.detached(fd, false)
		k.stays = true
		return false
	}
	c.mu.Lock()
	delete(c.links, k.token)
	c.leaving -= k.cut.Load()
	if !k.spared {
		c.open.Add(-1)
	}
	c.mu.Unlock()
	c.share.Add(-int64(c.each))
	if k.phase != conn.NumPhases {
		var gone conn.Counters
		gone.Connections[k.phase]--
		c.counted[k.token%tallies].add(&gone)
	}
	k.wire.detached(fd, true)
	k.moved = true
	c.all.Done()
	return true
}
