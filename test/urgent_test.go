package test

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUrgentByte: a byte sent as urgent (MSG_OOB, RFC 9293 section 3.8.5) ends a recv early, with more behind it.
// It is no part of the request, which is answered as if it were not there: on a new connection and between two
// requests.
func TestUrgentByte(t *testing.T) {
	root := t.TempDir()
	write(t, root, "small", []byte("small"))
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v, root)
		c := s.dial(t)
		w := newWire(c)
		raw, err := c.SyscallConn()
		must(t, err)
		urgent := func() {
			t.Helper()
			must(t, raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) }))
			must(t, err)
		}
		for i := range 64 { // what comes together differs
			whole := request("/small")
			_, err := fmt.Fprint(c, whole[:7])
			must(t, err)
			urgent()
			_, err = fmt.Fprint(c, whole[7:])
			must(t, err)
			if got, err := w.next("GET"); err != nil || got.status != 200 {
				t.Fatalf("request %d: %d, %v", i+1, got.status, err)
			}
		}
	})
}
