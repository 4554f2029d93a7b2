package listener

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// notSentLow bounds what lies unsent in a socket's buffer (TCP_NOTSENT_LOWAT,
// Linux 3.12). Without a bound, loopback falls into a mode several times slower.
const notSentLow = 128 << 10

// reusePort is the option that shares a port out among sockets (Linux 3.9).
const reusePort = unix.SO_REUSEPORT

// sharesLater says that a listening socket can be given reusePort, and others join it then. The kernel looks at the
// option of each socket that has the port when another one is bound (3.9), and its groups of sockets, which it has
// since 4.5, allow for a first one that was bound without the option.
const sharesLater = true

// tune sets on a listener what its connections inherit (tcp(7)), and
// TCP_DEFER_ACCEPT: a connection is accepted with its first bytes.
func tune(fd int, deferAccept bool) error {
	deferred := 0
	if deferAccept {
		deferred = 1
	}
	options := []struct {
		name          string
		option, value int
	}{
		{"TCP_NODELAY", unix.TCP_NODELAY, 1},
		{"TCP_NOTSENT_LOWAT", unix.TCP_NOTSENT_LOWAT, notSentLow},
		{"TCP_DEFER_ACCEPT", unix.TCP_DEFER_ACCEPT, deferred},
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, o.option, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}
