package ring

import (
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/uring"
)

// refuseEnter makes every io_uring_enter of the calling thread fail with errno, for good (seccomp(2)).
func refuseEnter(t *testing.T, errno unix.Errno) {
	t.Helper()
	const returnErrno, returnAllow = 0x00050000, 0x7fff0000 // SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_IO_URING_ENTER},
		{Code: unix.BPF_RET | unix.BPF_K, K: returnErrno | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: returnAllow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	noErr(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	noErr(t, unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
}

// onThread runs test on a thread of its own, which ends with it and whose filters are nobody else's.
func onThread(test func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends
		test()
	}()
	<-done
}

// TestRingRefused: while the kernel takes no requests, none is lost or written over, however many there
// are; a wait fails for a reason that passes; and a connection that ends leaves no request for whoever has its
// descriptor next.
func TestRingRefused(t *testing.T) {
	if err := Probe(); err != nil {
		t.Skip(err)
	}
	for _, errno := range [...]unix.Errno{unix.EAGAIN, unix.EBUSY, unix.ENOMEM} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) { onThread(func() { refused(t, errno) }) })
	}
}

func refused(t *testing.T, errno unix.Errno) {
	r, err := newRing(sizes[0], recvBuffers)
	noErr(t, err)
	defer r.ring.Close()
	events := make([]poller.Event, 1)
	_, err = r.Wait(events, 0)
	noErr(t, err)
	refuseEnter(t, errno)

	const generation = 1 << 32
	watched := make([]poller.Token, 2*int(sizes[0].requests))
	for i := range watched {
		watched[i] = poller.Token(generation + i)
		r.connections.begin(watched[i], 1000+i)
		r.Watch(watched[i], conn.WantRead)
	}
	for range 2 { // not kept: the second wait enters again
		if _, err = r.Wait(events, 0); !errors.Is(err, errno) || !poller.Transient(err) || r.err != nil {
			t.Errorf("Wait: %v, want %v, which passes; the ring keeps %v", err, errno, r.err)
		}
	}
	if n := r.unsubmitted(); n < len(watched) {
		t.Errorf("%d of %d requests are there still", n, len(watched))
	}
	// one in the ring, one in the backlog
	gone := map[poller.Token]bool{watched[3]: true, watched[len(watched)-3]: true}
	for token := range gone {
		if !r.Release(token, true) {
			t.Errorf("connection %#x is not let go of", uint64(token))
		}
	}
	for _, token := range watched {
		if n := requestsOf(r, token); gone[token] && n != 0 || !gone[token] && n != 1 {
			t.Fatalf("%d requests of connection %#x, which is gone: %v", n, uint64(token), gone[token])
		}
	}
}

// requestsOf counts the requests of a connection that are not submitted.
func requestsOf(r *ring, token poller.Token) (n int) {
	for i := range r.backlog {
		if r.backlog[i].UserData == userData(token, opRecv) {
			n++
		}
	}
	r.ring.EachPending(func(s *uring.SQE) {
		if s.UserData == userData(token, opRecv) {
			n++
		}
	})
	return n
}
