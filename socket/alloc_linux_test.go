package socket

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNothingIsAllocated: not for an exchange, nor for an accepted connection.
func TestNothingIsAllocated(t *testing.T) {
	var calls Calls
	calls.Init()
	fd, peer := pair(t, &calls)
	head, body, buf := []byte("head"), []byte("body"), make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		_, err := calls.Send(fd, head, body, false)
		must(t, err)
		_, err = io.ReadFull(peer, buf[:len(head)+len(body)])
		must(t, err)
		if _, err = Recv(fd, buf); err != unix.EAGAIN {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for an exchange", n)
	}

	const connections = 8
	listener, dial := listen(t, unix.AF_INET6)
	for range connections {
		dial()
	}
	if n := testing.AllocsPerRun(connections-1, func() { // it runs once more to warm up
		await(t, listener, unix.POLLIN)
		accepted, from, err := calls.Accept(listener, false)
		must(t, err)
		if calls.Peer(accepted) != from {
			t.Errorf("peer %v, accepted from %v", calls.Peer(accepted), from)
		}
		must(t, Close(accepted))
	}); n != 0 {
		t.Errorf("%v allocations for a connection", n)
	}
}
