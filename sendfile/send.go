package sendfile

import (
	"fmt"
	"io"
	"math"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxTransfer is the most that is asked of one sendfile(2), in bytes: Linux
	// moves no more (MAX_RW_COUNT, rounded down to a page), and it fits in 32 bits.
	maxTransfer = 0x7ffff000
	// scratchSize is the size in bytes of a pooled buffer for copying and reading
	// ahead: what a pipe or sendfile(2) moves at a time too.
	scratchSize = 64 << 10
)

// scratch holds *[scratchSize]byte: a pointer, so that Put does not allocate.
var scratch = sync.Pool{New: func() any { return new([scratchSize]byte) }}

// Send makes one attempt to move count bytes, from the file's offset, to a
// connected stream socket, and returns n > 0 and nil, or 0 and an error:
//
//   - unix.EAGAIN: the socket's send buffer is full (or, of a blocking socket,
//     SO_SNDTIMEO is over);
//   - io.ErrUnexpectedEOF: the file ends at or before offset;
//   - unix.EINVAL: a negative offset, no count, or a sum past the largest offset;
//   - whatever else the kernel says of the socket (EPIPE, ECONNRESET) or the file (EIO).
//
// A signal never shows: EINTR before the first byte is tried again, after it
// the count is returned. SIGPIPE does no harm: the Go runtime catches and
// ignores it but for its own writes to descriptors 1 and 2 (os/signal, "SIGPIPE").
//
// Whether Send waits for room is the socket's O_NONBLOCK to say. It may wait
// for the file in any case: see Resident. Any number of goroutines may send the
// same File at once. Nothing is allocated.
func Send(sock int, f *File, offset, count int64) (n int64, err error) {
	if offset < 0 || count <= 0 || offset > math.MaxInt64-count {
		return 0, unix.EINVAL
	}
	if !f.is(NoSendfile) {
		n, err = transfer(sock, f.fd, offset, int(min(count, maxTransfer)))
		if !refused(err) {
			if err != nil && !ofSocket(err) {
				f.failed(err)
			}
			return n, err
		}
		f.learn(NoSendfile)
	}
	return copyOut(sock, f, offset, count)
}

// ofSocket reports whether an error of sendfile(2) is the socket's (send(2), tcp(7)) and not the file's. The call
// has errors of both and does not say whose they are.
func ofSocket(err error) bool {
	switch err {
	case unix.EAGAIN, unix.EPIPE, unix.ECONNRESET, unix.ETIMEDOUT, unix.ENOTCONN, unix.EHOSTUNREACH, unix.EHOSTDOWN,
		unix.ENETUNREACH, unix.ENETDOWN, unix.ENOBUFS, unix.ECONNREFUSED, unix.EPERM, unix.EACCES, unix.EPROTO:
		return true
	}
	return false
}

// refused reports whether err says that sendfile(2) does not do this file, or
// is not there at all (EPERM: for a seccomp filter), rather than that it failed.
func refused(err error) bool {
	// ENOTSUP and EOPNOTSUPP are one number on Linux and two on BSD, which is
	// why this is not a switch.
	return err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP || err == unix.ENOTSUP ||
		err == unix.EPERM
}

// copyOut does what transfer does by reading and writing. What was read and
// finds no room in the socket is read again with the next Send, so nothing is
// kept between two.
func copyOut(sock int, f *File, offset, count int64) (int64, error) {
	buf := scratch.Get().(*[scratchSize]byte)
	defer scratch.Put(buf)
	r, err := pread(f.fd, buf[:min(count, scratchSize)], offset)
	switch {
	case err != nil:
		f.failed(err)
		// Wrapped: EAGAIN from a file system must not pass for a full socket.
		return 0, fmt.Errorf("sendfile: read %d bytes at offset %d: %w", min(count, scratchSize), offset, err)
	case r == 0:
		f.failed(io.ErrUnexpectedEOF)
		return 0, io.ErrUnexpectedEOF
	}
	for {
		n, err := unix.SendmsgN(sock, buf[:r], nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case n > 0:
			return int64(n), nil
		case err != unix.EINTR:
			return 0, err
		}
	}
}

// pread is pread(2), again after a signal.
func pread(fd int, p []byte, offset int64) (int, error) {
	for {
		n, err := unix.Pread(fd, p, offset)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// fstat is fstat(2), again after a signal: the size and modification time.
func fstat(fd int) (size, seconds int64, nanoseconds int32, err error) {
	var st unix.Stat_t
	for {
		if err = unix.Fstat(fd, &st); err != unix.EINTR {
			sec, nsec := st.Mtim.Unix()
			return st.Size, sec, int32(nsec), err
		}
	}
}

// preadFull reads until p is full or the file ends: a count that is short is not the end of a file (read(2)).
func preadFull(fd int, p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		m, err := pread(fd, p[n:], offset+int64(n))
		if m <= 0 || err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}
