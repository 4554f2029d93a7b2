//go:build darwin || dragonfly || freebsd

package poller

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// kqueueWake is EVFILT_USER here (FreeBSD 8.1, OS X 10.6, DragonFly 4.0): it needs
// no descriptor, and EV_CLEAR takes it back when it is received.
type kqueueWake struct{}

// open adds the filter. Its identifier is no descriptor: each filter has its own.
func (w *kqueueWake) open(kq int) error {
	return w.submit(kq, unix.EV_ADD|unix.EV_CLEAR, 0)
}

func (w *kqueueWake) send(kq int) error {
	return w.submit(kq, 0, unix.NOTE_TRIGGER)
}

func (w *kqueueWake) submit(kq, flags int, fflags uint32) error {
	var raw [1]unix.Kevent_t
	unix.SetKevent(&raw[0], 0, unix.EVFILT_USER, flags)
	raw[0].Fflags = fflags
	if _, err := unix.Kevent(kq, raw[:], nil, nil); err != nil && err != unix.EINTR {
		return fmt.Errorf("kevent EVFILT_USER on kqueue fd %d: %w", kq, err)
	}
	return nil
}

// is reports whether raw is the wake-up.
func (w *kqueueWake) is(raw *unix.Kevent_t) bool { return int(raw.Filter) == unix.EVFILT_USER }

// drain has nothing to do.
func (w *kqueueWake) drain() error { return nil }

// close has nothing to do: the filter goes with the kqueue.
func (w *kqueueWake) close() error { return nil }
