package iomodel

import (
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// warnHeld is the warning of [model.Options.Budget].
const warnHeld = "connections hold too much memory: the largest and oldest holders are closed (limits.buffers)"

// tellHeld makes known what the connection holds between two turns, for others to look at.
func (k *link) tellHeld() {
	bytes, since := k.conn.Held()
	if k.held.Load() != bytes {
		k.since.Store(since) // first: who sees the bytes sees since when
		k.held.Store(bytes)
	}
	k.local.Tell()
}

// holder is what the connection can be spared for: what the model has for every connection if it is
// idle, else what it holds itself.
func (k *link) holder() conn.Holder {
	if idle := k.idle.Load(); idle != 0 {
		return conn.Holder{Token: k.token, Bytes: int64(k.crew.each), Since: max(idle, -idle)}
	}
	return conn.Holder{Token: k.token, Bytes: k.held.Load() + k.unread.Load(), Since: k.since.Load()}
}

// relieve ends the connections that hold most for longest, as far as this server's
// Share of the Budget is to give up. They give it up when they notice.
func (c *crew) relieve() {
	c.mu.Lock()
	excess := c.share.Excess() - c.leaving // in this order: who ends is taken off both, from the Share first
	var holders []conn.Holder
	for _, k := range c.links {
		if h := k.holder(); excess > 0 && h.Bytes > 0 && !k.spared && k.cut.Load() == 0 {
			holders = append(holders, h)
		}
	}
	conn.SortHolders(holders, c.mono())
	var relieved uint64
	for _, h := range holders {
		if excess <= 0 {
			break
		}
		k := c.links[h.Token]
		freed := h.Bytes
		if k.idle.Load() == 0 {
			freed += int64(c.each)
		}
		k.cut.Store(freed)
		c.leaving += freed
		excess -= freed
		relieved++
		c.interrupt(k, unix.SHUT_RDWR)
		k.ring()
	}
	c.mu.Unlock()
	if relieved > 0 {
		c.tally(&conn.Counters{Relieved: relieved})
		c.opts.Warn(warnHeld, nil)
	}
}
