//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package iomodel

import (
	"syscall"

	"golang.org/x/sys/unix"
)

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

// accept takes a connection, closed on exec: no child is forked in between. On
// these systems it inherits O_NONBLOCK from the listener.
func accept(listener int, blocking bool) (int, unix.Sockaddr, error) {
	syscall.ForkLock.RLock()
	fd, sa, err := unix.Accept(listener)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, nil, err
	}
	if err := unix.SetNonblock(fd, !blocking); err != nil {
		_ = unix.Close(fd) // the connection is given up
		return -1, nil, err
	}
	return fd, sa, nil
}

// unacked is the bytes in the send queue (TIOCOUTQ).
func unacked(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
	if err != nil {
		return -1
	}
	return n
}
