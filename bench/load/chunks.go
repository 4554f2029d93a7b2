package load

// chunkPart is where in a chunked content the next byte stands (RFC 9112 section 7.1).
type chunkPart uint8

const (
	chunkSize      chunkPart = iota // the size's digits
	chunkExtension                  // what follows them in their line
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart // the first byte of a trailer line, or the CR of the empty line
	trailerLine
	trailerLF
	lastLF
	chunksOver
)

// chunkSizeMax is the largest chunk taken, in bytes: no server has more in one.
const chunkSizeMax = 1 << 50

// chunks takes the framing off a chunked content. The zero chunks stands at its beginning.
type chunks struct {
	part   chunkPart
	digits bool  // the size has at least one
	size   int64 // of the chunk
	length int   // of the line, or of the trailer section, as far as it has come
}

// next reads framing from data until content follows, the content is over, or
// data ends. It returns how many bytes it read.
func (k *chunks) next(data []byte) (int, error) {
	for i, b := range data {
		if k.part == chunkData || k.part == chunksOver {
			return i, nil
		}
		if k.length++; k.length > headMax {
			return 0, errChunkLong
		}
		if err := k.take(b); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}

// expected are the bytes that must come where there is no choice, and where the next one then stands.
var expected = [chunksOver]struct {
	b    byte
	next chunkPart
}{
	chunkSizeLF: {'\n', chunkData}, chunkDataCR: {'\r', chunkDataLF}, chunkDataLF: {'\n', chunkSize},
	trailerLF: {'\n', trailerStart}, lastLF: {'\n', chunksOver},
}

// take goes on by one byte.
func (k *chunks) take(b byte) error {
	from := k.part
	if e := expected[from]; e.b != 0 {
		if k.part = e.next; b != e.b {
			return errChunkLine
		}
	}
	switch from {
	case chunkSize:
		return k.sizeByte(b)
	case chunkExtension:
		switch b {
		case '\r':
			k.part = chunkSizeLF
		case '\n':
			return errChunkLine
		}
	case chunkSizeLF:
		if k.length = 0; k.size == 0 {
			k.part = trailerStart
		}
	case chunkDataLF:
		*k = chunks{}
	case trailerStart:
		k.part = trailerLine
		if b == '\r' {
			k.part = lastLF
		}
	case trailerLine:
		if b == '\r' {
			k.part = trailerLF
		}
	}
	return nil
}

// sizeByte takes a hexadecimal digit, of which leading ones may be 0 in any number, or what ends the size.
func (k *chunks) sizeByte(b byte) error {
	var digit int64
	switch {
	case b >= '0' && b <= '9':
		digit = int64(b - '0')
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		digit = int64(b|0x20-'a') + 10
	case !k.digits:
		return errChunkLine
	case b == '\r':
		k.part = chunkSizeLF
		return nil
	case b == ';' || b == ' ' || b == '\t':
		k.part = chunkExtension
		return nil
	default:
		return errChunkLine
	}
	k.digits = true
	if k.size = k.size<<4 | digit; k.size > chunkSizeMax {
		return errChunkLong
	}
	return nil
}

// dataOver is called when all of a chunk's data has come.
func (k *chunks) dataOver() { k.part = chunkDataCR }
