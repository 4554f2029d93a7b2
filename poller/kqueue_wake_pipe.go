//go:build netbsd || openbsd

package poller

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// kqueueWake is a pipe here: EVFILT_USER is missing before NetBSD 10 and from
// x/sys for both systems.
type kqueueWake struct{ pipe WakeFD }

func (w *kqueueWake) open(kq int) error {
	if err := w.pipe.Open("kqueue poller"); err != nil {
		return err
	}
	raw := [1]unix.Kevent_t{rawChange(change{fd: w.pipe.read, filter: filterRead})}
	if _, err := unix.Kevent(kq, raw[:], nil, nil); err != nil {
		return errors.Join(fmt.Errorf("kevent of the kqueue poller's pipe: %w", err), w.pipe.Close())
	}
	return nil
}

func (w *kqueueWake) send(int) error { return w.pipe.Send() }

// is reports whether raw is the wake-up.
func (w *kqueueWake) is(raw *unix.Kevent_t) bool {
	return int(raw.Filter) == unix.EVFILT_READ && int(raw.Ident) == w.pipe.read
}

func (w *kqueueWake) drain() error { return w.pipe.Drain() }

func (w *kqueueWake) close() error { return w.pipe.Close() }
