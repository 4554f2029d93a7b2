package http1

import "math"

// fieldNames are the known fields' names, in lower case.
var fieldNames = [numFields]string{
	FieldHost:                        "host",
	FieldConnection:                  "connection",
	FieldContentLength:               "content-length",
	FieldTransferEncoding:            "transfer-encoding",
	FieldExpect:                      "expect",
	FieldRange:                       "range",
	FieldIfRange:                     "if-range",
	FieldIfMatch:                     "if-match",
	FieldIfNoneMatch:                 "if-none-match",
	FieldIfModifiedSince:             "if-modified-since",
	FieldIfUnmodifiedSince:           "if-unmodified-since",
	FieldAccept:                      "accept",
	FieldAcceptEncoding:              "accept-encoding",
	FieldAuthorization:               "authorization",
	FieldCacheControl:                "cache-control",
	FieldForwarded:                   "forwarded",
	FieldOrigin:                      "origin",
	FieldPragma:                      "pragma",
	FieldReferer:                     "referer",
	FieldUserAgent:                   "user-agent",
	FieldXForwardedFor:               "x-forwarded-for",
	FieldAccessControlRequestMethod:  "access-control-request-method",
	FieldAccessControlRequestHeaders: "access-control-request-headers",
}

// fieldIDOf recognises a field name, which is a token that is not empty: its
// length and a letter leave one candidate.
func fieldIDOf(name []byte) FieldID {
	id := FieldOther
	c := name[0] | 0x20
	switch len(name) {
	case 4:
		id = FieldHost
	case 5:
		id = FieldRange
	case 6:
		id = pick(c, 'a', FieldAccept, 'e', FieldExpect)
		if id == FieldOther {
			id = pick(c, 'o', FieldOrigin, 'p', FieldPragma)
		}
	case 7:
		id = FieldReferer
	case 8:
		id = pick(name[3]|0x20, 'r', FieldIfRange, 'm', FieldIfMatch)
	case 9:
		id = FieldForwarded
	case 10:
		id = pick(c, 'c', FieldConnection, 'u', FieldUserAgent)
	case 13:
		id = pick(c, 'c', FieldCacheControl, 'i', FieldIfNoneMatch)
		if c == 'a' {
			id = FieldAuthorization
		}
	case 14:
		id = FieldContentLength
	case 15:
		id = pick(c, 'a', FieldAcceptEncoding, 'x', FieldXForwardedFor)
	case 17:
		id = pick(c, 't', FieldTransferEncoding, 'i', FieldIfModifiedSince)
	case 19:
		id = FieldIfUnmodifiedSince
	case 29:
		id = FieldAccessControlRequestMethod
	case 30:
		id = FieldAccessControlRequestHeaders
	}
	if id != FieldOther && equalFold(name, fieldNames[id]) {
		return id
	}
	return FieldOther
}

func pick(c, c1 byte, id1 FieldID, c2 byte, id2 FieldID) FieldID {
	switch c {
	case c1:
		return id1
	case c2:
		return id2
	}
	return FieldOther
}

// field parses the field line buf[pos:end], which is not empty, holds no LF
// and whose CR stands at end.
func (h *head) field(pos, end int) bool {
	buf, req := h.buf, h.req
	if len(req.Fields) >= h.fieldsMax {
		return h.bad(&errFields, pos)
	}
	colon := pos
	for class[buf[colon]]&isToken != 0 {
		colon++
	}
	if buf[colon] != ':' || colon == pos {
		return h.badName(pos, colon, end)
	}
	from, to := colon+1, end
	for from < to && (buf[from] == ' ' || buf[from] == '\t') {
		from++
	}
	for to > from && (buf[to-1] == ' ' || buf[to-1] == '\t') {
		to--
	}
	if i := badValueByte(buf[from:to]); i >= 0 {
		return h.bad(controlRule(buf[from+i], &errValueByte), from+i)
	}
	id := fieldIDOf(buf[pos:colon])
	req.Fields = append(req.Fields, Field{ID: id, Name: span(pos, colon), Value: span(from, to)})
	if id == FieldOther {
		return true
	}
	first := req.known[id] == 0
	if first {
		req.known[id] = uint8(len(req.Fields))
	} else {
		req.repeated |= 1 << id
	}
	return h.known(id, pos, from, to, first)
}

