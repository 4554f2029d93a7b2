package sink

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

var must = testkit.Must

func TestAWriteThatFailedInALineDoesNotSpoilTheNext(t *testing.T) {
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	for _, end := range p {
		must(t, unix.SetNonblock(end, true))
	}
	s := &File{fd: p[1]}
	abandoned := make(chan struct{})
	close(abandoned)
	long := append(bytes.Repeat([]byte{'x'}, 1<<20), '\n') // more than a pipe holds
	if lost, err := s.WriteLines(long, abandoned); lost != 1 || err != ErrAbandoned {
		t.Fatalf("write = %d lost, %v", lost, err)
	}
	if lost, err := s.WriteLines([]byte("lost\n"), abandoned); lost != 1 || err != ErrAbandoned {
		t.Fatalf("write to a full pipe = %d lost, %v", lost, err)
	}
	drain := func() (all []byte) {
		p1 := make([]byte, 64<<10)
		for {
			n, err := unix.Read(p[0], p1)
			if err == unix.EAGAIN {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p1[:n]...)
		}
	}
	if got := drain(); len(got) == 0 || !bytes.HasPrefix(long, got) {
		t.Errorf("%d bytes of the long line came", len(got))
	}
	if lost, err := s.WriteLines([]byte("next\n"), abandoned); lost != 0 || err != nil {
		t.Fatalf("write = %d lost, %v", lost, err)
	}
	if got := string(drain()); got != "\nnext\n" {
		t.Errorf("after part of a line came %q", got)
	}
}
