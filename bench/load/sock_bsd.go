//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package load

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// newSocket returns a non-blocking TCP socket that is closed on exec.
func newSocket(family int) (int, error) {
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

// recv is recv(2), again after EINTR. 0, 0 is the end of the stream.
func recv(fd int, p []byte) (int, syscall.Errno) {
	for {
		if n, errno := result(unix.Read(fd, p)); errno != unix.EINTR {
			return n, errno
		}
	}
}

// send is send(2), again after EINTR. SIGPIPE does not arise: Go ignores it for descriptors above 2.
func send(fd int, p []byte) (int, syscall.Errno) {
	for {
		if n, errno := result(unix.Write(fd, p)); errno != unix.EINTR {
			return n, errno
		}
	}
}

// result gives a call's error its number.
func result(n int, err error) (int, syscall.Errno) {
	if err == nil {
		return n, 0
	}
	if errno, ok := err.(syscall.Errno); ok {
		return 0, errno
	}
	return 0, unix.EIO
}
