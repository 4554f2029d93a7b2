package reactor

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// lastBatches bounds the batches that are still accepted from listeners that are given up.
const lastBatches = model.AcceptLastMax / model.AcceptMax

// watchFails is the warning of a listener that the poller does not take.
const watchFails = "a listener cannot be watched: it is tried again, at least once a second"

// listener is a listening socket as its loop has it.
type listener struct {
	model.Listener
	model.AcceptPolicy
	watched bool // it is in the poller
}

// acceptor is a loop's listeners.
type acceptor struct {
	poller   poller.Poller
	warn     func(string, error)
	list     []listener    // a listener's token is its index here
	last     []listener    // accepted from until their queues are empty, and no more
	onEmpty  []func()      // to be called then
	resumeAt int64         // Clock.Mono when the first listener that rests is tried again; 0: none rests
	batches  int           // that are still accepted from last
	ending   bool          // the loop drains or hands over: when last is empty nothing more is accepted
	stopped  chan struct{} // closed when that is so
	reserve  model.Reserve
}

func (a *acceptor) init(p poller.Poller, warn func(string, error)) {
	a.poller, a.warn, a.batches = p, warn, lastBatches
	a.stopped = make(chan struct{})
	a.reserve.Refill()
}

// set makes these the listeners to accept from. They are not watched yet.
func (a *acceptor) set(listeners []model.Listener) {
	a.list = make([]listener, len(listeners))
	for i, li := range listeners {
		a.list[i].Listener = li
	}
}

// replace has the loop accept from these listeners, and calls onEmpty when the queues of those
// that are gone are empty. all: the queues of listeners that stay are emptied first too, since
// there may be events under their old tokens.
// A loop that ends takes no new ones.
func (a *acceptor) replace(listeners []model.Listener, all bool, now int64, onEmpty func()) {
	if a.ending {
		onEmpty()
		return
	}
	a.unwatchAll()
	for _, old := range a.list {
		if all || !slices.ContainsFunc(listeners, func(li model.Listener) bool { return li.FD == old.FD }) {
			a.last = append(a.last, old)
		}
	}
	a.batches = lastBatches
	a.onEmpty = append(a.onEmpty, onEmpty)
	a.set(listeners)
	a.watch(now)
}

// end has the loop accept what waits in its listeners' queues, and no more.
func (a *acceptor) end() {
	a.unwatchAll()
	a.last, a.list = append(a.last, a.list...), nil
	a.ending = true
}

// stop forgets the listeners: the loop accepts no more.
func (a *acceptor) stop() {
	a.unwatchAll()
	a.list, a.last, a.resumeAt, a.ending = nil, nil, 0, true
	a.emptied()
	select {
	case <-a.stopped:
	default:
		close(a.stopped)
	}
}

// emptied calls what waits until the queues of last are empty.
func (a *acceptor) emptied() {
	for _, f := range a.onEmpty {
		f()
	}
	a.onEmpty = nil
}

// pending reports whether there may be connections to be accepted now
// although their listener is not in the poller.
func (a *acceptor) pending() bool {
	return slices.ContainsFunc(a.last, func(li listener) bool { return !li.Paused() })
}

// rest leaves a listener alone for a while after an error.
func (a *acceptor) rest(li *listener, what string, err error, now int64) {
	a.warn(what, err)
	a.unwatch(li)
	li.Fail(now)
	if a.resumeAt == 0 || li.Until < a.resumeAt {
		a.resumeAt = li.Until
	}
}

// resting is how many listeners are left alone after an error.
func (a *acceptor) resting() (n int) {
	for i := range a.list {
		if a.list[i].Paused() {
			n++
		}
	}
	return n
}

// resume goes on with those listeners that have rested for long enough.
func (a *acceptor) resume(now int64) {
	if a.resumeAt == 0 || now < a.resumeAt {
		return
	}
	a.reserve.Refill()
	a.resumeAt = 0
	for _, list := range [...][]listener{a.list, a.last} {
		for i := range list {
			b := &list[i]
			if !b.Resume(now) && b.Paused() && (a.resumeAt == 0 || b.Until < a.resumeAt) {
				a.resumeAt = b.Until
			}
		}
	}
	a.watch(now)
}

// watch has the poller report the listeners that do not rest.
func (a *acceptor) watch(now int64) {
	for i := range a.list {
		li := &a.list[i]
		if li.watched || li.Paused() {
			continue
		}
		flags := poller.ForceLevel
		if li.Shared {
			flags |= poller.Exclusive
		}
		err := a.poller.Add(li.FD, poller.Token(i), poller.Readable, flags)
		if li.watched = err == nil; li.watched {
			continue
		}
		li.watched = errors.Is(err, unix.EEXIST) // it could not be removed the last time
		a.rest(li, watchFails, err, now)
	}
}