// badName says what is wrong with a field line whose name does not end in a colon.
func (h *head) badName(pos, i, end int) bool {
	c := h.buf[i]
	switch {
	case i == end:
		return h.bad(&errNoColon, i)
	case i == pos && c == ':':
		return h.bad(&errNameEmpty, i)
	case c == ' ' || c == '\t':
		if i > pos {
			return h.bad(&errSpaceColon, i)
		}
		if len(h.req.Fields) == 0 {
			return h.bad(&errLeadingSpace, i)
		}
		return h.bad(&errFold, i)
	}
	return h.bad(controlRule(c, &errNameByte), i)
}

// known applies the rules of one field. Its line begins at pos, its value is
// buf[from:to]; first: there was none of its kind before.
func (h *head) known(id FieldID, pos, from, to int, first bool) bool {
	switch id {
	case FieldHost:
		return h.hostField(pos, from, to, first)
	case FieldConnection:
		h.connectionField(h.buf[from:to])
	case FieldContentLength:
		if !first {
			return h.bad(&errTwoLengths, pos)
		}
		return h.lengthField(from, to)
	case FieldTransferEncoding:
		if h.req.Minor == 0 {
			return h.bad(&errCodingOld, pos)
		}
		return h.codingField(from, to)
	case FieldExpect:
		h.expectField(h.buf[from:to])
	case FieldAuthorization, FieldOrigin, FieldAccessControlRequestMethod:
		if !first {
			return h.bad(&errTwice, pos)
		}
	}
	return true
}

func (h *head) hostField(pos, from, to int, first bool) bool {
	if !first {
		return h.bad(&errTwoHosts, pos)
	}
	if i := badAuthority(h.buf[from:to]); i >= 0 {
		return h.bad(&errHost, from+i)
	}
	if h.req.Form != AbsoluteForm {
		h.req.Host = span(from, to)
	}
	return true
}

// cutList splits the first element off a comma-separated list (RFC 9110 section 5.6.1).
func cutList(list []byte) (element, rest []byte, more bool) {
	for i, c := range list {
		if c == ',' {
			return trimSpace(list[:i]), list[i+1:], true
		}
	}
	return trimSpace(list), nil, false
}

// connectionField looks for close and keep-alive (RFC 9112 section 9.3);
// other options are for proxies.
func (h *head) connectionField(list []byte) {
	for more := true; more; {
		var option []byte
		option, list, more = cutList(list)
		if equalFold(option, "close") {
			h.close = true
		} else if equalFold(option, "keep-alive") {
			h.keepAlive = true
		}
	}
}

// lengthField parses 1*DIGIT. A list of equal lengths, which RFC 9110 section 8.6
// lets a recipient accept, is refused.
func (h *head) lengthField(from, to int) bool {
	if from == to {
		return h.bad(&errLength, from)
	}
	var n int64
	for i := from; i < to; i++ {
		c := h.buf[i]
		if !isDigit(c) {
			return h.bad(&errLength, i)
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return h.bad(&errLengthRange, from)
		}
		n = n*10 + d
	}
	h.req.Length = n
	return true
}

// codingField goes through a list of transfer codings (RFC 9112 section 6.1).
// That chunked stands once and last is known at once; which codings there are
// is judged at the end of the head, since a later line continues the list. One without
// chunked is 501 for its unknown coding, where RFC 9112 section 6.3 has 400: that names what to change.
func (h *head) codingField(from, to int) bool {
	list := h.buf[from:to]
	for more := true; more; {
		var coding []byte
		at := to - len(list)
		coding, list, more = cutList(list)
		name, params := cutToken(coding)
		chunked := equalFold(name, "chunked")
		switch {
		case len(name) == 0, len(params) > 0 && (chunked || params[0] != ';'):
			return h.bad(&errCodingSyntax, at)
		case chunked && h.chunked:
			return h.bad(&errChunkedTwice, at)
		case h.chunked:
			return h.bad(&errChunkedLast, at)
		case chunked:
			h.chunked = true
		case !h.unknown:
			h.unknown, h.unknownAt = true, at
		}
	}
	return true
}

// cutToken splits the token at the start of p from the rest, without the white space between.
func cutToken(p []byte) (token, rest []byte) {
	i := 0
	for i < len(p) && class[p[i]]&isToken != 0 {
		i++
	}
	return p[:i], trimSpace(p[i:])
}

// expectField looks for 100-continue (RFC 9110 section 10.1.1); any other expectation
// is one that the answer 417 is for.
func (h *head) expectField(list []byte) {
	for more := true; more; {
		var expectation []byte
		expectation, list, more = cutList(list)
		switch {
		case len(expectation) == 0:
		case !equalFold(expectation, "100-continue"):
			h.req.Expect = ExpectUnknown
		case h.req.Expect == NoExpectation:
			h.req.Expect = ExpectContinue
		}
	}
}
