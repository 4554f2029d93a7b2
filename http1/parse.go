package http1

import (
	"bytes"
	"math"
)

// fieldsCap bounds the fields of a head whatever its Limits say, so that an
// index fits the uint8 of Request.known.
const fieldsCap = 254

// head is one call of Parse: what it knows so far. It stays on the stack.
type head struct {
	buf       []byte
	req       *Request
	start     int // of the request line: 2 behind an empty line, else 0
	fieldsMax int
	sizeMax   int // bytes from start to the end of the empty line

	unknownAt int  // of the first transfer coding that is not chunked
	unknown   bool // there was one
	chunked   bool
	close     bool
	keepAlive bool
}

// Parse parses one request head from the start of buf.
//
// seen is the number of leading bytes of buf for which an earlier call returned
// Partial, else 0. With no line feed behind them Parse looks at the limits only, so
// that a head trickled byte by byte is parsed once a line and not once a byte.
//
// On Complete req is filled, its spans point into buf, and buf[req.HeadLen:]
// is the body or the next request. On Invalid req.Err says why and the rest of req
// means nothing; on Partial all of req means nothing. An error is reported at
// the latest when the line that it stands in has ended or a limit is exceeded, and the outcome
// does not depend on how the bytes were split over calls. req.Fields'
// capacity is reused: Parse allocates only while that grows.
//
// Nothing is repaired where RFC 9112 lets a recipient be lenient. Fields that
// may stand once and say where the request ends, whom it is for or who sends it (Host, Content-Length,
// Authorization, Origin, Access-Control-Request-Method) are refused when they stand twice, since two servers could
// take a different one each. Conditions and ranges (If-Modified-Since, If-Unmodified-Since, If-Range, Range)
// are not: such a value is one that is not valid, and RFC 9110 says of each what that means. See Request.Get.
func Parse(buf []byte, seen int, lim *Limits, req *Request) Result {
	start, ok := skipEmptyLine(buf, req)
	if !ok {
		return Invalid
	}
	if start < 0 || start == len(buf) {
		return Partial
	}
	if class[buf[start]]&isToken == 0 {
		return req.fail(firstByteRule(buf[start], start), start)
	}
	if seen > start && bytes.IndexByte(buf[seen:], '\n') < 0 {
		return unfinished(buf, start, lim, req)
	}
	req.reset()
	h := head{buf: buf, req: req, start: start, sizeMax: headMax(lim), fieldsMax: fieldsMax(lim)}
	return h.parse(lim)
}

// skipEmptyLine returns where the request line starts: behind the one empty
// line that RFC 9112 section 2.2 has a server skip, which some clients send
// after a body. -1: it takes more bytes to tell.
func skipEmptyLine(buf []byte, req *Request) (start int, ok bool) {
	if len(buf) == 0 {
		return -1, true
	}
	switch {
	case buf[0] == '\n':
		req.fail(&errBareLF, 0)
		return 0, false
	case buf[0] != '\r':
		return 0, true
	case len(buf) == 1:
		return -1, true
	case buf[1] != '\n':
		req.fail(&errBareCR, 0)
		return 0, false
	}
	return 2, true
}

// firstByteRule names what begins with a byte that begins no method.
func firstByteRule(c byte, start int) *Error {
	const handshake = 0x16 // RFC 8446 section 5.1
	switch {
	case c == handshake:
		return &errTLS
	case start > 0 && (c == '\r' || c == '\n'):
		return &errEmptyLines
	}
	return &errFirstByte
}

// reset empties r for another head. It keeps the capacity of Fields, and Err,
// which means nothing until it is set: one by one these are half the stores of *r = Request{}.
func (r *Request) reset() {
	r.Method, r.Form, r.Minor, r.Framing, r.Expect, r.Close = 0, 0, 0, NoBody, NoExpectation, false
	r.Length, r.HeadLen = 0, 0
	r.Name, r.Line, r.Target, r.Path, r.Query, r.Host = Span{}, Span{}, Span{}, Span{}, Span{}, Span{}
	r.HasQuery = false
	r.Fields = r.Fields[:0]
	r.known = [numFields]uint8{}
	r.repeated = 0
}

// fail fills req.Err with the rule and returns Invalid.
func (r *Request) fail(rule *Error, at int) Result {
	r.Err = rule.at(at)
	return Invalid
}

