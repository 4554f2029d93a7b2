//go:build !linux

package listener

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// tune sets on a listener what its connections inherit.
func tune(fd int, _ bool) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	return nil
}

// BacklogMax is not asked for here.
func BacklogMax() int { return 0 }
