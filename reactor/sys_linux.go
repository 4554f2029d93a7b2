package reactor

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// sys makes the system calls of the hot path. They never block, the sockets
// being non-blocking, so Go's scheduler is not told of them (RawSyscall). What
// the kernel writes to lives here, on the heap once a loop.
type sys struct {
	addr    *unix.RawSockaddrInet6 // the largest address of a peer that is kept
	addrLen uint32
	iov     [2]unix.Iovec
	msg     unix.Msghdr
}

func (s *sys) init() {
	s.addr = new(unix.RawSockaddrInet6)
	s.msg.Iov = &s.iov[0]
	s.msg.Iovlen = 2
}

// recv is recv(2), again after EINTR. 0, nil is the end of the stream.
func (s *sys) recv(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// send is send(2), or sendmsg(2) for two parts, again after EINTR.
func (s *sys) send(fd int, head, body []byte, more bool) (int, error) {
	flags := uintptr(unix.MSG_NOSIGNAL)
	if more {
		flags |= unix.MSG_MORE
	}
	if len(head) == 0 {
		head, body = body, nil
	}
	for {
		var n uintptr
		var errno syscall.Errno
		if len(body) == 0 {
			n, _, errno = syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(head))), uintptr(len(head)), flags, 0, 0)
		} else {
			s.iov[0].Base, s.iov[1].Base = unsafe.SliceData(head), unsafe.SliceData(body)
			s.iov[0].SetLen(len(head))
			s.iov[1].SetLen(len(body))
			n, _, errno = syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msg)), flags)
			s.iov[0].Base, s.iov[1].Base = nil, nil
		}
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// accept is accept4(2).
func (s *sys) accept(listener int) (int, conn.Addr, error) {
	for {
		s.addrLen = uint32(unsafe.Sizeof(*s.addr))
		fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(s.addr)),
			uintptr(unsafe.Pointer(&s.addrLen)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == 0 {
			return int(fd), s.remote(), nil
		}
		if errno != unix.EINTR {
			return -1, conn.Addr{}, errno
		}
	}
}

// peer is getpeername(2).
func (s *sys) peer(fd int) conn.Addr {
	s.addrLen = uint32(unsafe.Sizeof(*s.addr))
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(s.addr)),
		uintptr(unsafe.Pointer(&s.addrLen))); errno != 0 {
		return conn.Addr{}
	}
	return s.remote()
}

// remote packs the address that accept4 or getpeername wrote.
func (s *sys) remote() conn.Addr {
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	switch s.addr.Family {
	case unix.AF_INET:
		in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(s.addr))
		return conn.AddrFrom(netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), port(&in4.Port)))
	case unix.AF_INET6:
		return conn.AddrFrom(netip.AddrPortFrom(netip.AddrFrom16(s.addr.Addr), port(&s.addr.Port)))
	default:
		return conn.Addr{}
	}
}

// unacked is what was sent and not acknowledged, in bytes (SIOCOUTQ, tcp(7)).
func unacked(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return -1
	}
	return n
}

// closeFD closes a connection's socket, which does not block: nothing sets
// SO_LINGER. Told of it (Syscall), Go's monitor thread would wake every 20 us to see whether
// another thread should run meanwhile: 7 % of the CPU of a server that closes often.
func closeFD(fd int) error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 && errno != unix.EINTR {
		return errno // after EINTR the descriptor is gone all the same (close(2))
	}
	return nil
}
