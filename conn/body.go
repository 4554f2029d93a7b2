package conn

import "github.com/evhttpd/evhttpd/http1"

// startBody begins the body of the request at the start of in.
func (c *Conn) startBody(w *Workspace, req *http1.Request, in []byte) []byte {
	p := c.ensurePending()
	p.body.Start(req)
	p.inBody, p.head, p.bodyBegan = true, req.HeadLen, w.Clock.Mono
	return c.takeBody(w, in)
}

// takeBody reads what is there of the request's body and throws it away. It
// returns in without it: the head stays, to be answered when the body has been read.
func (c *Conn) takeBody(w *Workspace, in []byte) []byte {
	p := c.pending
	n, done, bad := p.body.Consume(in[p.head:], &w.Config.Limits)
	if bad.Status != 0 {
		bad.At += p.head + int(p.consumed) // counted from the request's first byte
		req := &w.req
		if http1.Parse(in, 0, &w.Config.Limits, req) != http1.Complete {
			req = nil // a reload has set tighter limits
		}
		return c.reject(w, req, &bad, in)
	}
	p.consumed += int64(n)
	p.bodyDone, p.inBody, c.needMore = done, !done, !done
	rest := copy(in[p.head:], in[p.head+n:])
	return in[:p.head+rest]
}

// inBody reports whether a request's body is being read.
func (c *Conn) inBody() bool { return c.pending != nil && c.pending.inBody }

// bodyRead reports whether the body of the request in hand has been read.
func (c *Conn) bodyRead() bool { return c.pending != nil && c.pending.bodyDone }
