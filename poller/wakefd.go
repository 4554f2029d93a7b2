//go:build unix

package poller

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// WakeFD is a descriptor that any goroutine makes readable, to end a wait: an eventfd, or a pipe where there is none.
type WakeFD struct {
	read, write int
	scratch     [64]byte // of Drain
}

// wakeOne is what Send adds to an eventfd's counter, and writes to a pipe.
var wakeOne = binary.NativeEndian.AppendUint64(nil, 1)

// FD is the descriptor to wait for.
func (w *WakeFD) FD() int { return w.read }

// Send makes the descriptor readable, with an edge of its own. One that is full (EAGAIN) is readable, which is all
// that matters.
func (w *WakeFD) Send() error {
	_, err := unix.Write(w.write, wakeOne)
	for err == unix.EINTR {
		_, err = unix.Write(w.write, wakeOne)
	}
	if err == nil || err == unix.EAGAIN {
		return nil
	}
	return fmt.Errorf("write to wake-up descriptor %d: %w", w.write, err)
}

// Drain makes the descriptor unreadable.
func (w *WakeFD) Drain() error {
	n, err := unix.Read(w.read, w.scratch[:])
	for err == unix.EINTR || n == len(w.scratch) {
		n, err = unix.Read(w.read, w.scratch[:])
	}
	if err == nil || err == unix.EAGAIN {
		return nil
	}
	return fmt.Errorf("read from wake-up descriptor %d: %w", w.read, err)
}

// Close frees the descriptor; a late call gets EBADF, not a stranger's descriptor.
func (w *WakeFD) Close() error {
	err := unix.Close(w.read)
	if w.write != w.read {
		err = errors.Join(err, unix.Close(w.write))
	}
	w.read, w.write = -1, -1
	return err
}

// fdWaker is the waker of the backends that wait for a descriptor of their own.
type fdWaker struct {
	waker
	wake WakeFD
}

// Wake implements Poller.
func (w *fdWaker) Wake() error {
	if !w.claim() {
		return nil
	}
	err := w.wake.Send()
	w.release(err)
	return err
}

// woken is called by Wait when the kernel reported the descriptor.
func (w *fdWaker) woken() error {
	if err := w.wake.Drain(); err != nil {
		return err
	}
	w.clear()
	return nil
}
