package poller

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// WakeFD is a descriptor that any goroutine makes readable, to end a wait: an eventfd here.
type WakeFD struct {
	read    int
	counter [8]byte // scratch of Drain
}

// eventfdOne is what Send adds to the counter.
var eventfdOne = binary.NativeEndian.AppendUint64(nil, 1)

// Open makes the descriptor; owner is whose wait it ends, for errors.
func (w *WakeFD) Open(owner string) (err error) {
	if w.read, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd of the %s: %w", owner, err)
	}
	return nil
}

// FD is the descriptor to wait for.
func (w *WakeFD) FD() int { return w.read }

// Send makes the descriptor readable, with an edge of its own. A counter that is full (EAGAIN, after 2^64 calls)
// is readable, which is all that matters.
func (w *WakeFD) Send() error {
	_, err := unix.Write(w.read, eventfdOne)
	for err == unix.EINTR {
		_, err = unix.Write(w.read, eventfdOne)
	}
	if err == nil || err == unix.EAGAIN {
		return nil
	}
	return fmt.Errorf("write to eventfd %d: %w", w.read, err)
}

// Drain makes the descriptor unreadable.
func (w *WakeFD) Drain() error {
	_, err := unix.Read(w.read, w.counter[:])
	for err == unix.EINTR {
		_, err = unix.Read(w.read, w.counter[:])
	}
	if err == nil || err == unix.EAGAIN {
		return nil
	}
	return fmt.Errorf("read from eventfd %d: %w", w.read, err)
}

// Close frees the descriptor; a late call gets EBADF, not a stranger's descriptor.
func (w *WakeFD) Close() error {
	err := unix.Close(w.read)
	w.read = -1
	return err
}
