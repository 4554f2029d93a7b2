package load

import (
	"bytes"
	"encoding/binary"
	"errors"
)

const (
	// headMax bounds a response head. Servers' own limits on what they write are 8 to 32 KiB.
	headMax = 32 << 10
	// lengthDigitsMax is the most digits of a Content-Length: 10^18 - 1 fits an int64.
	lengthDigitsMax = 18
)

// Why bytes are no response that this client takes. They are made once: parsing allocates nothing, a hostile answer's
// neither.
var (
	errStatusLine = errors.New("the status line is not HTTP/1.0 or HTTP/1.1, SP, three digits, SP, reason (RFC " +
		"9112 section 4)")
	errLineEnd      = errors.New("a line of the head does not end in CRLF (RFC 9112 section 2.2)")
	errFieldName    = errors.New("a field line has no token and colon at its start (RFC 9112 section 5)")
	errFieldValue   = errors.New("a field value has a control character (RFC 9110 section 5.5)")
	errLengthValue  = errors.New("Content-Length is not 1 to 18 digits (RFC 9110 section 8.6)")
	errLengthTwice  = errors.New("there are two Content-Length fields (RFC 9112 section 6.3)")
	errCodingTwice  = errors.New("there are Transfer-Encoding and Content-Length (RFC 9112 section 6.3)")
	errChunkLine    = errors.New("the framing of a chunk is not size, CRLF, data, CRLF (RFC 9112 section 7.1)")
	errChunkLong    = errors.New("a chunk or its framing is longer than this client takes")
	errHeadTooLong  = errors.New("the head is longer than 32 KiB")
	errSwitching    = errors.New("the server switches protocols (101), which was not asked for")
	errUninvited    = errors.New("bytes came that no request had asked for")
	errBehindClose  = errors.New("bytes came behind an answer that said Connection: close")
	errConflicting  = errors.New("the response to 204 or 304 has content announced (RFC 9110 section 8.6)")
	fieldLength     = []byte("content-length")
	fieldConnection = []byte("connection")
	fieldCoding     = []byte("transfer-encoding")
	optionClose     = []byte("close")
	optionKeepAlive = []byte("keep-alive")
	codingChunked   = []byte("chunked")
	comma           = []byte(",")
)

// framing is how the end of a content is told (RFC 9112 section 6.3).
type framing uint8

const (
	byLength framing = iota // by its length, which is 0 where there is no content
	byChunks                // by the last chunk
	byClose                 // by the end of the stream
)

// head is what a response head says.
type head struct {
	status  int
	framing framing
	length  int64 // of the content that follows, in bytes; 0 when there is none or framing is another
	// announced is Content-Length as written, which for HEAD is of content that
	// does not follow; -1: there was no such field.
	announced int64
	close     bool // the server closes the connection behind this response
	keep      bool // Connection has keep-alive, which counts in HTTP/1.0 if it has no close
	http10    bool // the version is HTTP/1.0
	coded     bool // there is a Transfer-Encoding
}

// parseHead parses the head that buf begins with into h and returns its
// length with the empty line; 0, nil when more is needed. toHead: the request
// was HEAD, so no content follows (RFC 9112 section 6.3).
func parseHead(buf []byte, toHead bool, h *head) (int, error) {
	line, next, err := cutLine(buf, 0)
	if next == 0 || err != nil {
		return 0, err
	}
	http11, err := h.statusLine(line)
	if err != nil {
		return 0, err
	}
	h.http10, h.announced, h.close, h.keep, h.coded, h.framing = !http11, -1, false, false, false, byLength
	for {
		line, next, err = cutLine(buf, next)
		switch {
		case next == 0 || err != nil:
			return 0, err
		case len(line) == 0:
			return next, h.settle(toHead)
		}
		if err := h.field(line); err != nil {
			return 0, err
		}
	}
}

// cutLine returns the line at that offset, without its CRLF, and the next
// one's offset; 0 when the line is not complete.
func cutLine(buf []byte, at int) (line []byte, next int, err error) {
	length := bytes.IndexByte(buf[at:], '\n')
	switch {
	case length < 0 && len(buf) >= headMax:
		return nil, 0, errHeadTooLong
	case length < 0:
		return nil, 0, nil
	case length == 0 || buf[at+length-1] != '\r':
		return nil, 0, errLineEnd
	case at+length+1 > headMax:
		return nil, 0, errHeadTooLong
	}
	return buf[at : at+length-1], at + length + 1, nil
}

