package socket

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Starved reports whether accepting failed for want of something that others give back.
func Starved(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// Gone reports whether accepting failed for the new connection's own trouble: it is gone, and the next one may
// be there (accept(2)). Any other error may last, and the connection may still be in the queue: EPERM and
// EACCES of a security module, EIO, ENOSYS of seccomp, EBADF and EINVAL of what is no listener.
func Gone(err error) bool {
	for _, own := range [...]error{unix.ECONNABORTED, unix.EINTR, unix.EPROTO, unix.ENOPROTOOPT,
		unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}
