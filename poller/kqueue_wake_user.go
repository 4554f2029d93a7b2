//go:build darwin || dragonfly || freebsd

package poller

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// kqueueWake is EVFILT_USER here (FreeBSD 8.1, OS X 10.6, DragonFly 4.0): it needs
// no descriptor, and EV_CLEAR takes it back when it is received.
type kqueueWake struct{}

// openWake adds the filter. Its identifier is no descriptor: each filter has its own.
func (p *kqueue) openWake() error {
	return p.wakeEvent(unix.EV_ADD|unix.EV_CLEAR, 0)
}

func (p *kqueue) sendWake() error {
	return p.wakeEvent(0, unix.NOTE_TRIGGER)
}

func (p *kqueue) wakeEvent(flags int, fflags uint32) error {
	var raw [1]unix.Kevent_t
	unix.SetKevent(&raw[0], 0, unix.EVFILT_USER, flags)
	raw[0].Fflags = fflags
	if _, err := unix.Kevent(p.kq, raw[:], nil, nil); err != nil && err != unix.EINTR {
		return fmt.Errorf("kevent EVFILT_USER on kqueue fd %d: %w", p.kq, err)
	}
	return nil
}

func (p *kqueue) isWake(raw *unix.Kevent_t) bool { return int(raw.Filter) == unix.EVFILT_USER }

func (p *kqueue) drainWake() error { return nil }

func (p *kqueue) closeWake() error { return nil }
