//go:build netbsd || openbsd

package poller

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// kqueueWake is a pipe here: EVFILT_USER is missing before NetBSD 10 and from
// x/sys for both systems.
type kqueueWake struct{ read, write int }

// wakeByte is what Wake writes.
var wakeByte = []byte{0}

func (w *kqueueWake) open(kq int) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("pipe2 of the kqueue poller: %w", err)
	}
	w.read, w.write = fds[0], fds[1]
	raw := [1]unix.Kevent_t{rawChange(change{fd: w.read, filter: filterRead})}
	if _, err := unix.Kevent(kq, raw[:], nil, nil); err != nil {
		return errors.Join(fmt.Errorf("kevent of the kqueue poller's pipe: %w", err), w.close())
	}
	return nil
}

func (w *kqueueWake) send(int) error {
	_, err := unix.Write(w.write, wakeByte)
	if err == nil || err == unix.EAGAIN { // full: it is readable, which is all that matters
		return nil
	}
	return fmt.Errorf("write to the kqueue poller's pipe fd %d: %w", w.write, err)
}

// is reports whether raw is the wake-up.
func (w *kqueueWake) is(raw *unix.Kevent_t) bool {
	return int(raw.Filter) == unix.EVFILT_READ && int(raw.Ident) == w.read
}

// drain takes the byte out. The pending flag keeps it from being many.
func (w *kqueueWake) drain() error {
	var scratch [16]byte
	_, err := unix.Read(w.read, scratch[:])
	if err == nil || err == unix.EAGAIN || err == unix.EINTR {
		return nil
	}
	return fmt.Errorf("read from the kqueue poller's pipe fd %d: %w", w.read, err)
}

func (w *kqueueWake) close() error {
	return errors.Join(unix.Close(w.read), unix.Close(w.write))
}
