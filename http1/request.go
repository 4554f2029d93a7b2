package http1

// Span is a part of the buffer that a Request was parsed from. The Request
// itself holds no pointer to it, so that a loop can reuse one Request for all
// its connections and a buffer may move between two looks at the same bytes.
type Span struct{ Off, Len uint32 }

// In returns the span's bytes within buf, which the caller still owns.
func (s Span) In(buf []byte) []byte { return buf[s.Off : s.Off+s.Len] }

// Empty reports whether the span has no bytes.
func (s Span) Empty() bool { return s.Len == 0 }

// Method is a request method that this package knows by name.
type Method uint8

// The methods of RFC 9110 section 9, PATCH (RFC 5789) and the rest of the IANA
// registry, QUERY (RFC 10008) among them, as MethodOther, which is known but never allowed by a file server.
// A method outside the registry is not parsed: it is answered 501.
const (
	MethodGET Method = iota + 1
	MethodHEAD
	MethodOPTIONS
	MethodPOST
	MethodPUT
	MethodDELETE
	MethodPATCH
	MethodTRACE
	MethodCONNECT
	MethodOther
)

// Form is the form of a request target (RFC 9112 section 3.2).
type Form uint8

// The four forms.
const (
	OriginForm    Form = iota // /path?query
	AbsoluteForm              // http://host/path?query
	AuthorityForm             // host:port, CONNECT only
	AsteriskForm              // *, OPTIONS only
)

// Framing says how a request's body is delimited (RFC 9112 section 6).
type Framing uint8

// The framings of a request.
const (
	NoBody Framing = iota
	LengthBody
	ChunkedBody
)

// Expectation is what the Expect field asks for (RFC 9110 section 10.1.1).
type Expectation uint8

// Expectations: none, 100-continue, or one that is answered 417.
const (
	NoExpectation Expectation = iota
	ExpectContinue
	ExpectUnknown
)

// FieldID names the fields that a file server looks at; all others are FieldOther.
type FieldID uint8

// The known fields.
const (
	FieldOther FieldID = iota
	FieldHost
	FieldConnection
	FieldContentLength
	FieldTransferEncoding
	FieldExpect
	FieldRange
	FieldIfRange
	FieldIfMatch
	FieldIfNoneMatch
	FieldIfModifiedSince
	FieldIfUnmodifiedSince
	FieldAccept
	FieldAcceptEncoding
	FieldAuthorization
	FieldCacheControl
	FieldForwarded
	FieldOrigin
	FieldPragma
	FieldReferer
	FieldUserAgent
	FieldXForwardedFor
	FieldAccessControlRequestMethod
	FieldAccessControlRequestHeaders
	numFields
)

const _ = 32 - uint(numFields) // Request.repeated has a bit for each

// Field is one field line of a head. Value has no white space at its ends.
type Field struct {
	ID          FieldID
	Name, Value Span
}

// Request is a parsed request head. Its spans point into the buffer it was parsed from.
type Request struct {
	Method   Method
	Form     Form
	Minor    uint8 // of HTTP/1.Minor; 0 or 1: 1.2 and up are served as 1.1
	Framing  Framing
	Expect   Expectation
	Close    bool  // the connection does not outlive the answer: 1.1 with close, 1.0 without keep-alive
	Length   int64 // of a LengthBody
	HeadLen  int   // bytes of the head with the empty line that ends it (and one that stood before it)
	Name     Span  // the method as sent
	Line     Span  // the request line without its CRLF
	Target   Span  // as sent
	Path     Span  // the target's path, still encoded; empty if the target has none
	Query    Span  // without the question mark
	HasQuery bool  // there was a question mark
	Host     Span  // the target's authority in absolute form, else the Host field; may be empty
	Fields   []Field
	Err      Error // set when Parse returned Invalid

	known    [numFields]uint8 // the index+1 in Fields of the first such field
	repeated uint32           // a bit for each field that stands on several lines
	combined []byte           // the values of those
	values   [numFields]Span  // of each of those, in combined
}

// Get returns the value of the field of that ID, nil if there is none. A field that stands on
// several lines has one value: that of each line, in order, with a comma and a space between them
// (RFC 9110 section 5.3). So a list on two lines is one list, and what is no list and stands twice is
// not valid as a whole. The bytes are buf's or the Request's own, and valid until the next Parse.
func (r *Request) Get(id FieldID, buf []byte) []byte {
	i := r.known[id]
	switch {
	case i == 0:
		return nil
	case r.repeated&(1<<id) != 0:
		return r.values[id].In(r.combined)
	}
	return r.Fields[i-1].Value.In(buf)
}

// combine puts the values of each field that stands on several lines together. All of them are shorter
// than the head: the separator takes two bytes, a line's name and end take more.
func (r *Request) combine(buf []byte) {
	r.combined = r.combined[:0]
	for id := FieldOther + 1; id < numFields; id++ {
		if r.repeated&(1<<id) == 0 {
			continue
		}
		from, first := len(r.combined), int(r.known[id])-1
		r.combined = append(r.combined, r.Fields[first].Value.In(buf)...)
		for _, f := range r.Fields[first+1:] {
			if f.ID == id {
				r.combined = append(append(r.combined, ", "...), f.Value.In(buf)...)
			}
		}
		r.values[id] = span(from, len(r.combined))
	}
}

// Has reports whether there is a field of that ID.
func (r *Request) Has(id FieldID) bool { return r.known[id] != 0 }

// Error is why bytes are not a request that is served: the status to answer
// with, and an explanation for the person who sent it. It never holds the peer's bytes.
type Error struct {
	Status int
	Rule   string // "LF without CR"
	At     int    // the byte's offset from the start of the head or, for a body, of the bytes given
	Source string // "RFC 9112 section 2.2"
	Hint   string // "with nc use -C"; often empty
}

// Result is how far Parse came.
type Result uint8

// Partial: no error so far, more bytes are needed. Complete: the Request is
// filled. Invalid: Request.Err says why.
const (
	Partial Result = iota
	Complete
	Invalid
)

// Limits bound a request. Zero means no limit.
type Limits struct {
	RequestLine int   // bytes; beyond it 414
	Head        int   // bytes, from the request line to the empty line; beyond it 431
	Fields      int   // field lines; beyond it 431
	Body        int64 // bytes of content, after decoding; beyond it 413
}
