package static

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// represent chooses the representation of a file that the request is answered with, the last of the steps from a path
// to an answer. It is to be released when it has been sent. nil: the entry has been given up.
func (e *entry) represent(req *http1.Request, buf []byte) *content {
	c := e.content.Load()
	if c != nil && req.Has(http1.FieldAcceptEncoding) && len(c.variants) > 0 {
		c = negotiate(c, req, buf)
	}
	if c == nil || c.file != nil && !c.file.TryRetain() {
		return nil
	}
	return c
}

// release drops the reference that represent took.
func (c *content) release() {
	if c.file != nil {
		c.file.Release()
	}
}

// negotiate chooses among a file and its precompressed files by the weights of
// Accept-Encoding (RFC 9110 section 12.5.3): among equals a coded one, and among those
// the first of Options. If nothing is acceptable it is the file.
func negotiate(c *content, req *http1.Request, buf []byte) *content {
	var weights http1.CodingWeights
	weights.Add(req.Get(http1.FieldAcceptEncoding, buf))
	best, weight := c, weights.Of(http1.CodingIdentity)
	for _, v := range c.variants {
		if v.dynamic && req.Method == http1.MethodGET && req.Has(http1.FieldRange) {
			continue
		}
		if n := weights.Of(v.coding); n > weight || n == weight && n > 0 && best == c {
			best, weight = v, n
		}
	}
	return best
}

// sendAll adds the whole content to an answer.
func (c *content) sendAll(out *conn.Output) {
	if c.file != nil {
		out.File(c.file, 0, c.size)
	} else {
		out.Shared(c.body)
	}
}
