package http1

import "math"

// Limits of chunked framing that no configuration needs to know.
const (
	chunkDigitsMax     = 128     // hexadecimal digits of a chunk size; all but 16 of them are leading zeros
	chunkExtensionsMax = 4 << 10 // bytes of all of a body's chunk extensions: none that we know of is in use
)

// Body is how far a request's body has come. It consumes the framing and
// throws the content away. It holds no pointer, so a connection can keep it by value.
// The zero Body is that of a request without one.
type Body struct {
	received   int64  // content bytes
	left       int64  // of the length, or of the chunk that is being received
	trailer    uint32 // bytes of the trailer section
	extensions uint16 // bytes of chunk extensions
	fields     uint8  // of the trailer section
	digits     uint8  // of the chunk size
	state      bodyState
}

type bodyState uint8

// The states of a body. From chunkSize on they are the bytes that come next in chunked framing.
const (
	bodyDone bodyState = iota
	bodyLength
	chunkSize      // HEXDIG, or what may follow them
	chunkSpace     // BWS behind the size or an extension, before a semicolon
	chunkExtName   // BWS or the first byte of an extension's name
	chunkExtInName // the rest of it
	chunkExtEqual  // BWS behind the name
	chunkExtValue  // BWS or the first byte of the value
	chunkExtToken
	chunkExtQuoted
	chunkExtEscape // the byte behind a backslash
	chunkExtEnd    // behind a quoted value
	chunkData
	chunkDataCR
	chunkLineLF // the LF behind a CR, as the three after it
	chunkDataLF
	trailerLF // from here on the bytes are those of the trailer section
	trailerLastLF
	trailerLine // the first byte of a trailer field or the CR of the last line
	trailerName
	trailerValue
)

// Start begins the body of a request that Parse completed.
func (b *Body) Start(req *Request) {
	*b = Body{}
	switch {
	case req.Framing == ChunkedBody:
		b.state = chunkSize
	case req.Framing == LengthBody && req.Length > 0:
		b.state, b.left = bodyLength, req.Length
	}
}

// Received is the number of content bytes so far, without the framing.
func (b *Body) Received() int64 { return b.received }

// Done reports whether all of the body has been consumed.
func (b *Body) Done() bool { return b.state == bodyDone }

// Consume takes the bytes of p that belong to the body and says how many they
// are and whether it is done; p[n:] is the next request then. Until it is done n is
// len(p), unless bad.Status is not 0: then bad says why the body is refused, with
// bad.At an offset in p and n equal to it, and nothing more is to be consumed.
//
// With an empty p it only judges what is known, so that a Content-Length over
// the limit can be answered 413 before the client is told to go on.
func (b *Body) Consume(p []byte, lim *Limits) (n int, done bool, bad Error) {
	if b.state == bodyLength {
		if lim.Body > 0 && b.received+b.left > lim.Body {
			return 0, false, errBody.at(0)
		}
		n = int(min(b.left, int64(len(p))))
		b.take(n, bodyDone)
		return n, b.Done(), bad
	}
	for n < len(p) && b.state != bodyDone {
		if b.state == chunkData {
			content := int(min(b.left, int64(len(p)-n)))
			b.take(content, chunkDataCR)
			n += content
			continue
		}
		if rule := b.framing(p[n], lim); rule != nil {
			return n, false, rule.at(n)
		}
		n++
	}
	return n, b.Done(), bad
}

// take accounts for n content bytes; next is the state behind the last.
func (b *Body) take(n int, next bodyState) {
	b.received += int64(n)
	if b.left -= int64(n); b.left == 0 {
		b.state = next
	}
}

// framing takes one byte of chunked framing and returns the rule that it breaks, nil if none.
func (b *Body) framing(c byte, lim *Limits) *Error {
	lf := b.state >= chunkLineLF && b.state <= trailerLastLF
	if c == '\n' && !lf {
		return &errBareLF
	}
	if b.state >= trailerLF {
		if b.trailer++; int64(b.trailer) > int64(headMax(lim)) {
			return &errHead
		}
	}
	if lf && c != '\n' {
		return &errBareCR
	}
	switch b.state {
	case chunkSize:
		return b.size(c)
	case chunkLineLF:
		return b.startChunk(lim)
	case chunkDataCR:
		if c != '\r' {
			return &errChunkEnd
		}
		b.state = chunkDataLF
	case chunkDataLF:
		b.state, b.digits = chunkSize, 0
	case trailerLine:
		return b.trailerStart(c, lim)
	case trailerName, trailerValue:
		return b.trailerField(c)
	case trailerLF:
		b.state = trailerLine
	case trailerLastLF:
		b.state = bodyDone
	default:
		return b.extension(c)
	}
	return nil
}

