//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package poller

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// wakeFD is a descriptor that Wake makes readable: a pipe here.
type wakeFD struct {
	read, write int
	scratch     [16]byte // of drain
}

// wakeByte is what Wake writes.
var wakeByte = []byte{0}

func (w *wakeFD) open(backend string) error {
	var fds [2]int
	syscall.ForkLock.RLock() // macOS has no pipe2
	err := unix.Pipe(fds[:])
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return fmt.Errorf("pipe of the %s poller: %w", backend, err)
	}
	w.read, w.write = fds[0], fds[1]
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return errors.Join(fmt.Errorf("pipe of the %s poller: %w", backend, err), w.close())
		}
	}
	return nil
}

func (w *wakeFD) send() error {
	_, err := unix.Write(w.write, wakeByte)
	for err == unix.EINTR {
		_, err = unix.Write(w.write, wakeByte)
	}
	if err == nil || err == unix.EAGAIN { // full: it is readable, which is all that matters
		return nil
	}
	return fmt.Errorf("write to the poller's pipe fd %d: %w", w.write, err)
}

// drain takes the byte out. The pending flag keeps it from being many.
func (w *wakeFD) drain() error {
	_, err := unix.Read(w.read, w.scratch[:])
	for err == unix.EINTR {
		_, err = unix.Read(w.read, w.scratch[:])
	}
	if err == nil || err == unix.EAGAIN {
		return nil
	}
	return fmt.Errorf("read from the poller's pipe fd %d: %w", w.read, err)
}

// close frees it; a late call gets EBADF, not a stranger's descriptor.
func (w *wakeFD) close() error {
	err := errors.Join(unix.Close(w.read), unix.Close(w.write))
	w.read, w.write = -1, -1
	return err
}
