package socket

import (
	"bytes"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

const patience = testkit.Patience

var must = testkit.Must

// closing closes fd when the test ends.
func closing(t testing.TB, fd int) int {
	t.Helper()
	t.Cleanup(func() { must(t, Close(fd)) })
	return fd
}

// await waits until fd has one of events.
func await(t testing.TB, fd int, events int16) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(patience/time.Millisecond))
		if n == 1 {
			return
		}
		if err != unix.EINTR || time.Now().After(deadline) {
			t.Fatalf("waiting for descriptor %d: %d, %v", fd, n, err)
		}
	}
}

// listen returns a listener from New and a dialer of connections to it.
func listen(t testing.TB, family int) (int, func() net.Conn) {
	t.Helper()
	fd, err := New(family)
	must(t, err)
	closing(t, fd)
	var network, address string
	switch family {
	case unix.AF_UNIX:
		network, address = "unix", filepath.Join(t.TempDir(), "s")
		must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: address}))
	case unix.AF_INET6:
		must(t, unix.Bind(fd, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}))
	default:
		must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	}
	must(t, unix.Listen(fd, 16))
	if network == "" {
		sa, err := unix.Getsockname(fd)
		must(t, err)
		network = "tcp"
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			address = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
		case *unix.SockaddrInet6:
			address = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
		}
	}
	return fd, func() net.Conn {
		c, err := net.DialTimeout(network, address, patience)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		must(t, c.SetDeadline(time.Now().Add(patience)))
		return c
	}
}

// pair returns a connection of loopback TCP: our end, and the peer's.
func pair(t testing.TB, calls *Calls) (int, net.Conn) {
	t.Helper()
	listener, dial := listen(t, unix.AF_INET)
	peer := dial()
	await(t, listener, unix.POLLIN)
	fd, _, err := calls.Accept(listener, false)
	must(t, err)
	return closing(t, fd), peer
}

// flags holds a descriptor to be closed on exec, and to block or not.
func flags(t *testing.T, fd int, blocking bool) {
	t.Helper()
	cloexec, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	must(t, err)
	if cloexec&unix.FD_CLOEXEC == 0 {
		t.Error("it is not closed on exec")
	}
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	must(t, err)
	if is := status&unix.O_NONBLOCK == 0; is != blocking {
		t.Errorf("blocking: %v, not %v", is, blocking)
	}
}

// TestAccept: what comes from the queue has the flags asked for and its peer's
// address, which a Unix socket has none of; an empty queue is EAGAIN.
func TestAccept(t *testing.T) {
	for _, c := range []struct {
		name   string
		family int
	}{{"ipv4", unix.AF_INET}, {"ipv6", unix.AF_INET6}, {"unix", unix.AF_UNIX}} {
		t.Run(c.name, func(t *testing.T) {
			var calls Calls
			calls.Init()
			listener, dial := listen(t, c.family)
			flags(t, listener, false)
			if fd, _, err := calls.Accept(listener, false); fd != -1 || err != unix.EAGAIN {
				t.Fatalf("of an empty queue: %d, %v", fd, err)
			}
			for _, blocking := range []bool{false, true} {
				var want netip.AddrPort
				if tcp, ok := dial().LocalAddr().(*net.TCPAddr); ok {
					want = tcp.AddrPort()
				}
				await(t, listener, unix.POLLIN)
				fd, from, err := calls.Accept(listener, blocking)
				must(t, err)
				closing(t, fd)
				flags(t, fd, blocking)
				if from != want || calls.Peer(fd) != want {
					t.Errorf("accepted from %v, peer %v, want %v", from, calls.Peer(fd), want)
				}
			}
			if from := calls.Peer(listener); from != Unknown {
				t.Errorf("a listener's peer is %v", from)
			}
		})
	}
}

// TestSendAndRecv: the parts arrive one behind the other whichever is empty;
// nothing to receive is EAGAIN, and the end of the stream 0 without an error.
func TestSendAndRecv(t *testing.T) {
	var calls Calls
	calls.Init()
	fd, peer := pair(t, &calls)
	buf := make([]byte, 64)
	if n, err := Recv(fd, buf); n != 0 || err != unix.EAGAIN {
		t.Fatalf("before anything came: %d, %v", n, err)
	}
	for _, c := range []struct {
		head, body string
		more       bool
	}{{"head", "", false}, {"", "body", false}, {"head", "body", false}, {"head", "body", true}, {"head", "", true}} {
		n, err := calls.Send(fd, []byte(c.head), []byte(c.body), c.more)
		if want := c.head + c.body; n != len(want) || err != nil {
			t.Fatalf("sent %d, %v of %q", n, err, want)
		}
		if c.more { // what was held back leaves with what follows
			_, err := calls.Send(fd, []byte("."), nil, false)
			must(t, err)
			c.body += "."
		}
		want := c.head + c.body
		for got := ""; got != want; {
			n, err := peer.Read(buf)
			if got += string(buf[:n]); err != nil || len(got) > len(want) {
				t.Fatalf("%q arrived of %q, %v", got, want, err)
			}
		}
	}
	_, err := peer.Write([]byte("request"))
	must(t, err)
	must(t, peer.(*net.TCPConn).CloseWrite())
	for got := ""; ; {
		await(t, fd, unix.POLLIN)
		n, err := Recv(fd, buf)
		must(t, err)
		if n == 0 {
			if got != "request" {
				t.Errorf("received %q", got)
			}
			break
		}
		got += string(buf[:n])
	}
}

// TestSendWithoutRoom: a peer that does not read leaves bytes unacknowledged
// and at last no room, which is EAGAIN; one that is gone is an error and no signal.
func TestSendWithoutRoom(t *testing.T) {
	var calls Calls
	calls.Init()
	fd, peer := pair(t, &calls)
	if n := Unacked(fd); n != 0 {
		t.Errorf("%d bytes unacknowledged before any was sent", n)
	}
	part := bytes.Repeat([]byte("x"), 64<<10)
	var err error
	for n := 0; err == nil; {
		n, err = calls.Send(fd, part, part, false)
		if n == 0 && err == nil {
			t.Fatal("neither bytes nor an error")
		}
	}
	if err != unix.EAGAIN {
		t.Fatalf("without room: %v", err)
	}
	if n := Unacked(fd); n <= 0 {
		t.Errorf("%d bytes unacknowledged with the buffer full", n)
	}
	must(t, peer.(*net.TCPConn).SetLinger(0))
	must(t, peer.Close())
	await(t, fd, unix.POLLIN)
	for err = nil; err == nil || err == unix.EAGAIN; {
		_, err = calls.Send(fd, part, nil, false)
	}
	if err != unix.ECONNRESET && err != unix.EPIPE {
		t.Errorf("to a peer that is gone: %v", err)
	}
}

// TestNoDescriptor: every call says that a descriptor is none.
func TestNoDescriptor(t *testing.T) {
	var calls Calls
	calls.Init()
	part := []byte("x")
	for name, call := range map[string]func() error{
		"recv":    func() error { _, err := Recv(-1, part); return err },
		"send":    func() error { _, err := calls.Send(-1, part, nil, false); return err },
		"sendmsg": func() error { _, err := calls.Send(-1, part, part, false); return err },
		"accept":  func() error { _, _, err := calls.Accept(-1, false); return err },
		"close":   func() error { return Close(-1) },
	} {
		if err := call(); err != unix.EBADF {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := Unacked(-1); n != -1 {
		t.Errorf("unacked: %d", n)
	}
	if from := calls.Peer(-1); from != Unknown {
		t.Errorf("peer: %v", from)
	}
}
