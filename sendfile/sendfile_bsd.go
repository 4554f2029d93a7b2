//go:build darwin || dragonfly || freebsd

package sendfile

import (
	"io"

	"golang.org/x/sys/unix"
)

// transfer is sendfile(2). It returns n > 0 and nil, or 0 and an error: the
// systems here can move bytes and fail with EAGAIN or EINTR in one call (man
// sendfile, "RETURN VALUES"), which is a short count to us.
func transfer(sock, fd int, offset int64, count int) (int64, error) {
	for {
		n, err := unix.Sendfile(sock, fd, &offset, count)
		switch err {
		case nil, unix.EAGAIN, unix.EINTR:
		default:
			// n is no count then: macOS leaves what was asked for in it.
			return 0, err
		}
		switch {
		case n > 0:
			return int64(n), nil
		case err == unix.EINTR:
		case err == nil:
			return 0, io.ErrUnexpectedEOF
		default:
			return 0, err
		}
	}
}

// probe knows nothing: there is no read that does not wait for the disk.
func probe(int, int64) presence { return unknown }

// FlagsFor returns what is known beforehand of fd's file system: here nothing.
func FlagsFor(int) Flags { return 0 }

// lookAt returns the size and modification time of an open file.
func lookAt(fd int, _ bool) (size, seconds int64, nanoseconds int32, err error) { return fstat(fd) }
