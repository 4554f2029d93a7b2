package socket

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rdhup tells that the peer has closed its sending side (Linux 2.6.17).
const rdhup = unix.POLLRDHUP

// Calls makes the calls that hand the kernel more than a buffer. What it reads
// and writes then lives here, on the heap once for each who calls. It must not be
// copied after Init, and two goroutines must not use it at a time.
type Calls struct {
	addr    *unix.RawSockaddrInet6 // the largest address of a peer that is kept
	addrLen uint32
	iov     [2]unix.Iovec
	msg     unix.Msghdr
}

// Init comes before every other method.
func (c *Calls) Init() {
	c.addr = new(unix.RawSockaddrInet6)
	c.msg.Iov = &c.iov[0]
	c.msg.Iovlen = 2
}

// New returns a non-blocking stream socket of that family (AF_...), closed on exec.
func New(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// Recv is recv(2), again after EINTR. 0, nil is the end of the stream; no
// bytes yet is unix.EAGAIN.
func Recv(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), 0, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Send is send(2), or sendmsg(2) for two parts, again after EINTR. Either part
// may be empty; no room is unix.EAGAIN. more: bytes follow at once, so that the
// last ones may wait to leave with them (MSG_MORE).
func (c *Calls) Send(fd int, head, body []byte, more bool) (int, error) {
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
			n, _, errno = syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
				uintptr(unsafe.Pointer(unsafe.SliceData(head))), uintptr(len(head)), flags, 0, 0)
		} else {
			c.iov[0].Base, c.iov[1].Base = unsafe.SliceData(head), unsafe.SliceData(body)
			c.iov[0].SetLen(len(head))
			c.iov[1].SetLen(len(body))
			n, _, errno = syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&c.msg)), flags)
			c.iov[0].Base, c.iov[1].Base = nil, nil
		}
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Accept is accept4(2), again after EINTR: it takes a connection from a
// non-blocking listener, closed on exec, and says who it is from. The address is
// not valid for a Unix socket. blocking: the connection is to be, which it never
// inherits from the listener. An empty queue is unix.EAGAIN.
func (c *Calls) Accept(listener int, blocking bool) (int, netip.AddrPort, error) {
	flags := uintptr(unix.SOCK_CLOEXEC)
	if !blocking {
		flags |= unix.SOCK_NONBLOCK
	}
	for {
		c.addrLen = uint32(unsafe.Sizeof(*c.addr))
		fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(c.addr)),
			uintptr(unsafe.Pointer(&c.addrLen)), flags, 0, 0)
		if errno == 0 {
			return int(fd), c.remote(), nil
		}
		if errno != unix.EINTR {
			return -1, netip.AddrPort{}, errno
		}
	}
}

// Peer is the address that accept4(2) would have given for a connection: getpeername(2), or if that
// says that there is none, since the connection was reset meanwhile, getsockopt(SO_PEERNAME), which
// accept4 has it from. The address is not valid for a Unix socket. It is [Unknown] if both fail: a
// server that trusts the peers of Unix sockets must not take it for one.
func (c *Calls) Peer(fd int) netip.AddrPort {
	c.addrLen = uint32(unsafe.Sizeof(*c.addr))
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(c.addr)),
		uintptr(unsafe.Pointer(&c.addrLen))); errno == 0 {
		return c.remote()
	}
	// SO_PEERNAME refuses a length beyond the address's own (EINVAL).
	for _, c.addrLen = range [...]uint32{unix.SizeofSockaddrInet6, unix.SizeofSockaddrInet4} {
		if _, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERNAME,
			uintptr(unsafe.Pointer(c.addr)), uintptr(unsafe.Pointer(&c.addrLen)), 0); errno == 0 {
			return c.remote()
		}
	}
	return Unknown
}

// remote is the address that accept4 or getpeername wrote.
func (c *Calls) remote() netip.AddrPort {
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	switch c.addr.Family {
	case unix.AF_INET:
		in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(c.addr))
		return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), port(&in4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(c.addr.Addr), port(&c.addr.Port))
	default:
		return netip.AddrPort{}
	}
}

// Close closes a connection's socket, which does not block: nothing sets
// SO_LINGER. Told of it (Syscall), Go's monitor thread would wake every 20 us to see whether
// another thread should run meanwhile: 7 % of the CPU of a server that closes often.
func Close(fd int) error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 && errno != unix.EINTR {
		return errno // after EINTR the descriptor is gone all the same (close(2))
	}
	return nil
}
