package conn

import "math"

// unpark moves what an earlier Step left unparsed into the scratch.
func (c *Conn) unpark(l *Workspace) []byte {
	if c.in == nil {
		return l.in[:0]
	}
	// A reload may allow longer heads now, or have allowed them when these bytes were received.
	if size := max(l.scratchSize(), len(c.in.b)); size > len(l.in) {
		l.in = make([]byte, size)
	}
	n := copy(l.in, c.in.b)
	c.letGo(l)
	return l.in[:n]
}

// park moves what is unparsed and unsent out of the loop's scratch and starts the phase's timer.
func (c *Conn) park(l *Workspace, in []byte, want Want) {
	c.want = want
	if q := &l.out.queue; !q.empty() {
		if want == WantClose {
			q.logEnd(l)
			q.clear()
		} else {
			c.out = q.detach()
			c.out.refer(l)
		}
	}
	if c.out != nil {
		c.out.count(l)
	}
	if len(in) > 0 && want != WantClose {
		c.keep(l, in)
	}
	phase := PhaseIdle
	switch {
	case want == WantDeferred:
		phase = PhaseDeferred
	case c.lingering:
		phase = PhaseLingering
	case c.out != nil || want == WantWrite:
		phase = PhaseSending
	case c.inBody():
		phase = PhaseBody
	case c.standing&awaitsHeader != 0:
		phase = PhaseFirstByte // a PROXY header is not the client's: it has no time of its own
	case len(in) > 0:
		phase = PhaseHead
	case c.requests == 0:
		phase = PhaseFirstByte
	}
	if phase != c.phase {
		c.phase, c.since = phase, l.Clock.Mono
		if phase == PhaseLingering { // no longer than lingerTotal, whatever the peer sends
			c.since = min(c.since, c.mark+int64(lingerTotal-lingerIdle))
		}
		if phase == PhaseSending {
			c.mark, c.unacked = l.Clock.Mono, math.MaxInt32
		}
	}
}

// keep puts the bytes into a buffer of the connection's own.
func (c *Conn) keep(l *Workspace, in []byte) {
	c.in = getBuffer(len(in))
	c.in.b = append(c.in.b, in...)
	l.Hold(cap(c.in.b))
}

// letGo frees the connection's buffer.
func (c *Conn) letGo(l *Workspace) {
	l.Hold(-cap(c.in.b))
	c.in.put()
	c.in = nil
}
