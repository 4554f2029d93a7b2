package static

import (
	"bytes"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// conditional reports whether more than the whole file may be the answer.
func conditional(req *http1.Request) bool {
	return req.Has(http1.FieldIfNoneMatch) || req.Has(http1.FieldIfModifiedSince) || req.Has(http1.FieldRange) ||
		req.Has(http1.FieldIfMatch) || req.Has(http1.FieldIfUnmodifiedSince)
}

// precondition evaluates the preconditions in the order of RFC 9110 section
// 13.2.2, and the ranges. It reports false if the whole file is the answer.
func (h *handler) precondition(c *content, req *http1.Request, buf []byte, out *conn.Output) bool {
	now := out.Clock().Wall / 1e9
	if req.Has(http1.FieldIfMatch) {
		if match, _ := http1.MatchETag(req.Get(http1.FieldIfMatch, buf), c.etag, true); !match {
			h.fail(req, buf, out, 412, c.vary(), "no entity tag of If-Match is the file's (RFC 9110 section 13.1.1)")
			return true
		}
	} else if at, ok := date(req, buf, http1.FieldIfUnmodifiedSince, now); ok && c.dated && c.modified > at {
		h.fail(req, buf, out, 412, c.vary(), "modified since the date of If-Unmodified-Since (RFC 9110 section 13.1.4)")
		return true
	}
	if req.Has(http1.FieldIfNoneMatch) {
		if match, _ := http1.MatchETag(req.Get(http1.FieldIfNoneMatch, buf), c.etag, false); match {
			h.notModified(c, out)
			return true
		}
	} else if at, ok := date(req, buf, http1.FieldIfModifiedSince, now); ok && c.dated && c.modified <= at {
		h.notModified(c, out)
		return true
	}
	// RFC 9110 section 14.2: Range is defined for GET.
	if !req.Has(http1.FieldRange) || req.Method != http1.MethodGET || !ifRange(c, req, buf, now) {
		return false
	}
	return h.partial(c, req, buf, out)
}

// date returns the date of a field. What is not valid is no date, and so are two of them
// (RFC 9110 sections 13.1.3 and 13.1.4).
func date(req *http1.Request, buf []byte, id http1.FieldID, now int64) (at int64, ok bool) {
	if !req.Has(id) {
		return 0, false
	}
	return http1.ParseDate(req.Get(id, buf), now)
}

// ifRange reports whether what the client has a part of is still the file
// (RFC 9110 section 13.1.5): a strong entity tag, or the exact date if that is
// a strong validator, which a file that has just changed does not have (section 8.8.2.2). Two of them are neither.
func ifRange(c *content, req *http1.Request, buf []byte, now int64) bool {
	if !req.Has(http1.FieldIfRange) {
		return true
	}
	value := req.Get(http1.FieldIfRange, buf)
	if bytes.IndexByte(value, '"') >= 0 {
		return c.exact && len(c.etag) > 0 && bytes.Equal(value, c.etag)
	}
	at, ok := http1.ParseDate(value, now)
	return ok && c.dateExact && at == c.modified
}

func (h *handler) notModified(c *content, out *conn.Output) {
	out.Head(304, c.head[:c.validators])
}
