package poller

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Open makes the descriptor, an eventfd; owner is whose wait it ends, for errors.
func (w *Waker) Open(owner string) error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd of the %s: %w", owner, err)
	}
	w.owner, w.read, w.write = owner, fd, fd
	return nil
}
