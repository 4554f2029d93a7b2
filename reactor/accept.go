package reactor

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/socket"
)

const (
	// acceptMax bounds one batch of new connections, each of which is also
	// stepped, so that those that are open already keep their turn.
	acceptMax = 64
	// lastMax bounds the batches that are still accepted from listeners that are given up:
	// more than queues hold, so that only a flood that does not end meets it.
	lastMax = 1024
	// silentMin is how long a connection that has not sent its first byte
	// is not taken for idle: the request may be on its way.
	silentMin = time.Second
)

// tooMany is the warning of [model.Options.Connections].
const tooMany = "too many connections: idle ones are closed, others get 503 (limits.connections)"

// What an operator is told of accepting. The cause is the error beside it.
const (
	outOfDescriptors = "out of descriptors: accepting pauses (raise LimitNOFILE= or ulimit -n)"
	acceptFails      = "accepting fails: it is tried again, at least once a second"
	watchFails       = "a listener cannot be watched: it is tried again, at least once a second"
)

// accepted is a listener as its loop has it.
type accepted struct {
	model.Listener
	watched bool          // it is in the poller
	backoff model.Backoff // after an error of watching it or of accepting from it
}

// acceptor is a loop's accepting side.
type acceptor struct {
	list    []accepted    // a listener's token is its index here
	last    []accepted    // accepted from until their queues are empty, and no more
	emptied []func()      // to be called then
	againAt int64         // Clock.Mono when the first of those that are put off is tried again; 0: none is
	batches int           // that are still accepted from last
	stopped chan struct{} // closed when the loop accepts no more
	// reserve is a descriptor held back, given up to tell one more client
	// that there are no more; -1: it is given up.
	reserve int
	warn    func(string, error)
}

func (a *acceptor) init(warn func(string, error)) {
	a.warn, a.batches = warn, lastMax
	a.stopped = make(chan struct{})
	a.reserve = -1
	a.refill()
}

// set makes these the listeners to accept from. They are not watched yet.
func (a *acceptor) set(listeners []model.Listener) {
	a.list = make([]accepted, len(listeners))
	for i, li := range listeners {
		a.list[i].Listener = li
	}
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
func (a *acceptor) accepting() bool {
	return slices.ContainsFunc(a.last, func(li accepted) bool { return !li.backoff.Off() })
}

// putOff has a listener left alone for a while.
func (a *acceptor) putOff(li *accepted, now int64) {
	li.backoff.Fail(now)
	if until := li.backoff.Until; a.againAt == 0 || until < a.againAt {
		a.againAt = until
	}
}

// resting is how many listeners are left alone after an error.
func (a *acceptor) resting() (n int) {
	for i := range a.list {
		if a.list[i].backoff.Off() {
			n++
		}
	}
	return n
}

// resume goes on with those listeners that were left alone for long enough.
func (l *Loop) resume(now int64) {
	a := &l.listeners
	a.refill()
	a.againAt = 0
	for _, list := range [...][]accepted{a.list, a.last} {
		for i := range list {
			b := &list[i].backoff
			if !b.Resume(now) && b.Off() && (a.againAt == 0 || b.Until < a.againAt) {
				a.againAt = b.Until
			}
		}
	}
	l.listen()
}

// listen watches the listeners that are to be.
func (l *Loop) listen() {
	a := &l.listeners
	if l.draining || l.heir != nil {
		return
	}
	for i := range a.list {
		li := &a.list[i]
		if li.watched || li.backoff.Off() {
			continue
		}
		flags := poller.ForceLevel
		if li.Shared {
			flags |= poller.Exclusive
		}
		if err := l.poller.Add(li.FD, poller.Token(i), poller.Readable, flags); err != nil {
			if errors.Is(err, unix.EEXIST) { // it could not be removed the last time
				l.unwatch(&accepted{Listener: li.Listener, watched: true})
			}
			a.warn(watchFails, err)
			a.putOff(li, l.local.Clock.Mono)
			continue
		}
		li.watched = true
	}
}

// rest leaves a listener alone for a while after an error, so that it neither keeps the loop busy
// nor holds up the others.
func (l *Loop) rest(li *accepted, what string, err error) {
	l.listeners.warn(what, err)
	l.unwatch(li)
	l.listeners.putOff(li, l.local.Clock.Mono)
}

// unwatch takes a listener out of the poller. If that fails it is watched still, and its events are passed over.
func (l *Loop) unwatch(li *accepted) {
	if !li.watched {
		return
	}
	if err := l.poller.Remove(li.FD); err != nil {
		l.opts.Warn("removing a listener from the poller", err)
		return
	}
	li.watched = false
}

// unwatchAll takes the listeners out of the poller.
func (l *Loop) unwatchAll() {
	for i := range l.listeners.list {
		l.unwatch(&l.listeners.list[i])
	}
}

// leaveListeners has the loop accept what waits in its listeners' queues, and no more.
func (l *Loop) leaveListeners() {
	a := &l.listeners
	l.unwatchAll()
	a.last, a.list = append(a.last, a.list...), nil
}

// acceptLast takes what waits in the queues of listeners that are given up,
// since the kernel has promised it to be served: a batch at a time, until the queues are empty.
func (l *Loop) acceptLast() {
	a := &l.listeners
	if len(a.last) == 0 && len(a.emptied) == 0 && !l.draining && l.heir == nil {
		return
	}
	left := a.last[:0]
	for i := range a.last {
		li := a.last[i]
		if !li.backoff.Off() {
			a.batches--
			if a.batches < 0 || !l.accept(&li) && !li.backoff.Off() {
				continue
			}
		}
		left = append(left, li)
	}
	a.last = left
	switch {
	case len(a.last) > 0:
	case l.draining || l.heir != nil:
		a.stop()
	default:
		a.tell()
	}
}

// allReady has a connection's first turn try everything.
const allReady = poller.Readable | poller.Writable

// accept takes a bounded batch of connections from a listener and steps each
// at once: with TCP_DEFER_ACCEPT the request is there already. It reports
// whether there may be more.
func (l *Loop) accept(li *accepted) bool {
	failed := 0
	for range acceptMax {
		fd, remote, err := l.acceptFrom(li.FD)
		switch {
		case err == nil:
			li.backoff.Succeed()
			l.begin(fd, remote, !l.admit())
			continue
		case err == unix.EAGAIN:
			return false
		}
		l.local.Counters.AcceptErrors++
		switch {
		case socket.Starved(err):
			if !l.starved(li, err) {
				return false
			}
		case socket.Gone(err) && failed < acceptMax:
			failed++
		default:
			l.rest(li, acceptFails, err)
			return false
		}
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
	if l.opts.Open.Add(1) <= limit || limit == 0 {
		return true
	}
	l.opts.Warn(tooMany, nil)
	for l.opts.Open.Load() > limit {
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
func (l *Loop) starved(li *accepted, err error) bool {
	a := &l.listeners
	if a.reserve < 0 && l.spare() {
		a.refill()
	}
	if a.yieldReserve() {
		fd, remote, err := l.acceptFrom(li.FD)
		switch {
		case err == unix.EAGAIN:
			a.refill()
			return false
		case err == nil && l.spare():
			l.begin(fd, remote, !l.admit())
			a.refill()
			return true
		case err == nil:
			l.opts.Open.Add(1)
			l.begin(fd, remote, true)
		}
	}
	l.rest(li, outOfDescriptors, err)
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
