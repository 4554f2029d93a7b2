package static

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// rangesDefault is how many ranges a request may ask for if Options do not say: zsync asks for 20, zchunk for 255.
const rangesDefault = 256

// ranged is the answer to a request for ranges, made by choose and sent by send. A loop uses one for all its answers.
type ranged struct {
	asked    []http1.ByteRange // of the request, in its order
	parts    []http1.ByteRange // of the answer, without overlaps
	random   [16]byte          // what the boundary is made of
	boundary [32]byte          // between the parts
	heads    []byte            // those of all parts of a multipart answer, one after the other, and its end
	ends     []int             // the end of each head
	length   int64             // of a multipart body
}

// choose chooses what the request's Range has sent of the content. The status is 200 if that is everything, 206, or 416
// with its reason. limit is how many ranges a request may ask for, and now in seconds since 1970.
func (m *ranged) choose(c *content, req *http1.Request, buf []byte, limit int, now int64) (status int, reason string) {
	// RFC 9110 section 14.2: Range is defined for GET.
	if !req.Has(http1.FieldRange) || req.Method != http1.MethodGET || !ifRange(c, req, buf, now) {
		return 200, ""
	}
	var result http1.RangeResult
	m.asked, result = http1.ParseRange(req.Get(http1.FieldRange, buf), c.size, limit, m.asked[:0])
	switch result {
	case http1.RangeUnsatisfiable:
		return 416, "no range of the request is within the file (RFC 9110 section 15.5.17)"
	case http1.RangeIgnored:
		return 200, ""
	}
	several := len(m.asked) > 1
	m.parts = http1.CoalesceRanges(m.asked)
	if len(m.parts) > 1 {
		m.frame(c)
		if m.length >= c.size {
			return 200, ""
		}
	} else if several && m.parts[0].Length == c.size {
		return 200, ""
	}
	return 206, ""
}

// frame makes the heads of the parts of a multipart/byteranges answer (RFC 9110 section 14.6).
//
// The body begins with a line break, which makes an empty preamble (RFC 2046 section 5.1.1), as the bodies of nginx do:
// zsync 0.6.2 looks for one before each boundary, the first too, and asks for ever if there is none.
func (m *ranged) frame(c *content) {
	// Each answer has its own, of 128 random bits: a person who writes the files cannot have put it in them.
	_, _ = rand.Read(m.random[:]) // it never fails: it ends the process instead
	hex.Encode(m.boundary[:], m.random[:])
	m.heads, m.ends, m.length = m.heads[:0], m.ends[:0], 0
	for _, r := range m.parts {
		m.length += r.Length
		m.heads = append(append(append(m.heads, "\r\n--"...), m.boundary[:]...), "\r\n"...)
		m.heads = append(m.heads, c.head[c.validators:c.typed]...)
		m.heads = append(appendContentRange(m.heads, r, c.size), "\r\n"...)
		m.ends = append(m.ends, len(m.heads))
	}
	m.heads = append(append(append(m.heads, "\r\n--"...), m.boundary[:]...), "--\r\n"...)
	m.length += int64(len(m.heads))
}

// send answers with the parts that choose has chosen. It makes the head in scratch, and returns that.
func (m *ranged) send(c *content, scratch []byte, out *conn.Output) []byte {
	if len(m.parts) == 1 {
		// RFC 9110 section 15.3.7.2: what has come down to one range is no multipart.
		b := appendContentRange(append(scratch[:0], c.head[:c.common]...), m.parts[0], c.size)
		b = appendLength(b, m.parts[0].Length)
		out.Head(206, b)
		c.send(m.parts[0], out)
		return b
	}
	b := append(scratch[:0], c.head[:c.validators]...)
	b = append(append(b, "Content-Type: multipart/byteranges; boundary="...), m.boundary[:]...)
	b = append(append(b, "\r\n"...), c.head[c.typed:c.common]...)
	b = appendLength(b, m.length)
	out.Head(206, b)
	from := 0
	for i, r := range m.parts {
		out.Bytes(m.heads[from:m.ends[i]])
		c.send(r, out)
		from = m.ends[i]
	}
	out.Bytes(m.heads[from:])
	return b
}

// send adds a range of the content to an answer.
func (c *content) send(r http1.ByteRange, out *conn.Output) {
	if c.file != nil {
		out.File(c.file, r.Offset, r.Length)
	} else {
		out.Shared(c.body[r.Offset : r.Offset+r.Length])
	}
}

// appendUnsatisfied appends the field of a 416 (RFC 9110 section 14.4).
func appendUnsatisfied(dst []byte, size int64) []byte {
	return append(http1.AppendInt(append(dst, "Content-Range: bytes */"...), size), "\r\n"...)
}

func appendContentRange(dst []byte, r http1.ByteRange, size int64) []byte {
	dst = http1.AppendInt(append(dst, "Content-Range: bytes "...), r.Offset)
	dst = http1.AppendInt(append(dst, '-'), r.Offset+r.Length-1)
	return append(http1.AppendInt(append(dst, '/'), size), "\r\n"...)
}
