package iomodel

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/socket"
)

const (
	// waitMax bounds a wait: garbage collection has been seen stuck behind
	// unbounded blocking system calls (golang/go#81759).
	waitMax = time.Second
	// roomEvery is how often an acceptor that waits for room looks whether somebody has become idle.
	roomEvery = 100 * time.Millisecond
)

// acceptor takes connections from listeners with poll(2) and accept(2), on a
// thread of its own. The listeners are not its own: it neither changes nor closes them.
type acceptor struct {
	crew     *crew
	list     []accepted
	pipe     int           // its end wakes the acceptor
	fds      []unix.PollFd // of a round: the pipe, then those of list that are accepted from
	wakeMu   sync.Mutex
	wakeEnd  int  // the pipe's other end; -1: closed
	blocking bool // what is accepted is
	calls    socket.Calls
	count    conn.Counters // since the last account
	// begin takes over a connection that has been counted.
	begin func(arrival)
	next  atomic.Pointer[relisten] // what Listen asks for
	// full reports that nothing can be begun now; whoever changes that calls
	// roomMade. It may be nil.
	full  func() bool
	stuck atomic.Bool   // it waits for room
	ended chan struct{} // closed at the end of run

	pulse   model.Pulse
	reserve model.Reserve
	waiting model.Backoff // after an error of poll
}

// accepted is a listener as its acceptor has it.
type accepted struct {
	fd int
	model.AcceptPolicy
}

// newAcceptor returns an acceptor for those listening sockets. The crew's stop ends it.
func newAcceptor(c *crew, listeners []int, blocking bool, begin func(arrival)) (*acceptor, error) {
	a := &acceptor{crew: c, blocking: blocking, begin: begin, ended: make(chan struct{})}
	a.calls.Init()
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return nil, fmt.Errorf("iomodel: a pipe to wake who accepts: %w", err)
	}
	for _, fd := range pipe {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			a.crew.opts.Warn("making a pipe non-blocking", err)
		}
	}
	a.set(listeners)
	a.pipe, a.wakeEnd = pipe[0], pipe[1]
	a.reserve.Refill()
	c.stop = a.wake
	c.pinged = []model.Pinged{{Name: "the acceptor", Pulse: &a.pulse, Nudge: a.wake}}
	return a, nil
}

// wake ends the acceptor's wait, from any goroutine.
func (a *acceptor) wake() {
	a.wakeMu.Lock()
	defer a.wakeMu.Unlock()
	if a.wakeEnd >= 0 {
		// The pipe being full, the acceptor wakes as well.
		_, _ = unix.Write(a.wakeEnd, []byte{0})
	}
}

// roomMade is called when something can be begun again.
func (a *acceptor) roomMade() {
	if a.stuck.CompareAndSwap(true, false) {
		a.wake()
	}
}

// run accepts until the crew drains or hands over, and then what still waits in the queues.
func (a *acceptor) run() {
	defer close(a.ended)
	defer a.pulse.End()
	for !a.crew.ending() {
		a.pulse.Beat()
		a.round()
		a.relisten()
	}
	for i := range a.list {
		a.last(&a.list[i])
	}
	a.crew.resting.Store(0)
	a.account()
	a.reserve.Yield()
}

// relisten is what Listen asks of an acceptor.
type relisten struct {
	fds  []int
	done chan struct{}
}

// listen replaces the listeners. It returns when the queues of those that are gone
// have been accepted, or when all are because accepting ends.
func (a *acceptor) listen(fds []int) {
	r := &relisten{fds, make(chan struct{})}
	a.next.Store(r)
	a.wake()
	select {
	case <-r.done:
	case <-a.ended:
	}
}

// relisten does what listen asked for.
func (a *acceptor) relisten() {
	r := a.next.Swap(nil)
	if r == nil {
		return
	}
	old := a.list
	a.set(r.fds)
	for i := range old {
		if !slices.Contains(r.fds, old[i].fd) {
			a.last(&old[i])
		}
	}
	close(r.done)
}

// close frees the acceptor after run. It does so once: whoever waits for the server's end
// comes by, and by the second time the pipe's numbers may be another's.
func (a *acceptor) close() {
	a.wakeMu.Lock()
	defer a.wakeMu.Unlock()
	if a.wakeEnd < 0 {
		return
	}
	for _, fd := range []int{a.wakeEnd, a.pipe} {
		if err := unix.Close(fd); err != nil {
			a.crew.opts.Warn("closing a pipe", err)
		}
	}
	a.wakeEnd = -1
}

// set makes these the listeners to accept from.
func (a *acceptor) set(listeners []int) {
	a.list = nil
	for _, fd := range listeners {
		a.list = append(a.list, accepted{fd: fd})
	}
}

// account moves to the crew what has been counted.
func (a *acceptor) account() {
	a.crew.tally(&a.count)
	a.count = conn.Counters{}
}

