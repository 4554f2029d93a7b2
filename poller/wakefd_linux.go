package poller

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// wakeFD is a descriptor that Wake makes readable: an eventfd here.
type wakeFD struct {
	read    int
	counter [8]byte // scratch of drain
}

func (w *wakeFD) open(backend string) (err error) {
	if w.read, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd of the %s poller: %w", backend, err)
	}
	return nil
}

func (w *wakeFD) send() error {
	if err := addOne(w.read); err != nil {
		return fmt.Errorf("write to the poller's eventfd %d: %w", w.read, err)
	}
	return nil
}

// addOne adds one to an eventfd's counter. A full one (EAGAIN) is readable, which is all that matters.
func addOne(fd int) error {
	for {
		_, err := unix.Write(fd, eventfdOne)
		switch err {
		case nil, unix.EAGAIN:
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
}

// drain sets the counter to 0.
func (w *wakeFD) drain() error {
	_, err := unix.Read(w.read, w.counter[:])
	for err == unix.EINTR {
		_, err = unix.Read(w.read, w.counter[:])
	}
	if err == nil || err == unix.EAGAIN {
		return nil
	}
	return fmt.Errorf("read from the poller's eventfd %d: %w", w.read, err)
}

// close frees it; a late call gets EBADF, not a stranger's descriptor.
func (w *wakeFD) close() error {
	err := unix.Close(w.read)
	w.read = -1
	return err
}
