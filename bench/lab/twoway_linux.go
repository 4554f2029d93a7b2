package lab

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// twoWayOpener opens a pipe once more through /proc, for reading and writing (fifo(7)): a named one would have its
// file system note the time of each write.
func twoWayOpener() (open func() (int, error), end func() error, err error) {
	open = func() (int, error) {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			return -1, err
		}
		name := fmt.Sprintf("/proc/self/fd/%d", ends[1])
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			err = fmt.Errorf("opening %s: %w", name, err)
		}
		return fd, errors.Join(err, closeAll(ends[:]))
	}
	return open, func() error { return nil }, nil
}
