package http1

import "strconv"

// Error returns the same text as AppendText.
func (e *Error) Error() string { return string(e.AppendText(nil)) }

// AppendText appends the status and the Reason, with a colon between them.
func (e *Error) AppendText(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	return e.appendReason(append(dst, ": "...))
}

// Reason explains the error in one line to the person who sent the request: the
// rule, the byte, and in parentheses where the rule comes from and what helps:
//
//	LF without CR at byte 14 (RFC 9112 section 2.2; with nc use -C)
//
// A negative At and an empty Source or Hint are left out.
func (e *Error) Reason() string { return string(e.appendReason(nil)) }

func (e *Error) appendReason(dst []byte) []byte {
	dst = append(dst, e.Rule...)
	if e.At >= 0 {
		dst = append(dst, " at byte "...)
		dst = strconv.AppendInt(dst, int64(e.At), 10)
	}
	if e.Source == "" && e.Hint == "" {
		return dst
	}
	dst = append(dst, " ("...)
	dst = append(dst, e.Source...)
	if e.Source != "" && e.Hint != "" {
		dst = append(dst, "; "...)
	}
	dst = append(dst, e.Hint...)
	return append(dst, ')')
}

// at is a copy of the rule for one place.
func (e *Error) at(offset int) Error {
	bad := *e
	bad.At = offset
	return bad
}

// Line endings and the request line.
var (
	errBareLF     = Error{Status: 400, Rule: "LF without CR", Source: "RFC 9112 section 2.2", Hint: "with nc use -C"}
	errBareCR     = Error{Status: 400, Rule: "CR without LF", Source: "RFC 9112 section 2.2"}
	errFirstByte  = Error{Status: 400, Rule: "not the first byte of a request", Source: "RFC 9112 section 3"}
	errEmptyLines = Error{Status: 400, Rule: "more than one empty line before a request", Source: "RFC 9112 section 2.2"}
	errTLS        = Error{
		Status: 400,
		Rule:   "a TLS handshake, not a request",
		Source: "RFC 9112 section 3",
		Hint:   "use http:// here, not https://",
	}
	errMethod    = Error{Status: 400, Rule: "bad byte in the method", Source: "RFC 9110 section 5.6.2"}
	errNoTarget  = Error{Status: 400, Rule: "request line without a target", Source: "RFC 9112 section 3"}
	errNoVersion = Error{
		Status: 400,
		Rule:   "request line without a version",
		Source: "RFC 9112 section 3",
		Hint:   "HTTP/0.9 is not served",
	}
	errSpaces = Error{
		Status: 400,
		Rule:   "not exactly one space between the parts of the request line",
		Source: "RFC 9112 section 3",
		Hint:   "a space in a path is written %20",
	}
	errVersion = Error{
		Status: 400,
		Rule:   "bad HTTP version",
		Source: "RFC 9112 section 2.3",
		Hint:   "HTTP/1.1 or HTTP/1.0",
	}
	errMajor = Error{
		Status: 505,
		Rule:   "HTTP version not served",
		Source: "RFC 9110 section 15.6.6",
		Hint:   "HTTP/1.1 or HTTP/1.0",
	}
	errPreface = Error{
		Status: 505,
		Rule:   "HTTP version not served: the preface of HTTP/2",
		Source: "RFC 9113 section 3.4",
		Hint:   "HTTP/1.1 is served here; with curl no --http2-prior-knowledge",
	}
	errUnknown     = Error{Status: 501, Rule: "unknown method", Source: "RFC 9110 section 9.1"}
	errRequestLine = Error{Status: 414, Rule: "request line over the limit", Source: "RFC 9112 section 3"}
	errTargetByte  = Error{
		Status: 400,
		Rule:   "control character in the request target",
		Source: "RFC 9112 section 3.2",
		Hint:   "percent-encode it",
	}
	errFragment = Error{
		Status: 400,
		Rule:   "fragment in the request target",
		Source: "RFC 9112 section 3.2",
		Hint:   "a # in a path is written %23",
	}
	errTargetForm = Error{
		Status: 400,
		Rule:   "the request target is neither a path nor an http URL",
		Source: "RFC 9112 section 3.2",
	}
	errAsterisk     = Error{Status: 400, Rule: "the target * without OPTIONS", Source: "RFC 9112 section 3.2.4"}
	errAuthority    = Error{Status: 400, Rule: "the target of CONNECT is not host:port", Source: "RFC 9112 section 3.2.3"}
	errUserInfo     = Error{Status: 400, Rule: "user information in the request target", Source: "RFC 9110 section 4.2.4"}
	errTargetHost   = Error{Status: 400, Rule: "bad host in the request target", Source: "RFC 3986 section 3.2.2"}
	errTargetNoHost = Error{Status: 400, Rule: "empty host in the request target", Source: "RFC 9110 section 4.2.1"}
)

