package static

import (
	crand "crypto/rand"
	"math/rand/v2"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// rangesDefault is how many ranges a request may ask for if Options do not say: zsync asks for 20, zchunk for 255.
const rangesDefault = 256

// ranged is what a handler needs to answer several ranges at once.
type ranged struct {
	asked    []http1.ByteRange
	random   *rand.ChaCha8 // of the boundaries; nil until the first
	boundary [boundaryLen]byte
	heads    []byte // of all parts, one behind the other, and the end
	ends     []int  // of each in heads
}

// partial answers with the ranges that the request asks for. It reports false
// if the whole file is the answer.
func (h *handler) partial(c *content, req *http1.Request, buf []byte, out *conn.Output) bool {
	ranges, result := http1.ParseRange(req.Get(http1.FieldRange, buf), c.size, h.site.ranges, h.ranged.asked[:0])
	h.ranged.asked = ranges
	switch result {
	case http1.RangeUnsatisfiable:
		// The size is all that changes, and the error path may allocate.
		field := append(http1.AppendInt([]byte("Content-Range: bytes */"), c.size), "\r\n"...)
		h.fail(req, buf, out, 416, string(field)+c.vary(), "no range of the request is within the file (RFC 9110 section 15.5.17)")
		return true
	case http1.RangeIgnored:
		return false
	}
	several := len(ranges) > 1
	if ranges = http1.CoalesceRanges(ranges); len(ranges) > 1 {
		return h.multipart(c, ranges, out)
	}
	if several && ranges[0].Length == c.size {
		return false
	}
	// RFC 9110 section 15.3.7.2: what has come down to one range is no multipart.
	b := append(h.scratch[:0], c.head[:c.common]...)
	b = appendContentRange(b, ranges[0], c.size)
	h.scratch = appendLength(b, ranges[0].Length)
	out.Head(206, h.scratch)
	c.part(ranges[0], out)
	return true
}

// multipart answers with multipart/byteranges (RFC 9110 section 14.6). It
// reports false if that would be no shorter than the whole file.
//
// The body begins with a line break, which makes an empty preamble (RFC 2046 section 5.1.1), as the bodies of nginx
// do: zsync 0.6.2 looks for one before each boundary, the first too, and asks for ever if there is none.
func (h *handler) multipart(c *content, ranges []http1.ByteRange, out *conn.Output) bool {
	m := &h.ranged
	m.draw()
	m.heads, m.ends = m.heads[:0], m.ends[:0]
	var length int64
	for _, r := range ranges {
		length += r.Length
		m.heads = append(append(append(m.heads, "\r\n--"...), m.boundary[:]...), "\r\n"...)
		m.heads = append(m.heads, c.head[c.validators:c.typed]...)
		m.heads = append(appendContentRange(m.heads, r, c.size), "\r\n"...)
		m.ends = append(m.ends, len(m.heads))
	}
	m.heads = append(append(append(m.heads, "\r\n--"...), m.boundary[:]...), "--\r\n"...)
	if length += int64(len(m.heads)); length >= c.size {
		return false
	}
	b := append(h.scratch[:0], c.head[:c.validators]...)
	b = append(append(b, "Content-Type: multipart/byteranges; boundary="...), m.boundary[:]...)
	b = append(append(b, "\r\n"...), c.head[c.typed:c.common]...)
	h.scratch = appendLength(b, length)
	out.Head(206, h.scratch)
	from := 0
	for i, r := range ranges {
		out.Bytes(m.heads[from:m.ends[i]])
		c.part(r, out)
		from = m.ends[i]
	}
	out.Bytes(m.heads[from:])
	return true
}

// part adds a range of the content to an answer.
func (c *content) part(r http1.ByteRange, out *conn.Output) {
	if c.file != nil {
		out.File(c.file, r.Offset, r.Length)
	} else {
		out.Shared(c.body[r.Offset : r.Offset+r.Length])
	}
}

// boundaryLen is the length of a boundary: 128 bits, in hexadecimal.
const boundaryLen = 32

// draw makes the next boundary. Each answer has its own, of a generator whose
// next output nobody can tell from earlier ones: whoever writes the files cannot have put it in them.
func (m *ranged) draw() {
	if m.random == nil {
		var seed [32]byte
		_, _ = crand.Read(seed[:]) // never fails: it ends the process instead
		m.random = rand.NewChaCha8(seed)
	}
	const digits = "0123456789abcdef"
	var n uint64
	for i := range m.boundary {
		if i%16 == 0 {
			n = m.random.Uint64()
		}
		m.boundary[i] = digits[n&15]
		n >>= 4
	}
}

func appendContentRange(dst []byte, r http1.ByteRange, size int64) []byte {
	dst = http1.AppendInt(append(dst, "Content-Range: bytes "...), r.Offset)
	dst = http1.AppendInt(append(dst, '-'), r.Offset+r.Length-1)
	return append(http1.AppendInt(append(dst, '/'), size), "\r\n"...)
}
