//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package iomodel

import "golang.org/x/sys/unix"

// msgMore is not there: these systems' sendfile(2) sends a head by itself.
const msgMore = 0

// receive is recv(2).
func receive(fd int, p []byte, flags int) (int, error) {
	n, _, err := unix.Recvfrom(fd, p, flags)
	return max(n, 0), err
}

// sendOne is sendmsg(2), since x/sys has no send(2) that returns a count.
func sendOne(fd int, p []byte, flags int) (int, error) {
	return unix.SendmsgN(fd, p, nil, nil, flags)
}
