package load

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUnixQueueThatIsFull: connect(2) says EAGAIN while the listener's queue is full. The client tries again,
// and a listener that never accepts is a timeout.
func TestUnixQueueThatIsFull(t *testing.T) {
	const connections, requests = 8, 24
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := listener.(*net.UnixListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// A second listen(2) changes the length of the queue.
	var listened error
	err = raw.Control(func(fd uintptr) { listened = unix.Listen(int(fd), 1) })
	if err := errors.Join(err, listened); err != nil {
		t.Fatal(err)
	}
	role := Role{Addr: addrOf(listener), Connections: connections, Requests: requests, Targets: []Target{okTarget}}
	deaf := mustRun(t, quick(Options{Timeout: 50 * time.Millisecond, Roles: []Role{role}})).Roles[0]
	if deaf.Answered != 0 || deaf.Failures[Timeout] == 0 || deaf.Failed() != deaf.Failures[Timeout] ||
		!strings.Contains(deaf.First[Timeout], "not connected within 50ms") {
		t.Errorf("nobody accepts: %+v %q", deaf.Counts, deaf.First)
	}
	serveOn(t, listener, oneAnswer(strings.Replace(okAnswer, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)))
	for _, closeEach := range []bool{false, true} {
		role.CloseEach = closeEach
		r := mustRun(t, quick(Options{Roles: []Role{role}})).Roles[0]
		if r.Answered != requests || r.Failed() != 0 || r.Resent != 0 {
			t.Errorf("close each %v: %+v %q", closeEach, r.Counts, r.First)
		}
	}
}