// The fields.
var (
	errHead          = Error{Status: 431, Rule: "head over the limit", Source: "RFC 6585 section 5"}
	errFields        = Error{Status: 431, Rule: "more fields than the limit", Source: "RFC 6585 section 5"}
	errLeadingSpace  = Error{Status: 400, Rule: "white space before the first field", Source: "RFC 9112 section 2.2"}
	errFold          = Error{Status: 400, Rule: "folded field line", Source: "RFC 9112 section 5.2"}
	errNameEmpty     = Error{Status: 400, Rule: "empty field name", Source: "RFC 9110 section 5.1"}
	errNameByte      = Error{Status: 400, Rule: "bad byte in a field name", Source: "RFC 9110 section 5.1"}
	errNoColon       = Error{Status: 400, Rule: "field line without a colon", Source: "RFC 9112 section 5"}
	errSpaceColon    = Error{Status: 400, Rule: "white space before the colon", Source: "RFC 9112 section 5.1"}
	errValueByte     = Error{Status: 400, Rule: "control character in a field value", Source: "RFC 9110 section 5.5"}
	errTwice         = Error{Status: 400, Rule: "a field twice that may stand once", Source: "RFC 9110 section 5.3"}
	errNoHost        = Error{Status: 400, Rule: "no Host field", Source: "RFC 9112 section 3.2"}
	errTwoHosts      = Error{Status: 400, Rule: "second Host field", Source: "RFC 9112 section 3.2"}
	errHost          = Error{Status: 400, Rule: "bad host in the Host field", Source: "RFC 3986 section 3.2.2"}
	errLength        = Error{Status: 400, Rule: "Content-Length is not a number", Source: "RFC 9110 section 8.6"}
	errLengthRange   = Error{Status: 400, Rule: "Content-Length overflows", Source: "RFC 9110 section 8.6"}
	errTwoLengths    = Error{Status: 400, Rule: "second Content-Length", Source: "RFC 9112 section 6.3"}
	errLengthCoding  = Error{Status: 400, Rule: "Content-Length with Transfer-Encoding", Source: "RFC 9112 section 6.3"}
	errCodingSyntax  = Error{Status: 400, Rule: "bad Transfer-Encoding", Source: "RFC 9112 section 6.1"}
	errCodingOld     = Error{Status: 400, Rule: "Transfer-Encoding in HTTP/1.0", Source: "RFC 9112 section 6.1"}
	errCodingUnknown = Error{
		Status: 501,
		Rule:   "unknown transfer coding",
		Source: "RFC 9112 section 6.1",
		Hint:   "chunked alone is served",
	}
	errChunkedTwice = Error{Status: 400, Rule: "chunked twice", Source: "RFC 9112 section 6.1"}
	errChunkedLast  = Error{Status: 400, Rule: "chunked is not the last transfer coding", Source: "RFC 9112 section 6.3"}
)

// Bodies.
var (
	errBody       = Error{Status: 413, Rule: "body over the limit", Source: "RFC 9110 section 15.5.14"}
	errChunkSize  = Error{Status: 400, Rule: "bad chunk size", Source: "RFC 9112 section 7.1"}
	errChunkLong  = Error{Status: 400, Rule: "chunk size of more than 128 digits", Source: "RFC 9112 section 7.1"}
	errChunkRange = Error{Status: 400, Rule: "chunk size overflows", Source: "RFC 9112 section 7.1"}
	errChunkExt   = Error{Status: 400, Rule: "bad chunk extension", Source: "RFC 9112 section 7.1.1"}
	errChunkExts  = Error{Status: 413, Rule: "chunk extensions over the limit", Source: "RFC 9112 section 7.1.1"}
	errChunkEnd   = Error{Status: 400, Rule: "chunk data longer than its size", Source: "RFC 9112 section 7.1"}
)

// Paths.
var (
	errPathStart  = Error{Status: 400, Rule: "path without a leading slash", Source: "RFC 3986 section 3.3"}
	errPathEscape = Error{
		Status: 400,
		Rule:   "bad percent-encoding",
		Source: "RFC 3986 section 2.1",
		Hint:   "a percent sign is written %25",
	}
	errPathNUL   = Error{Status: 400, Rule: "NUL in the path", Source: "RFC 3986 section 7.3"}
	errPathAbove = Error{Status: 400, Rule: "path above the root", Source: "RFC 3986 section 5.2.4"}
)
