//go:build unix

package poller

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Waker is a descriptor that any goroutine makes readable, to end a wait for it: an eventfd, or a pipe where there is
// none.
type Waker struct {
	waker
	owner       string // whose wait it ends, for errors
	read, write int
	scratch     [64]byte // of Woken
}

// wakeOne is what Wake adds to an eventfd's counter, and writes to a pipe.
var wakeOne = binary.NativeEndian.AppendUint64(nil, 1)

// FD is the descriptor to wait for.
func (w *Waker) FD() int { return w.read }

// Wake makes the descriptor readable, with an edge of its own, as [Poller] has it. One that is full (EAGAIN) is
// readable, which is all that matters.
func (w *Waker) Wake() error {
	if !w.claim() {
		return nil
	}
	_, err := unix.Write(w.write, wakeOne)
	for err == unix.EINTR {
		_, err = unix.Write(w.write, wakeOne)
	}
	if err == unix.EAGAIN {
		err = nil
	}
	w.release(err)
	if err != nil {
		return fmt.Errorf("waking the %s by descriptor %d: %w", w.owner, w.write, err)
	}
	return nil
}

// Woken is called by whoever waits when the descriptor was readable, and makes it unreadable.
func (w *Waker) Woken() error {
	n, err := unix.Read(w.read, w.scratch[:])
	for err == unix.EINTR || n == len(w.scratch) {
		n, err = unix.Read(w.read, w.scratch[:])
	}
	if err != nil && err != unix.EAGAIN {
		return fmt.Errorf("reading descriptor %d, which wakes the %s: %w", w.read, w.owner, err)
	}
	w.clear()
	return nil
}

// WokenByEdge is called instead where each Wake is told of, so that the descriptor may stay readable.
func (w *Waker) WokenByEdge() { w.clear() }

// Close frees the descriptor, once; a later Wake does nothing.
func (w *Waker) Close() error {
	if !w.stop() {
		return nil
	}
	err := unix.Close(w.read)
	if w.write != w.read {
		err = errors.Join(err, unix.Close(w.write))
	}
	if err != nil {
		return fmt.Errorf("closing the descriptor that wakes the %s: %w", w.owner, err)
	}
	return nil
}
