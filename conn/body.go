package conn

import "github.com/evhttpd/evhttpd/http1"

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

// inBody reports whether a request's body is being read.
func (c *Conn) inBody() bool { return c.pending != nil && c.pending.reading }

// bodyRead reports whether the body of the request in hand has been read.
func (c *Conn) bodyRead() bool { return c.pending != nil && c.pending.read }
