//go:build darwin || netbsd || openbsd

package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptCloexec does with a lock what accept4 does elsewhere: no child is
// forked between the accept and FD_CLOEXEC. On some of these systems the
// connection inherits O_NONBLOCK from the listener, so it is set either way.
func acceptCloexec(listener int, blocking bool) (int, unix.Sockaddr, error) {
	syscall.ForkLock.RLock()
	fd, sa, err := unix.Accept(listener)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, nil, err
	}
	if err := unix.SetNonblock(fd, !blocking); err != nil {
		_ = unix.Close(fd) // the connection is given up
		return -1, nil, err
	}
	return fd, sa, nil
}
