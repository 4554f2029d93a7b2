//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package socket

import "golang.org/x/sys/unix"

// Hangup reports how far the peer has closed the connection: half of it, so that it sends no more but may
// receive, or all, by a reset too. Where poll(2) does not tell halves, there is only all.
func Hangup(fd int) (half, all bool) {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	if n, err := unix.Poll(fds, 0); n <= 0 || err != nil {
		return false, false // it is looked at again
	}
	all = fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
	return all, all
}
