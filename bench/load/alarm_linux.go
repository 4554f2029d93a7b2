package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/poller"
)

// alarm ends a wait on time: epoll counts in milliseconds, requests are due in
// microseconds. It is a timerfd, edge-triggered: each time it goes off is an
// edge of its own, so it is never read.
type alarm struct {
	fd   int
	spec unix.ItimerSpec
}

func (a *alarm) open(p poller.Poller, token poller.Token) error {
	var err error
	if a.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("load: timerfd_create: %w", err)
	}
	if err := p.Add(a.fd, token, poller.Readable, 0); err != nil {
		return errors.Join(fmt.Errorf("load: %w", err), unix.Close(a.fd))
	}
	return nil
}

// set has the alarm go off after d, which is more than 0.
func (a *alarm) set(d time.Duration) error {
	a.spec.Value = unix.NsecToTimespec(int64(d))
	if err := unix.TimerfdSettime(a.fd, 0, &a.spec, nil); err != nil {
		return fmt.Errorf("load: timerfd_settime: %w", err)
	}
	return nil
}

func (a *alarm) close() error { return unix.Close(a.fd) }
