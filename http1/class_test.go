package http1

import (
	"bytes"
	"testing"
)

func TestBadValueByteRFC9110Section5_5(t *testing.T) {
	for length := 1; length <= 25; length++ {
		for at := 0; at < length; at++ {
			for c := 0; c < 256; c++ {
				for _, around := range []byte{'a', '\t', ' ', 0x80, 0xFF} {
					p := bytes.Repeat([]byte{around}, length)
					p[at] = byte(c)
					want := -1
					if c < ' ' && c != '\t' || c == 0x7F {
						want = at
					}
					if got := badValueByte(p); got != want {
						t.Fatalf("%q: %d, want %d", p, got, want)
					}
				}
			}
		}
	}
}
