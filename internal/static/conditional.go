package static

import (
	"bytes"

	"github.com/evhttpd/evhttpd/http1"
)

// conditional reports whether something else than the whole file may be the answer.
func conditional(req *http1.Request) bool {
	return req.Has(http1.FieldIfNoneMatch) || req.Has(http1.FieldIfModifiedSince) || req.Has(http1.FieldRange) ||
		req.Has(http1.FieldIfMatch) || req.Has(http1.FieldIfUnmodifiedSince)
}

// precondition evaluates the preconditions in the order of RFC 9110 section 13.2.2. The status is 200 if they let the
// content be sent, 304, or 412 with its reason. now is in seconds since 1970.
func precondition(c *content, req *http1.Request, buf []byte, now int64) (status int, reason string) {
	if req.Has(http1.FieldIfMatch) {
		if match, _ := http1.MatchETag(req.Get(http1.FieldIfMatch, buf), c.etag, true); !match {
			return 412, "no entity tag of If-Match is the file's (RFC 9110 section 13.1.1)"
		}
	} else if at, ok := date(req, buf, http1.FieldIfUnmodifiedSince, now); ok && c.dated && c.modified > at {
		return 412, "modified since the date of If-Unmodified-Since (RFC 9110 section 13.1.4)"
	}
	if req.Has(http1.FieldIfNoneMatch) {
		if match, _ := http1.MatchETag(req.Get(http1.FieldIfNoneMatch, buf), c.etag, false); match {
			return 304, ""
		}
	} else if at, ok := date(req, buf, http1.FieldIfModifiedSince, now); ok && c.dated && c.modified <= at {
		return 304, ""
	}
	return 200, ""
}

// date returns the date of a field. What is not valid is no date, and neither are two of them (RFC 9110 sections 13.1.3
// and 13.1.4).
func date(req *http1.Request, buf []byte, id http1.FieldID, now int64) (at int64, ok bool) {
	if !req.Has(id) {
		return 0, false
	}
	return http1.ParseDate(req.Get(id, buf), now)
}

// ifRange reports whether what the client has a part of is still the file (RFC 9110 section 13.1.5): by a strong entity
// tag, or by the exact date if that is a strong validator, which a file that has just changed does not have (section
// 8.8.2.2). Two dates, or tags, are none.
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
