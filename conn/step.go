package conn

import (
	"math"

	"github.com/evhttpd/evhttpd/http1"
)

// Step does for the connection what can be done now: it receives, parses and
// answers every buffered request, and flushes once. It returns what the
// connection waits for. After WantClose the caller calls Release and closes the descriptor.
func (c *Conn) Step(t Transport, l *Local) Want {
	l.turnRequests, l.turnBytes = l.Config.TurnRequests, l.Config.TurnBytes
	in, want := c.run(t, l, c.unpark(l))
	c.park(l, in, want)
	return want
}

// run is the life of a connection, as far as one turn takes it. in is what is
// received and not parsed, a part of the loop's scratch; run returns what is left of it.
func (c *Conn) run(t Transport, l *Local, in []byte) ([]byte, Want) {
	for {
		// Everything queued leaves before more is parsed: that is all the
		// backpressure there is.
		if want, done := c.flush(t, l); !done {
			return in, want
		}
		switch {
		case c.job != nil:
			return in, WantDeferred
		case c.closing:
			return in[:0], c.linger(t, l)
		case l.turnRequests <= 0 || l.turnBytes <= 0:
			return in, WantYield
		}
		if c.hungry {
			held := copy(l.in, in)
			n, err := t.Recv(l.in[held:])
			switch {
			case err == ErrAgain:
				return l.in[:held], WantRead
			case err != nil:
				// Either the connection is broken or the peer has no more
				// requests, and those before are answered.
				return in[:0], WantClose
			}
			l.turnBytes -= int64(n)
			in = l.in[:held+n]
		}
		in = c.answer(l, in)
	}
}

// flush sends what is queued. done: everything has left.
func (c *Conn) flush(t Transport, l *Local) (want Want, done bool) {
	q := &l.out.queue
	if c.out != nil {
		q = c.out
	}
	if c.err != nil && c.out != nil {
		return WantClose, false // the file that is being sent cannot be read
	}
	for !q.empty() {
		if l.turnBytes <= 0 {
			return WantYield, false
		}
		n, err := q.send(t, l.turnBytes)
		switch err {
		case nil:
			l.turnBytes -= n
			c.moved = true
		case ErrAgain:
			return WantWrite, false
		case errEmpty:
			return WantSource, false
		case errCold:
			c.job, c.warming = q.cold(), true
			return WantDeferred, false
		default:
			return WantClose, false
		}
	}
	q.logEnd(l)
	if q == c.out {
		c.out = nil
		q.free()
	} else if len(q.segs) > 0 {
		q.clear()
	}
	return WantRead, true
}

// answer parses and answers the requests in in until the rest is no whole one,
// the queue is full, the turn is spent, or no more is to be answered. It returns that rest.
func (c *Conn) answer(l *Local, in []byte) []byte {
	for c.hungry = false; !c.closing && l.turnRequests > 0 && !l.out.full(l.Config.Output); {
		if len(in) == 0 {
			c.hungry = true
			break
		}
		if c.began == 0 {
			c.began = l.Clock.Mono
		}
		req := &l.req
		switch http1.Parse(in, int(c.seen), &l.Config.Limits, req) {
		case http1.Partial:
			c.seen, c.hungry = uint32(len(in)), true
			return in
		case http1.Invalid:
			return c.reject(l, &req.Err, in)
		}
		c.seen = 0
		if req.Framing != http1.NoBody && !c.bodyDone {
			if in = c.takeBody(l, req, in); !c.bodyDone {
				return in
			}
		}
		if !c.serve(l, req, in) {
			return in
		}
		in = in[req.HeadLen:]
		// Nothing is behind a request that asked for the close: cap(in) is 0 only if the
		// scratch was filled to its last byte, and then there may be.
		c.direct = c.closing && req.Close && len(in) == 0 && cap(in) > 0
		l.turnRequests--
	}
	return in
}

// takeBody reads what is there of the request's body and throws it away. It
// returns in without it; bodyDone says whether it was all.
func (c *Conn) takeBody(l *Local, req *http1.Request, in []byte) []byte {
	begins := !c.inBody
	if begins {
		c.body.Start(req)
		c.inBody = true
	}
	n, done, bad := c.body.Consume(in[req.HeadLen:], &l.Config.Limits)
	if bad.Status != 0 {
		return c.reject(l, &bad, in)
	}
	if begins && req.Expect == http1.ExpectContinue && req.Minor > 0 && len(in) == req.HeadLen && !done {
		l.out.arena = append(l.out.arena, "HTTP/1.1 100 Continue\r\n\r\n"...)
		l.out.copied()
	}
	rest := copy(in[req.HeadLen:], in[req.HeadLen+n:])
	c.bodyDone, c.inBody, c.hungry = done, !done, !done
	return in[:req.HeadLen+rest]
}

// reject answers bytes that are not a request that is served, the last ones of the connection.
func (c *Conn) reject(l *Local, bad *http1.Error, in []byte) []byte {
	l.out.begin(c, nil)
	l.out.fail(bad)
	c.answered(l, nil, in)
	return in[:0]
}

