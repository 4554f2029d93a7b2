package conn

import (
	"math"

	"github.com/evhttpd/evhttpd/http1"
)

// Step does for the connection what can be done now: it receives, parses and
// answers every buffered request, and flushes once. It returns what the
// connection waits for; a Step too many does no harm. After WantClose the
// caller calls Release and closes the descriptor.
func (c *Conn) Step(t Transport, l *Workspace) Want {
	if c.want == WantDeferred {
		return WantDeferred
	}
	l.newTurn()
	in, want := c.run(t, l, c.unpark(l))
	c.park(l, in, want)
	return want
}

// run is the life of a connection, as far as one turn takes it. in is what is
// received and not parsed, a part of the loop's scratch; run returns what is left of it.
func (c *Conn) run(t Transport, l *Workspace, in []byte) ([]byte, Want) {
	for {
		// Everything queued leaves before more is parsed: that is all the
		// backpressure there is.
		if want, done := c.flush(t, l); !done {
			return in, want
		}
		switch {
		case c.jobDue():
			return in, WantDeferred
		case c.closing:
			return nil, c.linger(t, l)
		case l.turnRequests <= 0 || l.turnBytes <= 0:
			return in, WantYield
		}
		if c.hungry {
			held := copy(l.in, in)
			if held == len(l.in) && !l.grow(2*held) {
				in = c.reject(l, nil, &errScratch, l.in)
				continue
			}
			n, err := t.Recv(l.in[held:])
			switch {
			case err == ErrAgain:
				return l.in[:held], WantRead
			case err != nil:
				// Either the connection is broken or the peer has no more
				// requests, and those before are answered.
				return nil, WantClose
			}
			l.turnBytes -= int64(n)
			l.Counters.Received += uint64(n)
			in = l.in[:held+n]
			c.filled = len(in) == len(l.in)
		}
		if c.standing&awaitsHeader != 0 {
			var known bool
			if in, known = c.takeHeader(l, in); !known {
				continue
			}
		}
		in = c.answer(l, in)
	}
}

// flush sends what is queued. done: everything has left.
func (c *Conn) flush(t Transport, l *Workspace) (want Want, done bool) {
	q := &l.out.queue
	if c.out != nil {
		q = c.out
	}
	for !q.empty() {
		if l.turnBytes <= 0 {
			return WantYield, false
		}
		n, err := q.send(t, l.filePart(), c.closing, &l.Counters)
		switch err {
		case nil:
			l.turnBytes -= max(n, callCost)
			c.mark = l.Clock.Mono
		case ErrAgain:
			return WantWrite, false
		case errEmpty:
			return WantSource, false
		case errCold:
			c.postpone(l, q.cold(), c.remote, true)
			return WantDeferred, false
		default:
			return WantClose, false
		}
	}
	q.logEnd(l)
	if q == c.out {
		c.out = nil
		q.free(l)
	} else if len(q.segs) > 0 {
		q.clear()
	}
	return WantRead, true
}

// answer parses and answers the requests in in until the rest is no whole one,
// the queue is full, the turn is spent, or no more is to be answered. It returns that rest.
func (c *Conn) answer(l *Workspace, in []byte) []byte {
	for c.hungry = false; !c.closing && l.turnRequests > 0 && !l.out.full(l.Config.Output); l.turnRequests-- {
		if len(in) == 0 {
			c.hungry = true
			break
		}
		if c.began == 0 {
			c.began = l.Clock.Mono
		}
		if c.inBody() {
			if in = c.takeBody(l, in); !c.bodyRead() {
				return in
			}
		}
		req := &l.req
		switch http1.Parse(in, int(c.seen), &l.Config.Limits, req) {
		case http1.Partial:
			c.seen, c.hungry = uint32(len(in)), true
			return in
		case http1.Invalid:
			return c.reject(l, nil, c.unexpected(&req.Err, in), in)
		}
		// Where the client may wait for an answer before it sends the body, it gets the final one at once, and never
		// 100: what is answered is known from the head alone (RFC 9110 section 10.1.1). Whether the body comes
		// all the same nobody can say, so that the connection is to end.
		unread := req.Framing != http1.NoBody && !c.bodyRead()
		if unread && req.Expect == http1.NoExpectation && !c.refused() {
			if in = c.startBody(l, req, in); !c.bodyRead() {
				return in
			}
			unread = false
		}
		if !c.serve(l, req, in, unread) {
			return in
		}
		in = in[req.HeadLen:]
		c.direct = c.closing && req.Close && !unread && len(in) == 0 && !c.filled
	}
	return in
}

// startBody begins the body of the request at the start of in.
func (c *Conn) startBody(l *Workspace, req *http1.Request, in []byte) []byte {
	p := c.hold()
	p.body.Start(req)
	p.reading, p.head, p.began = true, req.HeadLen, l.Clock.Mono
	return c.takeBody(l, in)
}