// unfinished is Partial unless the line that has no end yet is beyond a limit.
func unfinished(buf []byte, start int, lim *Limits, req *Request) Result {
	if lineMax, rule := requestLineMax(lim); len(buf)-start > lineMax &&
		bytes.IndexByte(buf[start:start+lineMax], '\n') < 0 {
		return req.tooLong(buf, start, lineMax, rule)
	}
	if sizeMax := headMax(lim); len(buf)-start > sizeMax {
		return req.fail(&errHead, start+sizeMax)
	}
	return Partial
}

// tooLong refuses a request line that is longer than lineMax by that rule, unless all of
// it is a method: a longer one than any that is implemented is 501 (RFC 9112 section 3).
func (r *Request) tooLong(buf []byte, start, lineMax int, rule *Error) Result {
	if only(buf[start:start+lineMax], isToken) {
		return r.fail(&errUnknown, start)
	}
	return r.fail(rule, start+lineMax)
}

// requestLineMax returns the bytes that the request line may take with its
// CRLF, and the rule that it breaks with more: the tighter of two limits.
func requestLineMax(lim *Limits) (int, *Error) {
	sizeMax := headMax(lim)
	if lim.RequestLine > 0 && lim.RequestLine < sizeMax-1 {
		return lim.RequestLine + 2, &errRequestLine
	}
	return sizeMax, &errHead
}

// headMax is the limit on a head's bytes; without one it is what a Span can address.
func headMax(lim *Limits) int { return bound(lim.Head, math.MaxInt32) }

func fieldsMax(lim *Limits) int { return bound(lim.Fields, fieldsCap) }

// bound is the limit, or most if that is less or there is no limit.
func bound(limit, most int) int {
	if limit > 0 {
		return min(limit, most)
	}
	return most
}

// parse goes line by line: a line is looked at when all of it is there.
func (h *head) parse(lim *Limits) Result {
	buf, req := h.buf, h.req
	lineMax, rule := requestLineMax(lim)
	n := bytes.IndexByte(buf[h.start:], '\n')
	if n < 0 {
		return unfinished(buf, h.start, lim, req)
	}
	if n >= lineMax {
		return req.tooLong(buf, h.start, lineMax, rule)
	}
	lf := h.start + n
	if buf[lf-1] != '\r' {
		return req.fail(&errBareLF, lf)
	}
	if !h.requestLine(lf - 1) {
		return Invalid
	}
	for {
		pos := lf + 1
		n := 1
		if len(buf)-pos < 2 || buf[pos] != '\r' || buf[pos+1] != '\n' {
			n = bytes.IndexByte(buf[pos:], '\n')
		}
		if n < 0 {
			return unfinished(buf, h.start, lim, req)
		}
		lf = pos + n
		if lf-h.start >= h.sizeMax {
			return req.fail(&errHead, h.start+h.sizeMax)
		}
		if n == 0 || buf[lf-1] != '\r' {
			return req.fail(&errBareLF, lf)
		}
		if n == 1 {
			return h.finish(pos)
		}
		if !h.field(pos, lf-1) {
			return Invalid
		}
	}
}

// finish applies the rules that need the whole head. end is where the empty line begins.
func (h *head) finish(end int) Result {
	req := h.req
	req.HeadLen = end + 2
	switch {
	case !req.Has(FieldHost) && req.Minor > 0:
		return req.fail(&errNoHost, end)
	case h.unknown:
		return req.fail(&errCodingUnknown, h.unknownAt)
	case h.chunked && req.Has(FieldContentLength):
		at := req.Fields[req.known[FieldContentLength]-1].Name.Off
		return req.fail(&errLengthCoding, int(at))
	case h.chunked:
		req.Framing = ChunkedBody
	case req.Has(FieldContentLength):
		req.Framing = LengthBody
	}
	if req.repeated != 0 {
		req.combine(h.buf)
	}
	req.Close = h.close || req.Minor == 0 && !h.keepAlive
	if req.Expect == ExpectContinue &&
		(req.Minor == 0 || req.Framing == NoBody || req.Framing == LengthBody && req.Length == 0) {
		// RFC 9110 section 10.1.1: to be ignored in 1.0; with no content to come there is nothing to continue with.
		req.Expect = NoExpectation
	}
	return Complete
}

func span(from, to int) Span { return Span{Off: uint32(from), Len: uint32(to - from)} }