// serve answers one request, whose head stands at the start of in. It reports
// false when the answer has been put off.
func (c *Conn) serve(l *Local, req *http1.Request, in []byte) bool {
	out := &l.out
	out.begin(c, req)
	switch {
	case c.refused:
		out.Fail(503, "Retry-After: 1\r\n", "too many connections (limits.connections)")
	case req.Expect == http1.ExpectUnknown:
		out.Fail(417, "", "an expectation other than 100-continue (RFC 9110 section 10.1.1)")
	case c.err == ErrBusy:
		out.Fail(503, "Retry-After: 1\r\n", "too much work is waiting for a worker")
	case c.err != nil:
		out.last = true
		out.Fail(503, "Retry-After: 1\r\n", "the work took longer than timeouts.deferred")
	default:
		out.result = c.result
		l.Handler.Serve(req, in[:req.HeadLen], out)
		out.result = nil
	}
	if c.result != nil {
		c.result.Release()
		c.result = nil
	}
	if out.job != nil && c.defers < defersMax {
		c.job, out.job = out.job, nil
		c.defers++
		return false
	}
	if out.status == 0 {
		out.Fail(500, "", "the handler gave no answer")
	}
	c.answered(l, req, in)
	return true
}

// answered ends a request whose answer is queued.
func (c *Conn) answered(l *Local, req *http1.Request, in []byte) {
	out := &l.out
	c.requests++
	c.closing = out.last
	if out.noBody {
		out.body = 0
	}
	if out.open {
		out.queue.body, out.queue.began = out.body, c.began
	}
	if l.Log != nil {
		c.log(l, req, in)
	}
	c.began, c.defers, c.bodyDone, c.inBody, c.err, c.seen = 0, 0, false, false, nil, 0
	c.phase = NumPhases // whatever comes next starts its timer anew
}

// linger closes a connection whose last answer has left: at once if nothing
// can be lost by it, else in order, so that the peer's unread bytes do not
// reset the connection under the answer (RFC 9112 section 9.6).
func (c *Conn) linger(t Transport, l *Local) Want {
	if c.direct {
		return WantClose
	}
	if !c.lingering {
		c.lingering, c.mark = true, l.Clock.Mono
		if err := t.CloseWrite(); err != nil {
			return WantClose
		}
	}
	for {
		n, err := t.Recv(l.in)
		switch {
		case err == ErrAgain && l.Clock.Mono-c.mark < int64(lingerTotal):
			return WantRead
		case err != nil:
			return WantClose
		}
		c.phase = NumPhases // the peer is still sending
		if c.lingered += uint32(n); c.lingered >= lingerBytes {
			return WantClose
		}
	}
}

// unpark moves what an earlier Step left unparsed into the scratch.
func (c *Conn) unpark(l *Local) []byte {
	if c.in == nil {
		return l.in[:0]
	}
	n := copy(l.in, c.in.b)
	c.in.put()
	c.in = nil
	return l.in[:n]
}

// park moves what is unparsed and unsent out of the loop's scratch and starts the phase's timer.
func (c *Conn) park(l *Local, in []byte, want Want) {
	c.want = want
	if q := &l.out.queue; !q.empty() {
		if want == WantClose {
			q.logEnd(l)
			q.clear()
		} else {
			c.out = q.detach()
		}
	}
	if len(in) > 0 && want != WantClose {
		c.in = getBuffer(len(in))
		c.in.b = append(c.in.b, in...)
	}
	phase := PhaseIdle
	switch {
	case want == WantDeferred:
		phase = PhaseDeferred
	case c.lingering:
		phase = PhaseLingering
	case want != WantRead:
		phase = PhaseSending
	case c.inBody:
		phase = PhaseBody
	case len(in) > 0:
		phase = PhaseHead
	case c.requests == 0:
		phase = PhaseFirstByte
	}
	if phase != c.phase {
		c.phase, c.since = phase, l.Clock.Mono
		if phase == PhaseSending {
			c.mark, c.moved, c.unacked = l.Clock.Mono, false, math.MaxInt32
		}
	}
}

// log writes the access line of an answer that is complete in memory, or
// begins that of one that is not.
func (c *Conn) log(l *Local, req *http1.Request, in []byte) {
	out := &l.out
	l.access = Access{Wall: l.Clock.Wall, Remote: c.remote, Req: req, Buf: in, Status: out.status, Reason: out.reason}
	if out.open {
		out.line, out.mark = l.Log.Begin(out.line[:0], &l.access)
	} else {
		l.Log.Log(&l.access, out.body, l.Clock.Mono-c.began)
	}
}

// logEnd writes the rest of the open answer's line: everything has left, or nothing more will.
func (q *queue) logEnd(l *Local) {
	if q.open && l.Log != nil {
		var unsent int64
		for i := q.first; i < len(q.segs); i++ {
			unsent += q.segs[i].n
		}
		l.Log.End(q.line, q.mark, max(q.body-unsent, 0), l.Clock.Mono-q.began)
	}
	q.open = false
}
