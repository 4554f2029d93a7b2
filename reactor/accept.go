package reactor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
)

const (
	// acceptMax bounds one batch of new connections, each of which is also
	// stepped, so that those that are open already keep their turn.
	acceptMax = 64
	// Out of descriptors, accepting pauses for this long, doubling.
	backoffMin = 10 * time.Millisecond
	backoffMax = time.Second
)

// Listener is a listening socket that a loop accepts from. It is non-blocking
// and belongs to who opened it; a loop never closes it.
type Listener struct {
	FD     int
	Shared bool // other loops accept from it too
}

// acceptor is a loop's accepting side.
type acceptor struct {
	list    []Listener // a listener's token is its index here
	active  bool       // they are in the poller
	againAt int64      // Clock.Mono when accepting goes on; 0: it is not paused
	backoff time.Duration
	// reserve is a descriptor held back, given up to tell one more client
	// that there are no more.
	reserve *os.File
	warn    func(string, error)
}

func (a *acceptor) init(warn func(string, error)) {
	a.warn, a.backoff = warn, backoffMin
	a.refill()
}

func (a *acceptor) refill() {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return // tried again after the next batch that accepts
	}
	a.reserve = f
}

func (a *acceptor) close() {
	if a.reserve != nil {
		a.reserve.Close()
	}
}

// listen starts accepting, at first or after a pause.
func (l *Loop) listen() {
	a := &l.listeners
	a.againAt = 0
	if a.active || l.draining {
		return
	}
	a.active = true
	for i, li := range a.list {
		flags := poller.ForceLevel
		if li.Shared {
			flags |= poller.Exclusive
		}
		if err := l.poller.Add(li.FD, poller.Token(i), poller.Readable, flags); err != nil {
			a.warn("watching a listener", err)
		}
	}
}

// unlisten stops accepting. What waits in the queues is accepted first: it was promised.
func (l *Loop) unlisten() {
	a := &l.listeners
	if a.active {
		for i := range a.list {
			for l.accept(uint32(i)) {
			}
		}
	}
	l.pause()
	a.list, a.againAt = nil, 0
}

// pause takes the listeners out of the poller.
func (l *Loop) pause() {
	a := &l.listeners
	if !a.active {
		return
	}
	a.active = false
	for _, li := range a.list {
		if err := l.poller.Remove(li.FD); err != nil {
			a.warn("removing a listener from the poller", err)
		}
	}
}

// accept takes a bounded batch of connections from a listener and steps each
// at once: with TCP_DEFER_ACCEPT the request is there already. It reports
// whether there may be more.
func (l *Loop) accept(index uint32) bool {
	a := &l.listeners
	if int(index) >= len(a.list) || !a.active {
		return false // paused or drained earlier in this batch
	}
	fd := a.list[index].FD
	for range acceptMax {
		nfd, remote, err := l.transport.accept(fd)
		switch {
		case err == nil:
			a.backoff = backoffMin
			l.serve(nfd, remote)
		case err == unix.EAGAIN:
			return false
		case outOfResources(err):
			l.starved(fd, err)
			return false
		case errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSOCK):
			a.warn("accepting", fmt.Errorf("accept on descriptor %d: %w", fd, err))
			l.retryLater()
			return false
		}
		// Anything else was the new connection's own trouble: it is gone (accept(2)).
	}
	if a.reserve == nil {
		a.refill()
	}
	return true
}

// serve begins a connection.
func (l *Loop) serve(fd int, remote conn.Addr) *slot {
	refuse := false
	if limit := l.opts.Connections; l.open.Add(1) > int64(limit) && limit > 0 {
		if idle := l.timers.oldest(&l.slab, conn.PhaseIdle); idle != nil {
			l.close(idle)
		} else {
			refuse = true
		}
		l.opts.Warn("too many connections: idle ones are closed, others get 503 (limits.connections)", nil)
	}
	s := l.slab.take()
	s.fd = int32(fd)
	s.ready = poller.Readable | poller.Writable
	s.conn.Start(l.local, remote, refuse)
	l.step(s)
	l.local.Alone = false // the next of the batch is not
	return s
}

// starved is called when there are no descriptors left: the reserve serves one
// client a 503, and accepting pauses.
func (l *Loop) starved(listener int, err error) {
	a := &l.listeners
	a.warn("out of descriptors: accepting pauses (raise LimitNOFILE= or ulimit -n)", err)
	if a.reserve != nil {
		a.reserve.Close()
		a.reserve = nil
		if fd, remote, err := l.transport.accept(listener); err == nil {
			l.open.Add(1)
			s := l.slab.take()
			s.fd = int32(fd)
			s.ready = poller.Readable | poller.Writable
			s.conn.Start(l.local, remote, true)
			l.step(s)
			if s.live && s.fd == int32(fd) {
				l.close(s)
			}
			l.closeBatch()
		}
		a.refill()
	}
	l.retryLater()
}

// retryLater pauses accepting for a while.
func (l *Loop) retryLater() {
	a := &l.listeners
	l.pause()
	a.againAt = l.local.Clock.Mono + int64(a.backoff)
	a.backoff = min(2*a.backoff, backoffMax)
}

// outOfResources reports whether accept failed for want of something that is
// freed by others.
func outOfResources(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}