// statusLine parses "HTTP/1.1 200 OK" and reports whether the version is HTTP/1.1, which keeps connections by default.
func (h *head) statusLine(line []byte) (http11 bool, err error) {
	// The reason may be empty, the space before it may not be missing.
	if len(line) < len("HTTP/1.1 200 ") || string(line[:7]) != "HTTP/1." || line[7]&^1 != '0' || line[8] != ' ' ||
		line[12] != ' ' {
		return false, errStatusLine
	}
	h.status = 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return false, errStatusLine
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || hasControl(line) {
		return false, errStatusLine
	}
	return line[7] == '1', nil
}

// field reads one field line. Only three fields matter, but all must be well-formed.
func (h *head) field(line []byte) error {
	colon := 0
	for colon < len(line) && isToken[line[colon]] {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return errFieldName
	}
	name, value := line[:colon], line[colon+1:]
	if hasControl(value) {
		return errFieldValue
	}
	switch {
	case bytes.EqualFold(name, fieldLength):
		return h.contentLength(trim(value))
	case bytes.EqualFold(name, fieldConnection):
		h.connection(value)
	case bytes.EqualFold(name, fieldCoding):
		h.coding(value)
	}
	return nil
}

// coding reads Transfer-Encoding: where chunked is the last coding the content ends with
// its last chunk, and with the stream otherwise.
func (h *head) coding(value []byte) {
	h.coded, h.framing = true, byClose
	if bytes.EqualFold(trim(value[bytes.LastIndexByte(value, ',')+1:]), codingChunked) {
		h.framing = byChunks
	}
}

func (h *head) contentLength(value []byte) error {
	if h.announced >= 0 {
		return errLengthTwice
	}
	if len(value) == 0 || len(value) > lengthDigitsMax {
		return errLengthValue
	}
	var length int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLengthValue
		}
		length = length*10 + int64(c-'0')
	}
	h.announced = length
	return nil
}

// connection reads the list of options (RFC 9110 section 7.6.1), or a line of it.
func (h *head) connection(value []byte) {
	for option := range bytes.SplitSeq(value, comma) {
		option = trim(option)
		h.close = h.close || bytes.EqualFold(option, optionClose)
		h.keep = h.keep || bytes.EqualFold(option, optionKeepAlive)
	}
}

// settle says how the content ends, once all fields are read.
func (h *head) settle(toHead bool) error {
	h.close = h.close || h.http10 && !h.keep // RFC 9112 section 9.3: close beats keep-alive
	none := toHead || h.status < 200 || h.status == 204 || h.status == 304
	switch {
	case h.status == 101:
		return errSwitching
	case h.status == 204 && h.announced > 0:
		// A 304 may say the length of what it does not send (RFC 9110 section 8.6), a 204 may not.
		return errConflicting
	case h.coded && h.announced >= 0:
		return errCodingTwice
	case none:
		h.length, h.framing = 0, byLength
	case h.coded:
		// HTTP/1.0 has no Transfer-Encoding: a server that sends it is not trusted with another
		// response on this connection (RFC 9112 section 6.1).
		h.length, h.close = 0, h.close || h.http10 || h.framing == byClose
	case h.announced < 0:
		h.length, h.framing, h.close = 0, byClose, true
	default:
		h.length = h.announced
	}
	return nil
}

// trim cuts spaces and tabs off both ends.
func trim(b []byte) []byte { return bytes.Trim(b, " \t") }

// hasControl reports whether b has a byte below SP, other than a tab, or DEL.
func hasControl(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		// Eight at a time: subtracting 0x20 borrows into the high bit of a byte
		// below it (Hacker's Delight, 6-1), and DEL is zero after the exclusive or.
		// A borrow can mark a neighbour too: a mark only means a closer look.
		word := binary.LittleEndian.Uint64(b)
		del := word ^ 0x7f*ones
		if ((word-0x20*ones)&^word|(del-ones)&^del)&highs != 0 && controlIn(b[:8]) {
			return true
		}
		b = b[8:]
	}
	return controlIn(b)
}

func controlIn(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// isToken is tchar of RFC 9110 section 5.6.2.
var isToken = func() (table [256]bool) {
	for c := '0'; c <= 'z'; c++ {
		table[c] = c <= '9' || c >= 'a' || c >= 'A' && c <= 'Z'
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		table[c] = true
	}
	return table
}()
