package lab

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lowest is how many of the lowest descriptor numbers are kept free for pollers: select's cost goes by the highest
// number that it watches, so its own must not lie above those that are measured.
const lowest = 16

// spare is how many descriptors are left for everything else.
const spare = lowest + 48

// reserve takes the lowest free numbers and returns what gives them back.
func reserve() (release func() error, err error) {
	var taken []int
	for range lowest {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", os.DevNull, err), closeAll(taken))
		}
		taken = append(taken, fd)
	}
	return func() error { return closeAll(taken) }, nil
}

// twoWay opens count pipes of which both ends are one non-blocking descriptor. It returns those that it has opened
// with an error too.
func twoWay(count int) (fds []int, err error) {
	open, end, err := twoWayOpener()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	for i := range count {
		fd, err := open()
		if err != nil {
			return fds, fmt.Errorf("pipe %d of %d: %w", i+1, count, err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// closeAll closes descriptors.
func closeAll(fds []int) (err error) {
	for _, fd := range fds {
		err = errors.Join(err, unix.Close(fd))
	}
	return err
}

// pipePairs opens count pipes. It returns the ends of those that it has opened with an error too.
func pipePairs(count int) (reads, writes []int, err error) {
	for i := range count {
		var ends [2]int
		if err := openPipe(&ends); err != nil {
			return reads, writes, fmt.Errorf("pipe %d of %d: %w", i+1, count, err)
		}
		reads, writes = append(reads, ends[0]), append(writes, ends[1])
	}
	return reads, writes, nil
}

// openPipe opens a pipe of which both ends are non-blocking. (macOS has no pipe2.)
func openPipe(ends *[2]int) error {
	if err := unix.Pipe(ends[:]); err != nil {
		return err
	}
	for _, fd := range ends {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return errors.Join(err, closeAll(ends[:]))
		}
	}
	return nil
}
