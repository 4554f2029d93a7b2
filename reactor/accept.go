package reactor

import (
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
)

const (
	// acceptMax bounds one batch of new connections, each of which is also
	// stepped, so that those that are open already keep their turn. Options.AcceptBatch replaces it.
	acceptMax = 64
	// lastMax bounds the batches that are still accepted from listeners that are given up:
	// more than queues hold, so that only a flood that does not end meets it.
	lastMax = 1024
	// Out of descriptors, accepting pauses for this long, doubling.
	backoffMin = 10 * time.Millisecond
	backoffMax = time.Second
	// silentMin is how long a connection that has not sent its first byte
	// is not taken for idle: the request may be on its way.
	silentMin = time.Second
)

// tooMany is the warning of [Options.Connections].
const tooMany = "too many connections: idle ones are closed, others get 503 (limits.connections)"

// Listener is a listening socket that a loop accepts from. It is non-blocking
// and belongs to who opened it; a loop never closes it.
type Listener struct {
	FD     int
	Shared bool // other loops accept from it too
}

// acceptor is a loop's accepting side.
type acceptor struct {
	list    []Listener // a listener's token is its index here; FD -1: it is broken
	last    []Listener // accepted from until their queues are empty, and no more
	emptied []func()   // to be called then
	active  bool       // they are in the poller
	againAt int64      // Clock.Mono when accepting goes on; 0: it is not paused
	backoff time.Duration
	batches int           // that are still accepted from last
	stopped chan struct{} // closed when the loop accepts no more
	// reserve is a descriptor held back, given up to tell one more client
	// that there are no more; -1: it is given up.
	reserve int
	warn    func(string, error)
}

func (a *acceptor) init(warn func(string, error)) {
	a.warn, a.backoff, a.batches = warn, backoffMin, lastMax
	a.stopped = make(chan struct{})
	a.reserve = -1
	a.refill()
}

// refill takes a descriptor into reserve. If there is none it is tried again
// when accepting goes on after a pause.
func (a *acceptor) refill() {
	if a.reserve >= 0 {
		return
	}
	if fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		a.reserve = fd
	}
}

// yieldReserve closes the reserve. It reports false if it is given up already.
func (a *acceptor) yieldReserve() bool {
	if a.reserve < 0 {
		return false
	}
	if err := unix.Close(a.reserve); err != nil {
		a.warn("closing the reserved descriptor", err)
	}
	a.reserve = -1
	return true
}

// stop forgets the listeners: the loop accepts no more.
func (a *acceptor) stop() {
	a.list, a.last, a.againAt = nil, nil, 0
	a.tell()
	select {
	case <-a.stopped:
	default:
		close(a.stopped)
	}
}

// tell lets those know who wait until the queues of last are empty.
func (a *acceptor) tell() {
	for _, emptied := range a.emptied {
		emptied()
	}
	a.emptied = nil
}

// accepting reports whether there may be connections to be accepted now
// although their listener is not in the poller.
func (a *acceptor) accepting() bool { return a.againAt == 0 && len(a.last) > 0 }

// listen starts accepting, at first or after a pause.
func (l *Loop) listen() {
	a := &l.listeners
	a.againAt = 0
	a.refill()
	if a.active || l.draining || l.heir != nil {
		return
	}
	a.active = true
	for i, li := range a.list {
		if li.FD < 0 {
			continue
		}
		flags := poller.ForceLevel
		if li.Shared {
			flags |= poller.Exclusive
		}
		if err := l.poller.Add(li.FD, poller.Token(i), poller.Readable, flags); err != nil {
			a.warn("watching a listener", err)
		}
	}
}

// pause takes the listeners out of the poller.
func (l *Loop) pause() {
	a := &l.listeners
	if !a.active {
		return
	}
	a.active = false
	for _, li := range a.list {
		l.unwatch(li)
	}
}

// unwatch takes one listener out of the poller.
func (l *Loop) unwatch(li Listener) {
	if li.FD < 0 {
		return
	}
	if err := l.poller.Remove(li.FD); err != nil {
		l.opts.Warn("removing a listener from the poller", err)
	}
}

// abandon gives up a listener that will never accept again, so that it does not
// hold up the others.
func (l *Loop) abandon(listener int, err error) {
	a := &l.listeners
	a.warn("a listener is broken and left out", fmt.Errorf("accept on descriptor %d: %w", listener, err))
	for i, li := range a.list {
		if li.FD != listener {
			continue
		}
		if a.active {
			l.unwatch(li)
		}
		a.list[i].FD = -1
	}
}

// leaveListeners has the loop accept what waits in its listeners' queues, and no more.
func (l *Loop) leaveListeners() {
	a := &l.listeners
	l.pause()
	a.last, a.list = append(a.last, a.list...), nil
}

