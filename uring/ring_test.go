//go:build linux

package uring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

const patience = testkit.Patience

var must = testkit.Must

// enabled returns a ring that belongs to the test's thread.
func enabled(t testing.TB, requests, completions uint32) *Ring {
	t.Helper()
	r, err := New(requests, completions)
	if err != nil {
		t.Skip(err)
	}
	runtime.LockOSThread()
	t.Cleanup(func() {
		must(t, r.Close())
		runtime.UnlockOSThread()
	})
	must(t, r.Enable())
	return r
}

// request returns the next request, which there must be.
func request(t testing.TB, r *Ring, userData uint64) *SQE {
	t.Helper()
	s := r.Request()
	if s == nil {
		t.Fatal("there is no free request")
	}
	s.UserData = userData
	return s
}

// next waits for a completion.
func next(t testing.TB, r *Ring) CQE {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if c, ok := r.Completion(); ok {
			r.Reaped()
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing completes")
		}
		must(t, r.EnterWait(100*time.Millisecond))
	}
}

// expect waits for a completion of that user data and result.
func expect(t testing.TB, r *Ring, userData uint64, res int32) CQE {
	t.Helper()
	c := next(t, r)
	if c.UserData != userData || c.Res != res {
		t.Fatalf("completion of %d with %d, want %d with %d", c.UserData, c.Res, userData, res)
	}
	return c
}

// none checks that nothing completes without waiting.
func none(t testing.TB, r *Ring) {
	t.Helper()
	must(t, r.Enter())
	if c, ok := r.Completion(); ok {
		t.Fatalf("completion of %d with %d, want none", c.UserData, c.Res)
	}
}

// pair returns two connected stream sockets.
func pair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	for _, fd := range fds {
		t.Cleanup(func() { unix.Close(fd) })
	}
	return fds[0], fds[1]
}

// mapped returns mapped memory that holds text.
func mapped(t testing.TB, text string) []byte {
	t.Helper()
	m, err := Map(max(len(text), 1))
	must(t, err)
	t.Cleanup(func() { must(t, m.Close()) })
	copy(m.Bytes, text)
	return m.Bytes[:len(text)]
}

// TestNop: requests complete in order, each with its user data, many times around both rings.
func TestNop(t *testing.T) {
	r := enabled(t, 8, 16)
	for i := range uint64(1000) {
		request(t, r, i).PrepareNop()
		request(t, r, i|1<<63).PrepareNop()
		if r.Pending() != 2 {
			t.Fatalf("%d requests pend, want 2", r.Pending())
		}
		expect(t, r, i, 0)
		expect(t, r, i|1<<63, 0)
		if r.Pending() != 0 {
			t.Fatalf("%d requests pend after Enter", r.Pending())
		}
	}
}

// TestFull: there are as many requests as were asked for, and again after Enter.
func TestFull(t *testing.T) {
	r := enabled(t, 8, 16)
	for range 3 {
		for i := range uint64(8) {
			request(t, r, i).PrepareNop()
		}
		if r.Request() != nil || !r.Full() {
			t.Fatal("a ninth request of eight")
		}
		for i := range uint64(8) {
			expect(t, r, i, 0)
		}
		if r.Full() {
			t.Fatal("still full after Enter")
		}
	}
}

// TestTimeout: a timeout request completes with ETIME.
func TestTimeout(t *testing.T) {
	r := enabled(t, 8, 16)
	spec := mapped(t, string(make([]byte, 16)))
	binary.NativeEndian.PutUint64(spec[8:], uint64(time.Millisecond))
	request(t, r, 7).PrepareTimeout(spec)
	c := expect(t, r, 7, -int32(unix.ETIME))
	if !errors.Is(c.Error(), unix.ETIME) {
		t.Errorf("error %v, want ETIME", c.Error())
	}
}

