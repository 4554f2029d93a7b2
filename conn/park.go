package conn

import "math"

// unpark moves what an earlier Step left unparsed into the scratch.
func (c *Conn) unpark(w *Workspace) []byte {
	if c.in == nil {
		return w.in[:0]
	}
	// A reload may allow longer heads now, or have allowed them when these bytes were received.
	if size := max(w.scratchSize(), len(c.in.b)); size > len(w.in) {
		w.in = make([]byte, size)
	}
	n := copy(w.in, c.in.b)
	c.freeInput(w)
	return w.in[:n]
}

// park moves what is unparsed and unsent out of the loop's scratch and starts the phase's timer.
func (c *Conn) park(w *Workspace, in []byte, want Want) {
	c.want = want
	if q := &w.out.queue; !q.empty() {
		if want == WantClose {
			q.logEnd(w)
			q.clear()
		} else {
			c.out = q.detach()
			c.out.refer(w)
		}
	}
	if c.out != nil {
		c.out.count(w)
	}
	if len(in) > 0 && want != WantClose {
		c.keepInput(w, in)
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
	case c.admission&awaitsProxyHeader != 0:
		phase = PhaseFirstByte // a PROXY header is not the client's: it has no time of its own
	case len(in) > 0:
		phase = PhaseHead
	case c.requests == 0:
		phase = PhaseFirstByte
	}
	if phase != c.phase {
		c.phase, c.since = phase, w.Clock.Mono
		if phase == PhaseLingering { // no longer than lingerTotal, whatever the peer sends
			c.since = min(c.since, c.progressAt+int64(lingerTotal-lingerIdle))
		}
		if phase == PhaseSending {
			c.progressAt, c.unacked = w.Clock.Mono, math.MaxInt32
		}
	}
}

// keepInput puts the bytes into a buffer of the connection's own.
func (c *Conn) keepInput(w *Workspace, in []byte) {
	c.in = getBuffer(len(in))
	c.in.b = append(c.in.b, in...)
	w.Hold(cap(c.in.b))
}

// freeInput frees the connection's buffer.
func (c *Conn) freeInput(w *Workspace) {
	w.Hold(-cap(c.in.b))
	c.in.put()
	c.in = nil
}