// unwatch takes a listener out of the poller. If that fails it is watched still, and its events are passed over.
func (a *acceptor) unwatch(li *listener) {
	if !li.watched {
		return
	}
	if err := a.poller.Remove(li.FD); err != nil {
		a.warn("removing a listener from the poller", err)
		return
	}
	li.watched = false
}

// unwatchAll takes the listeners out of the poller.
func (a *acceptor) unwatchAll() {
	for i := range a.list {
		a.unwatch(&a.list[i])
	}
}

// ready returns the listener of that token, if it is accepted from: it may have been paused since its event.
func (a *acceptor) ready(token poller.Token) *listener {
	if int(token) < len(a.list) {
		if li := &a.list[token]; li.watched && !li.Paused() {
			return li
		}
	}
	return nil
}

// acceptLast takes what waits in the queues of listeners that are given up,
// since the kernel has promised it to be served: a batch at a time, until the queues are empty.
func (l *Loop) acceptLast() {
	a := &l.acceptor
	if len(a.last) == 0 && len(a.onEmpty) == 0 && !a.ending {
		return
	}
	left := a.last[:0]
	for i := range a.last {
		li := a.last[i]
		if !li.Paused() {
			a.batches--
			if a.batches < 0 || !l.accept(&li) && !li.Paused() {
				continue
			}
		}
		left = append(left, li)
	}
	a.last = left
	switch {
	case len(a.last) > 0:
	case a.ending:
		a.stop()
	default:
		a.emptied()
	}
}

// allReady has a connection's first turn try everything.
const allReady = poller.Readable | poller.Writable

// accept takes a bounded batch of connections from a listener and steps each
// at once: with TCP_DEFER_ACCEPT the request is there already. It reports
// whether there may be more.
func (l *Loop) accept(li *listener) bool {
	for range model.AcceptMax {
		fd, remote, err := l.acceptFrom(li.FD)
		action := li.After(err)
		if action.Failed() {
			l.local.Counters.AcceptErrors++
		}
		switch action {
		case model.AcceptServe:
			l.begin(fd, remote, !l.opts.Admit(l.opts.Connections, l.evict))
		case model.AcceptEmpty:
			return false
		case model.AcceptStarved:
			if !l.starved(li, err) {
				return false
			}
		case model.AcceptRest:
			l.acceptor.rest(li, model.WarnAccept, err, l.local.Clock.Mono)
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

// evict closes the connection that can best be spared: the oldest of the first phase in the order of eviction that has
// one to spare. It reports false if there is none.
func (l *Loop) evict() bool {
	for _, phase := range model.EvictionOrder {
		s := l.timers.oldest(&l.slab, phase)
		if s != nil && model.Evictable(phase, s.since, l.local.Clock.Mono) {
			l.local.Counters.Evicted++
			l.close(s)
			return true
		}
	}
	return false
}

// starved is called when accept fails for want of a descriptor, which it does
// with an empty queue too: the reserve is given up to see. The client that waits takes the
// place of an idle connection, or gets a 503 if there is none, and then
// accepting pauses. It reports whether accepting may go on.
func (l *Loop) starved(li *listener, err error) bool {
	reserve := &l.acceptor.reserve
	if !reserve.Held() && l.spare() {
		reserve.Refill()
	}
	if reserve.Yield() {
		fd, remote, err := l.acceptFrom(li.FD)
		switch {
		case err == unix.EAGAIN:
			reserve.Refill()
			return false
		case err == nil && l.spare():
			l.begin(fd, remote, !l.opts.Admit(l.opts.Connections, l.evict))
			reserve.Refill()
			return true
		case err == nil:
			l.opts.Open.Add(1)
			l.begin(fd, remote, true)
		}
	}
	l.acceptor.rest(li, model.WarnStarved, err, l.local.Clock.Mono)
	return false
}

// spare frees a descriptor: those of connections that ended in this batch, or
// that of an idle one. It reports false when none can be spared. Closing before the
// batch is done harms nobody here: they are out of the poller, and tokens tell old from new.
func (l *Loop) spare() bool {
	if len(l.batch.closing) == 0 {
		if !l.evict() {
			return false
		}
		l.opts.Warn(model.WarnTooMany, nil)
	}
	l.closeBatch()
	return true
}
