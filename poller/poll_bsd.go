//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package poller

import (
	"time"

	"golang.org/x/sys/unix"
)

// pollRDHUP is 0: of these systems FreeBSD 13 alone can tell that the peer has
// closed its sending side. Reading says so.
const pollRDHUP = 0

// sysPoll counts in milliseconds, rounded up: a wait never ends before its time.
func sysPoll(fds []unix.PollFd, timeout time.Duration) (int, error) {
	return unix.Poll(fds, int((timeout+time.Millisecond-1)/time.Millisecond))
}
