package static

import (
	"io"

	"github.com/evhttpd/evhttpd/internal/listing"
)

// chunked frames what a stream gives as chunks (RFC 9112 section 7.1).
type chunked struct {
	*listing.Stream
	ended bool
}

func (c *chunked) Next(p []byte) (int, error) {
	const head, tail = len("00000000\r\n"), len("\r\n")
	n, err := c.Stream.Next(p[head : len(p)-tail])
	if err == io.EOF && !c.ended {
		c.ended = true
		return copy(p, "0\r\n\r\n"), nil
	}
	if n == 0 {
		return 0, err
	}
	copy(p, "00000000\r\n")
	for i, rest := 7, n; rest > 0; i, rest = i-1, rest>>4 {
		p[i] = hexDigits[rest&15]
	}
	return head + n + copy(p[head+n:], "\r\n"), err
}
