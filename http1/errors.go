package http1

import "strconv"

// Error returns the status and the Reason, with a colon between them.
func (e *Error) Error() string { return strconv.Itoa(e.Status) + ": " + e.Reason() }

// Reason explains the error in one line to the person who sent the request: the
// rule, the byte, and in parentheses where the rule comes from and what helps:
//
//	LF without CR at byte 14 (RFC 9112 section 2.2; with nc use -C)
//
// A negative At and an empty Source or Hint are left out.
func (e *Error) Reason() string {
	text, note := e.Rule, e.Source
	if e.At >= 0 {
		text += " at byte " + strconv.Itoa(e.At)
	}
	if note != "" && e.Hint != "" {
		note += "; "
	}
	if note += e.Hint; note == "" {
		return text
	}
	return text + " (" + note + ")"
}

// at is a copy of the rule for one place.
func (e *Error) at(offset int) Error {
	bad := *e
	bad.At = offset
	return bad
}

// The errors, each with its Status, Rule, Source and Hint. The place is set by at.

// Line endings and the request line.
var (
	errBareLF     = Error{400, "LF without CR", 0, "RFC 9112 section 2.2", "with nc use -C"}
	errBareCR     = Error{400, "CR without LF", 0, "RFC 9112 section 2.2", ""}
	errFirstByte  = Error{400, "not the first byte of a request", 0, "RFC 9112 section 3", ""}
	errEmptyLines = Error{400, "more than one empty line before a request", 0, "RFC 9112 section 2.2", ""}
	errTLS        = Error{400, "a TLS handshake, not a request", 0,
		"RFC 9112 section 3", "use http:// here, not https://"}
	errMethod    = Error{400, "bad byte in the method", 0, "RFC 9110 section 5.6.2", ""}
	errNoTarget  = Error{400, "request line without a target", 0, "RFC 9112 section 3", ""}
	errNoVersion = Error{400, "request line without a version", 0, "RFC 9112 section 3", "HTTP/0.9 is not served"}
	errSpaces    = Error{400, "not exactly one space between the parts of the request line", 0,
		"RFC 9112 section 3", "a space in a path is written %20"}
	errVersion = Error{400, "bad HTTP version", 0, "RFC 9112 section 2.3", "HTTP/1.1 or HTTP/1.0"}
	errMajor   = Error{505, "HTTP version not served", 0, "RFC 9110 section 15.6.6", "HTTP/1.1 or HTTP/1.0"}
	errPreface = Error{505, "HTTP version not served: the preface of HTTP/2", 0,
		"RFC 9113 section 3.4", "HTTP/1.1 is served here; with curl no --http2-prior-knowledge"}
	errUnknown     = Error{501, "unknown method", 0, "RFC 9110 section 9.1", ""}
	errRequestLine = Error{414, "request line over the limit", 0, "RFC 9112 section 3", ""}
	errTargetByte  = Error{400, "control character in the request target", 0, "RFC 9112 section 3.2",
		"percent-encode it"}
	errFragment = Error{400, "fragment in the request target", 0,
		"RFC 9112 section 3.2", "a # in a path is written %23"}
	errTargetForm   = Error{400, "the request target is neither a path nor an http URL", 0, "RFC 9112 section 3.2", ""}
	errAsterisk     = Error{400, "the target * without OPTIONS", 0, "RFC 9112 section 3.2.4", ""}
	errAuthority    = Error{400, "the target of CONNECT is not host:port", 0, "RFC 9112 section 3.2.3", ""}
	errUserInfo     = Error{400, "user information in the request target", 0, "RFC 9110 section 4.2.4", ""}
	errTargetHost   = Error{400, "bad host in the request target", 0, "RFC 3986 section 3.2.2", ""}
	errTargetNoHost = Error{400, "empty host in the request target", 0, "RFC 9110 section 4.2.1", ""}
)

// The fields.
var (
	errHead          = Error{431, "head over the limit", 0, "RFC 6585 section 5", ""}
	errFields        = Error{431, "more fields than the limit", 0, "RFC 6585 section 5", ""}
	errLeadingSpace  = Error{400, "white space before the first field", 0, "RFC 9112 section 2.2", ""}
	errFold          = Error{400, "folded field line", 0, "RFC 9112 section 5.2", ""}
	errNameEmpty     = Error{400, "empty field name", 0, "RFC 9110 section 5.1", ""}
	errNameByte      = Error{400, "bad byte in a field name", 0, "RFC 9110 section 5.1", ""}
	errNoColon       = Error{400, "field line without a colon", 0, "RFC 9112 section 5", ""}
	errSpaceColon    = Error{400, "white space before the colon", 0, "RFC 9112 section 5.1", ""}
	errValueByte     = Error{400, "control character in a field value", 0, "RFC 9110 section 5.5", ""}
	errTwice         = Error{400, "a field twice that may stand once", 0, "RFC 9110 section 5.3", ""}
	errNoHost        = Error{400, "no Host field", 0, "RFC 9112 section 3.2", ""}
	errTwoHosts      = Error{400, "second Host field", 0, "RFC 9112 section 3.2", ""}
	errHost          = Error{400, "bad host in the Host field", 0, "RFC 3986 section 3.2.2", ""}
	errLength        = Error{400, "Content-Length is not a number", 0, "RFC 9110 section 8.6", ""}
	errLengthRange   = Error{400, "Content-Length overflows", 0, "RFC 9110 section 8.6", ""}
	errTwoLengths    = Error{400, "second Content-Length", 0, "RFC 9112 section 6.3", ""}
	errLengthCoding  = Error{400, "Content-Length with Transfer-Encoding", 0, "RFC 9112 section 6.3", ""}
	errCodingSyntax  = Error{400, "bad Transfer-Encoding", 0, "RFC 9112 section 6.1", ""}
	errCodingOld     = Error{400, "Transfer-Encoding in HTTP/1.0", 0, "RFC 9112 section 6.1", ""}
	errCodingUnknown = Error{501, "unknown transfer coding", 0, "RFC 9112 section 6.1", "chunked alone is served"}
	errChunkedTwice  = Error{400, "chunked twice", 0, "RFC 9112 section 6.1", ""}
	errChunkedLast   = Error{400, "chunked is not the last transfer coding", 0, "RFC 9112 section 6.3", ""}
)

// Bodies.
var (
	errBody       = Error{413, "body over the limit", 0, "RFC 9110 section 15.5.14", ""}
	errChunkSize  = Error{400, "bad chunk size", 0, "RFC 9112 section 7.1", ""}
	errChunkLong  = Error{400, "chunk size of more than 128 digits", 0, "RFC 9112 section 7.1", ""}
	errChunkRange = Error{400, "chunk size overflows", 0, "RFC 9112 section 7.1", ""}
	errChunkExt   = Error{400, "bad chunk extension", 0, "RFC 9112 section 7.1.1", ""}
	errChunkExts  = Error{413, "chunk extensions over the limit", 0, "RFC 9112 section 7.1.1", ""}
	errChunkEnd   = Error{400, "chunk data longer than its size", 0, "RFC 9112 section 7.1", ""}
)

// Paths.
var (
	errPathStart  = Error{400, "path without a leading slash", 0, "RFC 3986 section 3.3", ""}
	errPathEscape = Error{400, "bad percent-encoding", 0, "RFC 3986 section 2.1", "a percent sign is written %25"}
	errPathNUL    = Error{400, "NUL in the path", 0, "RFC 3986 section 7.3", ""}
	errPathAbove  = Error{400, "path above the root", 0, "RFC 3986 section 5.2.4", ""}
)
