//go:build !linux

package daemon

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket returns a non-blocking stream socket, closed on exec.
func socket(family int) (int, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// tune sets on a listener what its connections inherit.
func tune(fd int, _ bool) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	return nil
}

// backlogMax is not asked for here.
func backlogMax() int { return 0 }
