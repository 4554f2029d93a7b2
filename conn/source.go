package conn

import (
	"encoding/hex"
	"io"
)

// sourceChunk is how much is asked of a Source at a time.
const sourceChunk = 16 << 10

// A chunk is its size in as many digits as sourceChunk needs, the data, a line's end, and at
// the end of the body an empty one.
const (
	chunkHead = "0000\r\n"
	chunkTail = "\r\n"
	chunkLast = "0\r\n\r\n"
	chunkMax  = len(chunkHead) + sourceChunk + len(chunkTail) + len(chunkLast)
)

// pull puts the source's next bytes in front of it. What it gave before has left.
func (q *queue) pull(s *segment) error {
	if q.chunk == nil {
		q.chunk = getBuffer(chunkMax)
	}
	room := q.chunk.b[:chunkMax]
	data := room[:sourceChunk]
	switch s.kind {
	case segSized:
		data = data[:min(sourceChunk, s.n)]
	case segChunked:
		data = room[len(chunkHead):][:sourceChunk]
	}
	n, err := gather(s.source, data)
	ended := err == io.EOF
	switch {
	case err == ErrAgain && n == 0:
		return errEmpty
	case ended && s.kind == segSized && int64(n) < s.n:
		return io.ErrUnexpectedEOF
	case err != nil && err != ErrAgain && !ended:
		return err
	}
	switch data = data[:n]; s.kind {
	case segSized:
		s.n -= int64(n)
		q.bytes -= int64(n)
		ended = s.n == 0
	case segChunked:
		data = frame(room, n, ended)
		q.length += int64(len(data))
	default:
		q.length += int64(n)
	}
	if ended {
		q.pop()
	}
	if len(data) > 0 {
		q.unshift(segment{kind: segShared, shared: data, n: int64(len(data))})
	}
	return nil
}

// gather fills p with what the source has now. So small pieces leave together, and the end with what is before it.
func gather(src Source, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		if m, err = src.Next(p[n:]); m == 0 && err == nil {
			err = io.ErrNoProgress
		}
		n += m
	}
	return n, err
}

// frame makes a chunk of the n bytes which stand in room behind the place of its head. last: the body ends with it.
func frame(room []byte, n int, last bool) []byte {
	b := room[:0]
	if n > 0 {
		b = append(room[:len(chunkHead)+n], chunkTail...)
		copy(b, chunkHead)
		hex.Encode(b, []byte{byte(n >> 8), byte(n)}) // four digits, since n is at most sourceChunk
	}
	if last {
		b = append(b, chunkLast...)
	}
	return b
}
