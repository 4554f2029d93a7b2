//go:build !linux

package listener

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// tune sets on a listener what its connections inherit.
func tune(fd int, _ bool) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	return nil
}

// sharesLater says that a listening socket can be given reusePort, and others join it then. Here the kernel looks at
// the option only when a socket is bound.
const sharesLater = false

// occupied is not found out here: only Linux has sockets join a port of ours.
func occupied(netip.AddrPort, []*Listener) bool { return false }
