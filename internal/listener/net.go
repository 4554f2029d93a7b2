package listener

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// String returns the address as it may be written in the configuration.
func (l *Listener) String() string {
	if l.unix != "" {
		return "unix:" + l.unix
	}
	return l.addr.String()
}

// Duplicate returns package net's listener of a duplicate of the socket.
func (l *Listener) Duplicate() (net.Listener, error) {
	fd, err := unix.FcntlInt(uintptr(l.sockets[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", l.Where(), err)
	}
	file := os.NewFile(uintptr(fd), l.Where())
	ln, err := net.FileListener(file) // of another duplicate
	return ln, errors.Join(err, file.Close())
}
