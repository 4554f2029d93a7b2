//go:build netbsd || openbsd

package poller

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// kqueueWake is a pipe here: EVFILT_USER is missing before NetBSD 10 and from
// x/sys for both systems.
type kqueueWake struct{ read, write int }

// wakeByte is what Wake writes.
var wakeByte = []byte{0}

func (p *kqueue) openWake() error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("pipe2 of the kqueue poller: %w", err)
	}
	p.wake = kqueueWake{read: fds[0], write: fds[1]}
	raw := [1]unix.Kevent_t{rawChange(change{fd: p.wake.read, filter: filterRead})}
	if _, err := unix.Kevent(p.kq, raw[:], nil, nil); err != nil {
		return errors.Join(fmt.Errorf("kevent of the kqueue poller's pipe: %w", err), p.closeWake())
	}
	return nil
}

func (p *kqueue) sendWake() error {
	_, err := unix.Write(p.wake.write, wakeByte)
	if err == nil || err == unix.EAGAIN { // full: it is readable, which is all that matters
		return nil
	}
	return fmt.Errorf("write to the kqueue poller's pipe fd %d: %w", p.wake.write, err)
}

func (p *kqueue) isWake(raw *unix.Kevent_t) bool {
	return int(raw.Filter) == unix.EVFILT_READ && int(raw.Ident) == p.wake.read
}

// drainWake takes the byte out. The pending flag keeps it from being many.
func (p *kqueue) drainWake() error {
	var scratch [16]byte
	_, err := unix.Read(p.wake.read, scratch[:])
	if err == nil || err == unix.EAGAIN || err == unix.EINTR {
		return nil
	}
	return fmt.Errorf("read from the kqueue poller's pipe fd %d: %w", p.wake.read, err)
}

func (p *kqueue) closeWake() error {
	return errors.Join(unix.Close(p.wake.read), unix.Close(p.wake.write))
}
