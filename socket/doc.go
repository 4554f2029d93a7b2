// Package socket is stream sockets by system calls: made, accepted, received
// from, sent to and closed as a loop does it that must not wait.
//
// On Linux the calls of a loop are made directly and Go's scheduler is not told
// of them (RawSyscall), since on a non-blocking socket none of them waits: so
// [Recv], [Calls.Send] and [Calls.Accept] are for non-blocking descriptors alone.
// They allocate nothing. Elsewhere they go through x/sys: those systems promise
// a stable libc, not stable system calls.
//
// It imports golang.org/x/sys and nothing of this project.
package socket

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Unknown is the address of a peer that the system does not tell: 0.0.0.0, which is nobody's.
var Unknown = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)

// Hangup reports how far the peer has closed the connection: half of it, so that it sends no more but may
// receive, or all, by a reset too (poll(2)). Where that does not tell halves, there is only all.
func Hangup(fd int) (half, all bool) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: rdhup}}
	if n, err := unix.Poll(fds, 0); n <= 0 || err != nil {
		return false, false // it is looked at again
	}
	all = fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
	return all || fds[0].Revents&rdhup != 0, all
}

// Unacked is the bytes in the send queue: what was sent and not acknowledged (TIOCOUTQ; SIOCOUTQ of tcp(7)); -1:
// unknown.
func Unacked(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
	if err != nil {
		return -1
	}
	return n
}

// Duplicate returns what of makes of a duplicate of fd: package net's listener or connection. Nothing changes the flags
// of fd, which the duplicate shares.
func Duplicate[T any](fd int, of func(*os.File) (T, error)) (made T, err error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return made, err
	}
	file := os.NewFile(uintptr(dup), "socket")
	made, err = of(file) // which duplicates it once more
	return made, errors.Join(err, file.Close())
}