// TestWaitIsBounded: a wait for which nothing completes ends, without an error, with its time and after a second.
func TestWaitIsBounded(t *testing.T) {
	r := enabled(t, 8, 16)
	for _, timeout := range []time.Duration{-1, 0, 1, time.Millisecond, time.Hour} {
		must(t, r.EnterWait(timeout))
		if c, ok := r.Completion(); ok {
			t.Fatalf("completion %+v of nothing", c)
		}
	}
}

// TestSignal: a signal ends a wait without an error (EINTR).
func TestSignal(t *testing.T) {
	r := enabled(t, 8, 16)
	pid, tid := unix.Getpid(), unix.Gettid()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Tgkill(pid, tid, unix.SIGURG) // what Go preempts with
			}
		}
	}()
	for range 100 {
		must(t, r.EnterWait(5*time.Millisecond))
		must(t, r.Enter())
	}
	close(stop)
	<-stopped
}

// TestAcceptRecvCancel: one request accepts any number of connections until it
// is cancelled; a recv takes a buffer only when there are bytes, and says which.
func TestAcceptRecvCancel(t *testing.T) {
	r := enabled(t, 8, 16)
	b, err := provide(t, r, 3, 4, 16)
	must(t, err)
	listener, addr := listen(t)
	request(t, r, 1).PrepareAccept(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	for i := range 3 {
		client := dial(t, addr)
		c := next(t, r)
		if c.UserData != 1 || c.Res < 0 || c.Flags&CompletionMore == 0 {
			t.Fatalf("accept completes with %+v", c)
		}
		fd := int(c.Res)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		must(t, err)
		if flags&unix.O_NONBLOCK == 0 {
			t.Error("the accepted socket blocks")
		}
		request(t, r, 2).PrepareRecv(fd, 3, i > 0)
		none(t, r)
		text := fmt.Sprintf("hello %d, and more than fits", i)
		_, err = unix.Write(client, []byte(text))
		must(t, err)
		c = next(t, r)
		if c.UserData != 2 || c.Res != 16 || c.Flags&CompletionBuffer == 0 || c.Flags&CompletionNonEmpty == 0 {
			t.Fatalf("recv completes with %+v", c)
		}
		if got := b.Bytes(c.Buffer(), 16); string(got) != text[:16] {
			t.Fatalf("received %q, want %q", got, text[:16])
		}
		b.Give(c.Buffer())
		request(t, r, 3).PrepareRecv(fd, 3, true)
		if c = next(t, r); string(b.Bytes(c.Buffer(), int(c.Res))) != text[16:] {
			t.Fatalf("received %q, want %q", b.Bytes(c.Buffer(), int(c.Res)), text[16:])
		}
		b.Give(c.Buffer())
		must(t, unix.Close(client))
		request(t, r, 4).PrepareRecv(fd, 3, true)
		expect(t, r, 4, 0) // the end of the stream
		request(t, r, 5).PrepareClose(fd)
		expect(t, r, 5, 0)
	}
	request(t, r, 9).PrepareCancel(1)
	results := map[uint64]int32{}
	for range 2 {
		c := next(t, r)
		results[c.UserData] = c.Res
	}
	if results[9] != 0 || results[1] != -int32(unix.ECANCELED) {
		t.Errorf("cancelling: %v", results)
	}
	request(t, r, 10).PrepareCancel(1)
	expect(t, r, 10, -int32(unix.ENOENT))
}

// provide closes the buffers with the test.
func provide(t *testing.T, r *Ring, group uint16, count, size int) (*Buffers, error) {
	b, err := r.ProvideBuffers(group, count, size)
	if err == nil {
		t.Cleanup(func() { must(t, b.Close()) })
	}
	return b, err
}

// TestBuffersRunOut: a recv that finds no buffer fails with ENOBUFS and takes no
// byte; buffers given back are used again, around the ring.
func TestBuffersRunOut(t *testing.T) {
	r := enabled(t, 8, 16)
	b, err := provide(t, r, 0, 2, 64)
	must(t, err)
	in, out := pair(t)
	for round := range 70_000 / 3 { // the tail has 16 bits
		var held []uint16
		for i := range 2 {
			text := fmt.Sprint(round, i)
			_, err := unix.Write(out, []byte(text))
			must(t, err)
			request(t, r, 1).PrepareRecv(in, 0, false)
			c := next(t, r)
			if c.Res < 0 || string(b.Bytes(c.Buffer(), int(c.Res))) != text {
				t.Fatalf("round %d: %+v", round, c)
			}
			held = append(held, c.Buffer())
		}
		if round%1000 == 0 {
			_, err := unix.Write(out, []byte("x"))
			must(t, err)
			request(t, r, 2).PrepareRecv(in, 0, false)
			expect(t, r, 2, -int32(unix.ENOBUFS))
			if n, err := unix.Read(in, make([]byte, 8)); n != 1 || err != nil {
				t.Fatalf("the byte is gone: %d, %v", n, err)
			}
		}
		for _, id := range held {
			b.Give(id)
		}
	}
	for _, count := range []int{-1, 0, 3, 1 << 16} {
		if _, err := r.ProvideBuffers(5, count, 16); err == nil {
			t.Errorf("%d buffers were provided", count)
		}
	}
}

// TestSend: a send that takes everything is silent if so asked; one that
// does not says how far it got; one that waits is continued by the kernel.
func TestSend(t *testing.T) {
	r := enabled(t, 8, 16)
	in, out := pair(t)
	const now = unix.MSG_DONTWAIT | unix.MSG_WAITALL | unix.MSG_NOSIGNAL
	send := func(userData uint64, p []byte, flags uint32) {
		s := request(t, r, userData)
		s.PrepareSend(out, p, flags)
		s.Flags |= FlagSkipSuccess
	}
	send(1, mapped(t, "whole"), now)
	none(t, r)
	got := make([]byte, 1<<20)
	if n, err := unix.Read(in, got); string(got[:max(n, 0)]) != "whole" {
		t.Fatalf("received %q, %v", got[:max(n, 0)], err)
	}
	big := mapped(t, string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16)))
	send(2, big, now)
	c := next(t, r)
	if c.UserData != 2 || c.Res <= 0 || int(c.Res) >= len(big) {
		t.Fatalf("a send of %d bytes to a socket with less room completes with %+v", len(big), c)
	}
	sent := int(c.Res)
	send(3, big[sent:], now)
	expect(t, r, 3, -int32(unix.EAGAIN))
	send(4, big[sent:], unix.MSG_WAITALL|unix.MSG_NOSIGNAL)
	s := request(t, r, 5)
	s.PrepareNop()
	expect(t, r, 5, 0) // the send waits
	var received []byte
	for len(received) < len(big) {
		n, err := unix.Read(in, got)
		if err == unix.EAGAIN {
			must(t, r.EnterWait(time.Millisecond))
			continue
		}
		must(t, err)
		received = append(received, got[:n]...)
	}
	if !bytes.Equal(received, big) {
		t.Error("what was received is not what was sent")
	}
	none(t, r)
	must(t, unix.Shutdown(in, unix.SHUT_RDWR))
	send(6, big[:1], now)
	expect(t, r, 6, -int32(unix.EPIPE))
}

