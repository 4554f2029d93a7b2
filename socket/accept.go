package socket

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// Starved reports whether accepting failed for want of something that others give back.
func Starved(err error) bool {
	return isAny(err, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM)
}

// Gone reports whether accepting failed for the new connection's own trouble: it is gone, and the next one may
// be there (accept(2)). Any other error may last, and the connection may still be in the queue: EPERM and
// EACCES of a security module, EIO, ENOSYS of seccomp, EBADF and EINVAL of what is no listener.
func Gone(err error) bool {
	return isAny(err, unix.ECONNABORTED, unix.EINTR, unix.EPROTO, unix.ENOPROTOOPT,
		unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH)
}

func isAny(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(e error) bool { return errors.Is(err, e) })
}
