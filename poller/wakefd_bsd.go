//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package poller

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Open makes the descriptor, a pipe; owner is whose wait it ends, for errors.
func (w *Waker) Open(owner string) error {
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
	w.owner, w.read, w.write = owner, fds[0], fds[1]
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return errors.Join(fmt.Errorf("pipe of the %s: %w", owner, err), w.Close())
		}
	}
	return nil
}