// TestWake: a poll for edges reports each write to an eventfd by another
// thread, though it is never read.
func TestWake(t *testing.T) {
	r := enabled(t, 8, 16)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	request(t, r, 1).PreparePollEdges(fd, unix.POLLIN)
	none(t, r)
	ask, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(failed)
		one := [8]byte{1}
		for range ask {
			if _, err := unix.Write(fd, one[:]); err != nil {
				failed <- err
				return
			}
		}
	}()
	for range 1000 {
		ask <- struct{}{}
		if c := next(t, r); c.UserData != 1 || c.Res < 0 || c.Flags&CompletionMore == 0 {
			t.Fatalf("completion %+v", c)
		}
	}
	close(ask)
	must(t, <-failed)
}

// TestRead: a read completes when there is something.
func TestRead(t *testing.T) {
	r := enabled(t, 8, 16)
	var fds [2]int
	must(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	for _, fd := range fds {
		t.Cleanup(func() { unix.Close(fd) })
	}
	p := mapped(t, "........")
	request(t, r, 1).PrepareRead(fds[0], p)
	none(t, r)
	_, err := unix.Write(fds[1], []byte("text"))
	must(t, err)
	expect(t, r, 1, 4)
	if string(p) != "text...." {
		t.Errorf("read %q", p)
	}
}

// TestPoll: a poll reports once that a socket has room.
func TestPoll(t *testing.T) {
	r := enabled(t, 8, 16)
	in, out := pair(t)
	filler := make([]byte, 1<<20)
	_, err := unix.Write(out, filler)
	must(t, err)
	request(t, r, 1).PreparePoll(out, unix.POLLOUT)
	none(t, r)
	for {
		if _, err := unix.Read(in, filler); err == unix.EAGAIN {
			break
		}
	}
	if c := next(t, r); c.UserData != 1 || c.Res&unix.POLLOUT == 0 || c.Flags&CompletionMore != 0 {
		t.Errorf("completion %+v", c)
	}
	none(t, r)
}

// TestOverflow: completions that find no room are kept by the kernel, and none
// is lost or changes places.
func TestOverflow(t *testing.T) {
	r := enabled(t, 8, 8)
	const rounds = 20
	seen := false
	for i := range uint64(rounds * 8) {
		request(t, r, i).PrepareNop()
		if r.Full() {
			must(t, r.Enter())
			seen = seen || r.Overflowed()
		}
	}
	if !seen {
		t.Fatal("160 completions in 8 places did not overflow")
	}
	for i := range uint64(rounds * 8) {
		expect(t, r, i, 0)
	}
	none(t, r)
	if r.Overflowed() {
		t.Error("still overflowed when all is reaped")
	}
}

// TestForeignThread: a ring belongs to the thread that enabled it
// (IORING_SETUP_SINGLE_ISSUER), and to nobody before.
func TestForeignThread(t *testing.T) {
	r, err := New(8, 16)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { must(t, r.Close()) })
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	request(t, r, 1).PrepareNop()
	if err := r.Enter(); err == nil {
		t.Error("a ring that is not enabled was entered")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, and its claim to the ring, end here
		done <- r.Enable()
	}()
	must(t, <-done)
	r.enterFD, r.flags = uintptr(r.fd), r.flags&^enterRegisteredRing // the registration was the other thread's
	if err := r.Enter(); !errors.Is(err, unix.EEXIST) {
		t.Errorf("entered from another thread: %v, want EEXIST", err)
	}
}

// TestNoAllocation: nothing is allocated for a request in steady state.
func TestNoAllocation(t *testing.T) {
	r := enabled(t, 8, 16)
	if n := testing.AllocsPerRun(100, func() {
		r.Request().PrepareNop()
		if err := r.EnterWait(time.Second); err != nil {
			t.Error(err)
		}
		if _, ok := r.Completion(); !ok {
			t.Error("nothing completed")
		}
		r.Reaped()
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// listen returns a listening socket and its address.
func listen(t *testing.T) (int, unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(fd, 16))
	addr, err := unix.Getsockname(fd)
	must(t, err)
	return fd, addr
}

// dial returns a connected socket.
func dial(t *testing.T, addr unix.Sockaddr) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(fd, addr))
	return fd
}

// TestRegisteredRingsAreGivenBack: a thread that closes its rings can register new ones without end, though it has
// room for 16.
func TestRegisteredRingsAreGivenBack(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range 40 {
		r, err := New(8, 16)
		if err != nil {
			t.Skip(err)
		}
		must(t, r.Enable())
		if r.flags&enterRegisteredRing == 0 {
			t.Errorf("ring %d could not be registered", i)
		}
		must(t, r.Close())
	}
}
