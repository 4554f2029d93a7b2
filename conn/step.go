package conn

import "github.com/evhttpd/evhttpd/http1"

// Step does for the connection what can be done now: it receives, parses and
// answers every buffered request, and flushes once. It returns what the
// connection waits for; a Step too many does no harm. After WantClose the
// caller calls Release and closes the descriptor.
func (c *Conn) Step(t Transport, w *Workspace) Want {
	if c.want == WantDeferred {
		return WantDeferred
	}
	w.newTurn()
	in, want := c.run(t, w, c.unpark(w))
	c.park(w, in, want)
	return want
}

// run is the life of a connection, as far as one turn takes it. in is what was received and
// not parsed, a part of the loop's scratch; run returns what is left of it.
func (c *Conn) run(t Transport, w *Workspace, in []byte) ([]byte, Want) {
	for {
		// Everything queued leaves before more is parsed: that is all the
		// backpressure there is.
		if want, done := c.flush(t, w); !done {
			return in, want
		}
		switch {
		case c.jobDue():
			return in, WantDeferred
		case c.closing:
			return nil, c.linger(t, w)
		case w.turnRequests <= 0 || w.turnBytes <= 0:
			return in, WantYield
		}
		if c.needMore {
			held := copy(w.in, in)
			if held == len(w.in) {
				if held < w.scratchSize() {
					return in, WantYield // a reload allows longer heads: the next Step has room for them
				}
				in = c.reject(w, nil, &errScratch, in)
				continue
			}
			n, err := t.Recv(w.in[held:])
			switch {
			case err == ErrAgain:
				return w.in[:held], WantRead
			case err != nil:
				// Either the connection is broken or the peer has no more
				// requests, and those before are answered.
				return nil, WantClose
			}
			w.turnBytes -= int64(n)
			w.Counters.Received += uint64(n)
			in = w.in[:held+n]
			c.mayHaveMore = len(in) == len(w.in)
		}
		if c.admission&awaitsProxyHeader != 0 {
			var known bool
			if in, known = c.takeHeader(w, in); !known {
				continue
			}
		}
		in = c.answer(w, in)
	}
}

// flush sends what is queued. done: everything has left.
func (c *Conn) flush(t Transport, w *Workspace) (want Want, done bool) {
	q := &w.out.queue
	if c.out != nil {
		q = c.out
	}
	for !q.empty() {
		if w.turnBytes <= 0 {
			return WantYield, false
		}
		n, err := q.send(t, w.filePart(), c.closing, &w.Counters)
		switch err {
		case nil:
			w.turnBytes -= max(n, callCost)
			c.progressAt = w.Clock.Mono
		case ErrAgain:
			return WantWrite, false
		case errEmpty:
			return WantSource, false
		case errCold:
			c.postpone(w, q.cold(), c.remote, true)
			return WantDeferred, false
		default:
			return WantClose, false
		}
	}
	q.logEnd(w)
	if q == c.out {
		c.out = nil
		q.free(w)
	} else if len(q.segs) > 0 {
		q.clear()
	}
	return WantRead, true
}

// answer parses and answers the requests in in until the rest is no whole one,
// the queue is full, the turn is spent, or no more is to be answered. It returns that rest.
func (c *Conn) answer(w *Workspace, in []byte) []byte {
	for c.needMore = false; !c.closing && w.turnRequests > 0 && !w.out.full(w.Config.Output); w.turnRequests-- {
		if len(in) == 0 {
			c.needMore = true
			break
		}
		if c.began == 0 {
			c.began = w.Clock.Mono
		}
		if c.inBody() {
			if in = c.takeBody(w, in); !c.bodyRead() {
				return in
			}
		}
		req := &w.req
		switch http1.Parse(in, int(c.seen), &w.Config.Limits, req) {
		case http1.Partial:
			c.seen, c.needMore = uint32(len(in)), true
			return in
		case http1.Invalid:
			return c.reject(w, nil, c.unexpected(&req.Err, in), in)
		}
		// A client which may wait for an answer before it sends the body gets the final one at once, and never
		// 100: the answer follows from the head alone (RFC 9110 section 10.1.1). The body may come or
		// not, so the connection ends.
		unread := req.Framing != http1.NoBody && !c.bodyRead()
		if unread && req.Expect == http1.NoExpectation && !c.refused() {
			if in = c.startBody(w, req, in); !c.bodyRead() {
				return in
			}
			unread = false
		}
		if !c.serve(w, req, in, unread) {
			return in
		}
		in = in[req.HeadLen:]
		c.closeNow = c.closing && req.Close && !unread && len(in) == 0 && !c.mayHaveMore
	}
	return in
}

// reject answers bytes that are not a request that is served, the last ones of
// the connection. req is nil if not even their head could be parsed.
func (c *Conn) reject(w *Workspace, req *http1.Request, bad *http1.Error, in []byte) []byte {
	w.out.begin(c, req, in)
	w.out.fail(bad)
	c.answered(w, req, in)
	return nil
}

// serve answers one request, whose head stands at the start of in. unread: its
// body has not been read, and will not be. serve reports false when the answer
// has been put off.
func (c *Conn) serve(w *Workspace, req *http1.Request, in []byte, unread bool) bool {
	out := &w.out
	out.begin(c, req, in)
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
		w.Handler.Serve(req, in[:req.HeadLen], out)
	}
	w.Alone = false // whatever follows does not come alone
	out.result = nil
	if job := out.job; job != nil {
		out.job = nil
		if p := c.ensurePending(); p.defers < defersMax {
			p.defers++
			p.releaseResult()
			c.postpone(w, job, out.Remote(), false)
			return false
		}
		out.Fail(500, "", "the answer was put off too often")
	}
	if out.status == 0 {
		out.Fail(500, "", "the handler gave no answer")
	}
	c.answered(w, req, in)
	return true
}
