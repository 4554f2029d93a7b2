package iomodel

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// msgMore holds a head back for the file that follows.
const msgMore = unix.MSG_MORE

// receive is recv(2). It may block, so Go's scheduler is told. A signal ends it
// with EINTR also where a handler is installed with SA_RESTART, the socket
// having a timeout (signal(7)).
func receive(fd int, p []byte, flags int) (int, error) {
	n, _, errno := syscall.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// sendOne is send(2).
func sendOne(fd int, p []byte, flags int) (int, error) {
	n, _, errno := syscall.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
