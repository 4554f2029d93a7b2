//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package socket

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// rdhup is 0: poll(2) does not tell that the peer has closed its sending side.
const rdhup = 0

// Calls makes the calls that need memory of their own on Linux; here they need none.
type Calls struct{}

// Init comes before every other method.
func (c *Calls) Init() {}

// New returns a non-blocking stream socket of that family (AF_...), closed on
// exec: with the lock no child is forked in between.
func New(family int) (int, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// Recv is recv(2), again after EINTR. 0, nil is the end of the stream; no
// bytes yet is unix.EAGAIN.
func Recv(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// Send writes the parts one behind the other, again after EINTR; no room is
// unix.EAGAIN. There is no MSG_MORE to announce what follows. SIGPIPE does not
// arise: Go ignores it for descriptors above 2.
func (c *Calls) Send(fd int, head, body []byte, _ bool) (int, error) {
	for {
		var n int
		var err error
		switch {
		case len(head) > 0 && len(body) > 0:
			n, err = writev(fd, head, body)
		case len(head) > 0:
			n, err = unix.Write(fd, head)
		default:
			n, err = unix.Write(fd, body)
		}
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// writev sends head, and body if head left whole: these systems' x/sys have no writev(2).
func writev(fd int, head, body []byte) (int, error) {
	n, err := unix.Write(fd, head)
	if err != nil || n < len(head) {
		return n, err
	}
	m, err := unix.Write(fd, body)
	if err != nil {
		return n, nil // the next call meets the error
	}
	return n + m, nil
}

// Accept takes a connection from a non-blocking listener, closed on exec, and
// says who it is from, again after EINTR. The address is not valid for a Unix
// socket. blocking: the connection is to be. An empty queue is unix.EAGAIN.
func (c *Calls) Accept(listener int, blocking bool) (int, netip.AddrPort, error) {
	for {
		fd, sa, err := acceptCloexec(listener, blocking)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return -1, netip.AddrPort{}, err
		}
		return fd, addrPort(sa), nil
	}
}

// Peer is getpeername(2). The address is not valid for a Unix socket. It is
// [Unknown] if the call fails, as it does for a connection that was reset: who trusts the peers of
// Unix sockets must not take it for one.
func (c *Calls) Peer(fd int) netip.AddrPort {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return Unknown
	}
	return addrPort(sa)
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	default:
		return netip.AddrPort{}
	}
}

// Close closes a connection's socket.
func Close(fd int) error { return unix.Close(fd) }
