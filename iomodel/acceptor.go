package iomodel

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/socket"
)

const (
	// roomEvery is how often an acceptor that waits for room looks whether somebody has become idle.
	roomEvery = 100 * time.Millisecond
)

// acceptor takes connections from listeners with poll(2) and accept(2), on a
// thread of its own. The listeners are not its own: it neither changes nor closes them.
type acceptor struct {
	server   *ownedServer
	list     []accepted
	fds      []unix.PollFd // of a round: the waker's, then those of list that are accepted from
	blocking bool          // accepted connections are made blocking
	calls    socket.Calls
	count    conn.Counters // since the last account
	begin    func(arrival) // takes over a connection that has been counted
	// full reports that nothing can be begun now; whoever changes that calls roomMade. It may be nil.
	full    func() bool
	stuck   atomic.Bool              // the acceptor waits for room
	next    atomic.Pointer[relisten] // what SetListeners asks for
	ended   chan struct{}            // closed at the end of run
	pulse   model.Pulse
	reserve model.Reserve
	polling model.Backoff // after an error of poll
	waker   poller.Waker
}

// accepted is a listener as its acceptor has it.
type accepted struct {
	fd int
	model.AcceptPolicy
}

// acceptingServer is an ownedServer for which an acceptor accepts.
type acceptingServer struct {
	*ownedServer
	acceptor *acceptor
}

// accept starts a, which knows how connections are begun, with these listeners. The server's stop ends it.
func (s *acceptingServer) accept(a *acceptor, listeners [][]model.Listener) error {
	a.server, a.ended = s.ownedServer, make(chan struct{})
	a.calls.Init()
	if err := a.waker.Open("acceptor"); err != nil {
		s.share.Leave()
		return fmt.Errorf("iomodel: %w", err)
	}
	a.set(descriptors(listeners))
	a.reserve.Refill()
	s.acceptor, s.stop = a, a.wake
	s.pinged = []model.Pinged{{Name: "the acceptor", Pulse: &a.pulse, Nudge: a.wake}}
	s.accepting.Add(1)
	s.all.Add(1)
	go func() {
		defer s.all.Done()
		defer s.accepting.Done()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		a.run()
	}()
	return nil
}

// Wait implements [Server].
func (s *acceptingServer) Wait() model.Ended {
	ended := s.ownedServer.Wait()
	if err := s.acceptor.waker.Close(); err != nil {
		s.opts.Warn("closing the acceptor", err)
	}
	return ended
}

// SetListeners implements [Server].
func (s *acceptingServer) SetListeners(listeners [][]model.Listener) error {
	s.acceptor.listen(descriptors(listeners))
	return nil
}

// wake ends the acceptor's wait, from any goroutine.
func (a *acceptor) wake() { _ = a.waker.Wake() } // failing, the wait ends in a second

// roomMade is called when something can be begun again.
func (a *acceptor) roomMade() {
	if a.stuck.CompareAndSwap(true, false) {
		a.wake()
	}
}

// run accepts until the server drains or hands over, and then what still waits in the queues.
func (a *acceptor) run() {
	defer close(a.ended)
	defer a.pulse.End()
	for !a.server.ending() {
		a.pulse.Beat()
		a.round()
		a.relisten()
	}
	for i := range a.list {
		a.last(&a.list[i])
	}
	a.server.resting.Store(0)
	a.account()
	a.reserve.Yield()
}

// relisten is what SetListeners asks of an acceptor.
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

// set makes these the listeners to accept from.
func (a *acceptor) set(listeners []int) {
	a.list = nil
	for _, fd := range listeners {
		a.list = append(a.list, accepted{fd: fd})
	}
}

// account moves to the server what has been counted.
func (a *acceptor) account() {
	a.server.addCounters(&a.count)
	a.count = conn.Counters{}
}

// round waits for connections once and begins them.
func (a *acceptor) round() {
	defer a.account()
	timeout := a.gather(clock.Mono())
	n, err := a.poll(a.fds, timeout)
	if err != nil {
		a.server.opts.Warn("waiting for connections fails: it is tried again, at least once a second", err)
		a.polling.Fail(clock.Mono())
		return
	}
	a.polling.Succeed()
	if n == 0 {
		return
	}
	if a.fds[0].Revents != 0 {
		_ = a.waker.Woken() // failing, the next wait ends at once
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
	if a.polling.Paused() {
		time.Sleep(time.Duration(a.polling.Until - now))
		a.polling.Until = 0
	}
	timeout = poller.WaitMax
	a.fds = append(a.fds[:0], unix.PollFd{Fd: int32(a.waker.FD()), Events: unix.POLLIN})
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
	a.server.resting.Store(int64(resting))
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

// awaitRoom waits until a connection that is to be accepted can be begun, and closes an idle one for it. Busy
// connections learn from the server (crowded) that each answer is to be their last.
func (a *acceptor) awaitRoom() {
	a.server.evict()
	a.stuck.Store(true)
	defer a.stuck.Store(false)
	if !a.full() {
		return
	}
	// A connection that is not idle now may be in a while, without telling.
	if n, err := a.poll(a.fds[:1], roomEvery); n > 0 && err == nil {
		_ = a.waker.Woken() // failing, the next wait ends at once
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
			a.begin(arrival{fd: fd, remote: remote, refuse: !a.server.admit()})
			return true
		case model.AcceptEmpty:
			return false
		case model.AcceptStarved:
			if a.reserve.Yield() {
				if fd, remote, err := a.accept(l.fd); err == nil {
					a.server.open.Add(1)
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
	a.server.opts.Warn(what, err)
	l.Fail(clock.Mono())
}

// last takes what waits in a listener's queue at the end, since the kernel has
// promised it to be served.
func (a *acceptor) last(l *accepted) {
	for range model.AcceptLastMax {
		if !l.Paused() && a.one(l) {
			continue
		}
		if !l.Paused() || a.server.graceOver() {
			return
		}
		time.Sleep(time.Duration(l.Until - clock.Mono()))
		l.Until = 0
		a.reserve.Refill()
	}
}