// round waits for connections once and begins them.
func (a *acceptor) round() {
	defer a.account()
	timeout := a.gather(clock.Mono())
	n, err := a.poll(a.fds, timeout)
	if err != nil {
		a.crew.opts.Warn("waiting for connections fails: it is tried again, at least once a second", err)
		a.waiting.Fail(clock.Mono())
		return
	}
	a.waiting.Succeed()
	if n == 0 {
		return
	}
	if a.fds[0].Revents != 0 {
		a.emptyPipe()
	}
	for _, ready := range a.fds[1:] {
		if ready.Revents == 0 {
			continue
		}
		i := slices.IndexFunc(a.list, func(l accepted) bool { return l.fd == int(ready.Fd) })
		if !a.take(&a.list[i]) {
			return
		}
	}
}

// gather has fds be those to wait for, without the listeners that are put off, and returns how long to wait. It
// rests first if poll has failed: nothing can wake it then.
func (a *acceptor) gather(now int64) (timeout time.Duration) {
	if a.waiting.Paused() {
		time.Sleep(time.Duration(a.waiting.Until - now))
		a.waiting.Until = 0
	}
	timeout = waitMax
	a.fds = append(a.fds[:0], unix.PollFd{Fd: int32(a.pipe), Events: unix.POLLIN})
	resting := 0
	for i := range a.list {
		l := &a.list[i]
		if l.Resume(now) {
			a.reserve.Refill()
		}
		if l.Paused() {
			resting++
			timeout = min(timeout, time.Duration(l.Until-now))
			continue
		}
		a.fds = append(a.fds, unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN})
	}
	a.crew.resting.Store(int64(resting))
	return timeout
}

// poll is poll(2); a signal ends it early. Less than a millisecond is one.
func poll(fds []unix.PollFd, timeout time.Duration) (int, error) {
	for i := range fds {
		fds[i].Revents = 0
	}
	n, err := unix.Poll(fds, int((timeout+time.Millisecond-1)/time.Millisecond))
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

func (a *acceptor) poll(fds []unix.PollFd, timeout time.Duration) (int, error) {
	a.count.Calls[conn.CallWait]++
	return poll(fds, timeout)
}

// accept is accept4(2).
func (a *acceptor) accept(listener int) (int, conn.Addr, error) {
	fd, remote, err := a.calls.Accept(listener, a.blocking)
	called(&a.count, conn.CallAccept, err)
	return fd, conn.AddrFrom(remote), err
}

// ready looks, without waiting, whether fd has one of events.
func ready(fd int, events int16) bool {
	n, err := poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 0)
	return n > 0 && err == nil
}

func (a *acceptor) emptyPipe() {
	var p [64]byte
	for {
		if n, err := unix.Read(a.pipe, p[:]); n < len(p) || err != nil {
			return
		}
	}
}

// take begins connections of a listener that has some. It reports false if the
// others are not to be looked at now.
func (a *acceptor) take(l *accepted) bool {
	for range model.AcceptMax {
		if a.full != nil && a.full() {
			a.count.Calls[conn.CallWait]++
			if ready(l.fd, unix.POLLIN) {
				a.awaitRoom()
			}
			return false
		}
		if !a.one(l) {
			return true
		}
	}
	return true
}

// awaitRoom waits, for a connection that is to be accepted, until it can be
// begun, making room by sparing who is idle. Those who are busy learn from the crew that each answer is to be their last.
func (a *acceptor) awaitRoom() {
	a.crew.spare()
	a.stuck.Store(true)
	defer a.stuck.Store(false)
	if !a.full() {
		return
	}
	// Who is not idle now may be in a while, without telling.
	if n, err := a.poll(a.fds[:1], roomEvery); n > 0 && err == nil {
		a.emptyPipe()
	}
}

// one accepts a connection. It reports whether there may be another.
func (a *acceptor) one(l *accepted) bool {
	for {
		fd, remote, err := a.accept(l.fd)
		action := l.After(err)
		if action.Failed() {
			a.count.AcceptErrors++
		}
		switch action {
		case model.AcceptServe:
			a.begin(arrival{fd: fd, remote: remote, refuse: !a.crew.admit()})
			return true
		case model.AcceptEmpty:
			return false
		case model.AcceptStarved:
			if a.reserve.Yield() {
				if fd, remote, err := a.accept(l.fd); err == nil {
					a.crew.open.Add(1)
					a.begin(arrival{fd: fd, remote: remote, refuse: true})
				}
			}
			a.rest(l, model.WarnStarved, err)
			return false
		case model.AcceptRest:
			a.rest(l, model.WarnAccept, err)
			return false
		}
	}
}

// rest leaves a listener alone for a while after an error.
func (a *acceptor) rest(l *accepted, what string, err error) {
	a.crew.opts.Warn(what, err)
	l.Fail(clock.Mono())
}

// last takes what waits in a listener's queue at the end, since the kernel has
// promised it to be served.
func (a *acceptor) last(l *accepted) {
	for range model.AcceptLastMax {
		if !l.Paused() && a.one(l) {
			continue
		}
		if !l.Paused() || a.crew.over.Load() {
			return
		}
		time.Sleep(time.Duration(l.Until - clock.Mono()))
		l.Until = 0
		a.reserve.Refill()
	}
}