// size takes a byte of a chunk size or the one behind it. The size is
// judged at the end of its line.
func (b *Body) size(c byte) *Error {
	if class[c]&isHex != 0 {
		if b.digits == chunkDigitsMax {
			return &errChunkLong
		}
		if b.left > math.MaxInt64>>4 {
			return &errChunkRange
		}
		b.digits++
		b.left = b.left<<4 | int64(unhex(c))
		return nil
	}
	if b.digits == 0 {
		return &errChunkSize
	}
	switch c {
	case '\r':
		b.state = chunkLineLF
	case ';':
		b.state = chunkExtName
	case ' ', '\t':
		b.state = chunkSpace
	default:
		return &errChunkSize
	}
	return nil
}

// startChunk judges a chunk's size, known now, and begins its data or the trailer section.
func (b *Body) startChunk(lim *Limits) *Error {
	switch {
	case b.left == 0:
		b.state = trailerLine
	case b.left > math.MaxInt64-b.received:
		return &errChunkRange
	case lim.Body > 0 && b.received+b.left > lim.Body:
		return &errBody
	default:
		b.state = chunkData
	}
	return nil
}

// extension takes a byte of the chunk extensions:
// *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ).
func (b *Body) extension(c byte) *Error {
	if b.extensions++; b.extensions > chunkExtensionsMax {
		return &errChunkExts
	}
	token := class[c]&isToken != 0
	space := c == ' ' || c == '\t'
	inName := b.state == chunkExtInName || b.state == chunkExtEqual
	mayEnd := inName || b.state == chunkExtToken || b.state == chunkExtEnd
	switch {
	case b.state == chunkExtEscape && class[c]&isValue != 0:
		b.state = chunkExtQuoted
	case b.state == chunkExtQuoted && c == '\\':
		b.state = chunkExtEscape
	case b.state == chunkExtQuoted && c == '"':
		b.state = chunkExtEnd
	case b.state == chunkExtQuoted && class[c]&isValue != 0:
	case token && (b.state == chunkExtName || b.state == chunkExtInName):
		b.state = chunkExtInName
	case token && (b.state == chunkExtValue || b.state == chunkExtToken):
		b.state = chunkExtToken
	case c == '"' && b.state == chunkExtValue:
		b.state = chunkExtQuoted
	case c == '=' && inName:
		b.state = chunkExtValue
	case c == ';' && (mayEnd || b.state == chunkSpace):
		b.state = chunkExtName
	case c == '\r' && mayEnd:
		b.state = chunkLineLF
	case space && inName:
		b.state = chunkExtEqual
	case space && mayEnd:
		b.state = chunkSpace
	case space && (b.state == chunkSpace || b.state == chunkExtName || b.state == chunkExtValue):
	default:
		return controlRule(c, &errChunkExt)
	}
	return nil
}

// trailerField takes a byte of a field of the trailer section behind the first. These obey the same rules and limits as
// those of a head and are then discarded, whatever their names.
func (b *Body) trailerField(c byte) *Error {
	switch {
	case b.state == trailerValue && c == '\r':
		b.state = trailerLF
	case b.state == trailerValue:
		if class[c]&isValue == 0 {
			return &errValueByte
		}
	case c == ':':
		b.state = trailerValue
	case c == ' ' || c == '\t':
		return &errSpaceColon
	case c == '\r':
		return &errNoColon
	case class[c]&isToken == 0:
		return &errNameByte
	}
	return nil
}

// trailerStart takes the first byte of a line of the trailer section.
func (b *Body) trailerStart(c byte, lim *Limits) *Error {
	switch {
	case c == '\r':
		b.state = trailerLastLF
		return nil
	case c == ':':
		return &errNameEmpty
	case c == ' ' || c == '\t':
		return &errFold
	case class[c]&isToken == 0:
		return &errNameByte
	case int(b.fields) >= fieldsMax(lim):
		return &errFields
	}
	b.fields++
	b.state = trailerName
	return nil
}