// acceptLast takes what waits in the queues of listeners that are given up,
// since the kernel has promised it to be served: a batch at a time, until the queues are empty.
func (l *Loop) acceptLast() {
	a := &l.listeners
	if len(a.last) == 0 && len(a.emptied) == 0 && !l.draining && l.heir == nil {
		return
	}
	a.last = slices.DeleteFunc(a.last, func(li Listener) bool {
		if a.againAt != 0 {
			return false
		}
		a.batches--
		return a.batches < 0 || li.FD < 0 || !l.accept(li.FD) && a.againAt == 0
	})
	switch {
	case len(a.last) > 0:
	case l.draining || l.heir != nil:
		a.stop()
	default:
		a.tell()
	}
}

// acceptBatch is the bound on one batch of new connections.
func (o *Options) acceptBatch() int {
	switch {
	case o.AcceptBatch == 0:
		return acceptMax
	case o.AcceptBatch < 0:
		return math.MaxInt
	default:
		return o.AcceptBatch
	}
}

// allReady has a connection's first turn try everything.
const allReady = poller.Readable | poller.Writable

// accept takes a bounded batch of connections from a listener and steps each
// at once: with TCP_DEFER_ACCEPT the request is there already. It reports
// whether there may be more.
func (l *Loop) accept(listener int) bool {
	a := &l.listeners
	for range l.opts.acceptBatch() {
		fd, remote, err := l.acceptFrom(listener)
		switch {
		case err == nil:
			a.backoff = backoffMin
			l.begin(fd, remote, !l.admit())
			continue
		case err == unix.EAGAIN:
			return false
		}
		l.local.Counters.AcceptErrors++
		switch {
		case outOfResources(err):
			if !l.starved(listener, err) {
				return false
			}
		case err == unix.EBADF, err == unix.EINVAL, err == unix.ENOTSOCK, err == unix.EOPNOTSUPP:
			l.abandon(listener, err)
			return false
		}
		// Anything else was the new connection's own trouble: it is gone (accept(2)).
	}
	return true
}

// begin starts a connection and gives it its first turn. refuse: it gets a 503.
func (l *Loop) begin(fd int, remote conn.Addr, refuse bool) {
	s := l.slab.take()
	s.fd = int32(fd)
	s.ready = allReady
	l.local.Counters.Accepted++
	if refuse {
		l.local.Counters.Refused++
	}
	s.conn.Start(l.local, remote, refuse)
	l.step(s)
	l.local.Alone = false // the next of the batch is not
}

// admit counts a new connection. Beyond the limit, idle ones are closed, the
// oldest first; it reports false when there are none left and the new one is too many.
func (l *Loop) admit() bool {
	limit := int64(l.opts.Connections)
	if l.open.Add(1) <= limit || limit == 0 {
		return true
	}
	l.opts.Warn(tooMany, nil)
	for l.open.Load() > limit {
		s := l.idlest()
		if s == nil {
			return false
		}
		l.local.Counters.Evicted++
		l.close(s)
	}
	return true
}

// idlest returns the connection that can best be spared: the one idle for
// longest, then the one that has been silent for longest since it came.
func (l *Loop) idlest() *slot {
	if s := l.timers.oldest(&l.slab, conn.PhaseIdle); s != nil {
		return s
	}
	s := l.timers.oldest(&l.slab, conn.PhaseFirstByte)
	if s == nil || l.local.Clock.Mono-s.since < int64(silentMin) {
		return nil
	}
	return s
}

// starved is called when accept fails for want of a descriptor, which it does
// with an empty queue too: the reserve is given up to see. Who waits takes the
// place of an idle connection, or gets a 503 if there is none, and then
// accepting pauses. It reports whether accepting may go on.
func (l *Loop) starved(listener int, err error) bool {
	a := &l.listeners
	if a.reserve < 0 && l.spare() {
		a.refill()
	}
	if a.yieldReserve() {
		fd, remote, err := l.acceptFrom(listener)
		switch {
		case err == unix.EAGAIN:
			a.refill()
			return false
		case err == nil && l.spare():
			l.begin(fd, remote, !l.admit())
			a.refill()
			return true
		case err == nil:
			l.open.Add(1)
			l.begin(fd, remote, true)
		}
	}
	a.warn("out of descriptors: accepting pauses (raise LimitNOFILE= or ulimit -n)", err)
	l.retryLater()
	return false
}

// spare frees a descriptor: those of connections that ended in this batch, or
// that of an idle one. It reports false when none can be spared. Closing before the
// batch is done harms nobody here: they are out of the poller, and tokens tell old from new.
func (l *Loop) spare() bool {
	if len(l.closing) == 0 {
		s := l.idlest()
		if s == nil {
			return false
		}
		l.opts.Warn(tooMany, nil)
		l.local.Counters.Evicted++
		l.close(s)
	}
	l.closeBatch()
	return true
}

// retryLater pauses accepting for a while.
func (l *Loop) retryLater() {
	a := &l.listeners
	l.pause()
	a.againAt = l.local.Clock.Mono + int64(a.backoff)
	a.backoff = min(2*a.backoff, backoffMax)
}

// outOfResources reports whether accept failed for want of something that
// others give back.
func outOfResources(err error) bool {
	return err == unix.EMFILE || err == unix.ENFILE || err == unix.ENOBUFS || err == unix.ENOMEM
}
