//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// sys makes the system calls of the hot path through x/sys: these systems
// promise a stable libc, not stable system calls.
type sys struct{}

func (s *sys) init() {}

// recv is recv(2), again after EINTR. 0, nil is the end of the stream.
func (s *sys) recv(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// send writes the parts one behind the other; there is no MSG_MORE to announce
// a file. SIGPIPE does not arise: Go ignores it for descriptors above 2.
func (s *sys) send(fd int, head, body []byte, _ bool) (int, error) {
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

// accept accepts a connection and makes it non-blocking and closed on exec.
func (s *sys) accept(listener int) (int, conn.Addr, error) {
	for {
		fd, sa, err := acceptCloexec(listener)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return -1, conn.Addr{}, err
		}
		return fd, pack(sa), nil
	}
}

// peer is getpeername(2).
func (s *sys) peer(fd int) conn.Addr {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return conn.Addr{}
	}
	return pack(sa)
}

func pack(sa unix.Sockaddr) conn.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return conn.AddrFrom(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
	case *unix.SockaddrInet6:
		return conn.AddrFrom(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)))
	default:
		return conn.Addr{}
	}
}

// unacked is the bytes in the send queue (TIOCOUTQ).
func unacked(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
	if err != nil {
		return -1
	}
	return n
}

func closeFD(fd int) error { return unix.Close(fd) }