// takeBody reads what is there of the request's body and throws it away. It
// returns in without it: the head stays, to be answered when the body has been read.
func (c *Conn) takeBody(l *Workspace, in []byte) []byte {
	p := c.pending
	n, done, bad := p.body.Consume(in[p.head:], &l.Config.Limits)
	if bad.Status != 0 {
		bad.At += p.head + int(p.consumed) // counted from the request's first byte
		req := &l.req
		if http1.Parse(in, 0, &l.Config.Limits, req) != http1.Complete {
			req = nil // a reload has set tighter limits
		}
		return c.reject(l, req, &bad, in)
	}
	p.consumed += int64(n)
	p.read, p.reading, c.hungry = done, !done, !done
	rest := copy(in[p.head:], in[p.head+n:])
	return in[:p.head+rest]
}

// reject answers bytes that are not a request that is served, the last ones of
// the connection. req is nil if not even their head could be parsed.
func (c *Conn) reject(l *Workspace, req *http1.Request, bad *http1.Error, in []byte) []byte {
	l.out.begin(c, req, methodOf(req, in))
	l.out.fail(bad)
	c.answered(l, req, in)
	return nil
}

// methodOf is the method of a request that is refused before it is served. The answer to HEAD has no body,
// whichever part of the head is refused (RFC 9110 section 9.3.2): a client would take it for the next answer.
// req is nil if the head at the start of in could not be parsed.
func methodOf(req *http1.Request, in []byte) http1.Method {
	if req != nil {
		return req.Method
	}
	return http1.PeekMethod(in)
}

// serve answers one request, whose head stands at the start of in. unread: its
// body has not been read, and will not be. serve reports false when the answer
// has been put off.
func (c *Conn) serve(l *Workspace, req *http1.Request, in []byte, unread bool) bool {
	out := &l.out
	out.begin(c, req, req.Method)
	out.last = out.last || unread
	var failed error
	if p := c.pending; p != nil {
		out.result, failed = p.result, p.err
	}
	switch {
	case c.refused() && req.Form != http1.AsteriskForm: // OPTIONS * asks whether the server works: it does
		out.Fail(503, "Retry-After: 1\r\n", c.refusal())
	case req.Expect == http1.ExpectUnknown:
		out.Fail(417, "", "an expectation other than 100-continue (RFC 9110 section 10.1.1)")
	case failed == ErrBusy:
		out.Fail(503, "Retry-After: 1\r\n", "too much work is waiting for a worker")
	case failed != nil:
		out.Fail(503, "Retry-After: 1\r\n", "the work took longer than timeouts.deferred")
	default:
		l.Handler.Serve(req, in[:req.HeadLen], out)
	}
	l.Alone = false // whatever follows does not come alone
	out.result = nil
	if job := out.job; job != nil {
		out.job = nil
		if p := c.hold(); p.defers < defersMax {
			p.defers++
			p.releaseResult()
			c.postpone(l, job, out.Remote(), false)
			return false
		}
		out.Fail(500, "", "the answer was put off too often")
	}
	if out.status == 0 {
		out.Fail(500, "", "the handler gave no answer")
	}
	c.answered(l, req, in)
	return true
}

// answered ends a request whose answer is queued.
func (c *Conn) answered(l *Workspace, req *http1.Request, in []byte) {
	out := &l.out
	c.requests++
	l.Counters.Requests[class(out.status)]++
	c.closing = out.last
	if out.noBody {
		out.body = 0
	}
	if out.open {
		out.length, out.queue.began = out.body, c.began
	} else {
		l.took(c.began)
	}
	if l.Log != nil {
		c.log(l, req, in)
	}
	c.began, c.seen = 0, 0
	c.phase = NumPhases // whatever comes next starts its timer anew
	c.drop()
}

// class is the first digit of a status; 0 for what is none.
func class(status int) int {
	if status < 100 || status > 599 {
		return 0
	}
	return status / 100
}

// log writes the access line of an answer that is complete in memory, or
// begins that of one that is not.
func (c *Conn) log(l *Workspace, req *http1.Request, in []byte) {
	out := &l.out
	l.access = Access{Wall: l.Clock.Wall, Remote: out.Remote(), Req: req, Buf: in, Status: out.status, Reason: out.reason, User: out.user}
	if out.open {
		out.log = l.Log
		out.line, out.mark = l.Log.Begin(out.line[:0], &l.access)
	} else {
		l.Log.Log(&l.access, out.body, l.Clock.Mono-c.began)
	}
}

// linger closes a connection whose last answer has left: at once if nothing
// can be lost by it, else in order, so that the peer's unread bytes do not
// reset the connection under the answer (RFC 9112 section 9.6).
func (c *Conn) linger(t Transport, l *Workspace) Want {
	if c.direct {
		return WantClose
	}
	if !c.lingering {
		switch err := t.CloseWrite(); {
		case err == ErrAgain:
			return WantWrite
		case err != nil:
			return WantClose
		}
		c.lingering, c.mark = true, l.Clock.Mono
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
func (c *Conn) unpark(l *Workspace) []byte {
	if c.in == nil {
		return l.in[:0]
	}
	if size := len(c.in.b); size > len(l.in) {
		l.in = make([]byte, size) // it came from a loop whose scratch had grown
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
