//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package poller

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// WakeFD is a descriptor that any goroutine makes readable, to end a wait: a pipe here.
type WakeFD struct {
	read, write int
	scratch     [64]byte // of Drain
}

// wakeByte is what Send writes.
var wakeByte = []byte{0}

// Open makes the descriptor; owner is whose wait it ends, for errors.
func (w *WakeFD) Open(owner string) error {
	var fds [2]int
	syscall.ForkLock.RLock() // macOS has no pipe2
	err := unix.Pipe(fds[:])
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return fmt.Errorf("pipe of the %s: %w", owner, err)
	}
	w.read, w.write = fds[0], fds[1]
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return errors.Join(fmt.Errorf("pipe of the %s: %w", owner, err), w.Close())
		}
	}
	return nil
}

// FD is the descriptor to wait for.
func (w *WakeFD) FD() int { return w.read }

// Send makes the descriptor readable.
func (w *WakeFD) Send() error {
	_, err := unix.Write(w.write, wakeByte)
	for err == unix.EINTR {
		_, err = unix.Write(w.write, wakeByte)
	}
	if err == nil || err == unix.EAGAIN { // full: it is readable, which is all that matters
		return nil
	}
	return fmt.Errorf("write to pipe %d: %w", w.write, err)
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
	return fmt.Errorf("read from pipe %d: %w", w.read, err)
}

// Close frees the descriptor; a late call gets EBADF, not a stranger's descriptor.
func (w *WakeFD) Close() error {
	err := errors.Join(unix.Close(w.read), unix.Close(w.write))
	w.read, w.write = -1, -1
	return err
}
