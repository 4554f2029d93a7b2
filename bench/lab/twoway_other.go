//go:build !linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// twoWayOpener opens FIFOs for reading and writing, which POSIX leaves undefined and these systems allow.
func twoWayOpener() (open func() (int, error), end func() error, err error) {
	folder, err := os.MkdirTemp("", "evhttpd-lab-")
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Join(folder, "fifo")
	open = func() (int, error) {
		if err := unix.Mkfifo(name, 0o600); err != nil {
			return -1, fmt.Errorf("mkfifo %s: %w", name, err)
		}
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return fd, errors.Join(err, unix.Unlink(name))
	}
	return open, func() error { return os.RemoveAll(folder) }, nil
}
