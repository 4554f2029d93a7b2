package static

import (
	"strconv"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// fail answers with an error: the plan's page for it if there is one, else a short text, see conn.Output.Fail.
func (h *handler) fail(req *http1.Request, buf []byte, out *conn.Output, status int, fields, reason string) {
	if h.plan != nil {
		if p := h.plan.ErrorPages[status]; p != nil && h.failWith(p, req, buf, out, status, fields, reason) {
			return
		}
	}
	out.Fail(status, fields, reason)
}

// failWith answers with an error and its page, or puts the request off to read that. It reports false if there is no
// page to be had. The page is no representation of what was asked for, so it has no validators, and there are no ranges
// of it.
func (h *handler) failWith(
	p *CachedPath, req *http1.Request, buf []byte, out *conn.Output, status int, fields, reason string,
) bool {
	h.root = h.site.root.Load()
	e, held := h.visitCached(p, req, buf, out)
	if e == nil {
		if h.hurried || out.Deferrable() < 2 { // once more, it may be put off before it comes to this error again
			return false
		}
		out.Defer(newSearchJob(searchKey{site: h.site, path: p.path, page: status}, out, *p))
		return true
	}
	defer e.drop(held)
	if e.kind != kindBody && e.kind != kindFile {
		h.site.warn("the page for errors of status "+strconv.Itoa(status)+
			" is no file that can be read: see error_pages", h.site.path+p.path)
		return false
	}
	c := e.represent(req, buf)
	if c == nil {
		return false
	}
	defer c.release()
	b := append(append(h.scratch[:0], c.vary()...), c.head[c.validators:c.typed]...)
	b = append(b, "X-Content-Type-Options: nosniff\r\n"...)
	if c.coding != http1.CodingIdentity {
		b = http1.AppendField(b, "Content-Encoding", c.coding.String())
	}
	h.scratch = append(appendLength(b, c.size), fields...)
	out.Reason(reason)
	out.Head(status, h.scratch)
	c.sendAll(out)
	return true
}
