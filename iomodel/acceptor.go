package iomodel

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/socket"
	"github.com/evhttpd/evhttpd/reactor"
)

const (
	// acceptMax bounds the connections taken from one listener before the next
	// has its turn.
	acceptMax = 64
	// lastMax bounds what is still accepted from a listener at the end: more
	// than a queue holds, so that only a flood that does not end meets it.
	lastMax = 64 << 10
	// Out of descriptors, accepting pauses for this long, doubling.
	backoffMin = 10 * time.Millisecond
	backoffMax = time.Second
	// waitMax bounds a wait: garbage collection has been seen stuck behind
	// unbounded blocking system calls (golang/go#81759).
	waitMax = time.Second
)

// reserve is a descriptor held back, given up to tell one more client that
// there are no more.
type reserve struct{ fd int }

func newReserve() reserve {
	r := reserve{-1}
	r.refill()
	return r
}

// refill takes a descriptor again. If there is none, it is tried the next time.
func (r *reserve) refill() {
	if r.fd >= 0 {
		return
	}
	if fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		r.fd = fd
	}
}

// yield gives the descriptor up. It reports false if there is none.
func (r *reserve) yield() bool {
	if r.fd < 0 {
		return false
	}
	_ = unix.Close(r.fd) // of /dev/null: it is free whatever close says
	r.fd = -1
	return true
}

// acceptor takes connections from listeners with poll(2) and accept(2), on a
// thread of its own. The listeners are not its own: it neither changes nor closes them.
type acceptor struct {
	crew     *crew
	fds      []unix.PollFd // the listeners, then the end of a pipe that wakes it
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

	pulse   reactor.Pulse
	reserve reserve
	backoff time.Duration
	againAt time.Time // out of descriptors, until then
}

// newAcceptor returns an acceptor for those listening sockets. The crew's stop ends it.
func newAcceptor(c *crew, listeners []int, blocking bool, begin func(arrival)) (*acceptor, error) {
	a := &acceptor{crew: c, blocking: blocking, begin: begin, backoff: backoffMin, ended: make(chan struct{})}
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
	for _, fd := range listeners {
		a.fds = append(a.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	a.fds = append(a.fds, unix.PollFd{Fd: int32(pipe[0]), Events: unix.POLLIN})
	a.wakeEnd = pipe[1]
	a.reserve = newReserve()
	c.stop = a.wake
	c.pinged = []reactor.Pinged{{Name: "the acceptor", Pulse: &a.pulse, Nudge: a.wake}}
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
	for _, l := range a.listeners() {
		a.last(int(l.Fd))
	}
	a.account()
	a.reserve.yield()
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
	old := a.listeners()
	pipe := a.fds[len(a.fds)-1]
	a.fds = nil
	for _, fd := range r.fds {
		a.fds = append(a.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	a.fds = append(a.fds, pipe)
	for _, l := range old {
		if !slices.Contains(r.fds, int(l.Fd)) {
			a.last(int(l.Fd))
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
	for _, fd := range []int{a.wakeEnd, int(a.fds[len(a.fds)-1].Fd)} {
		if err := unix.Close(fd); err != nil {
			a.crew.opts.Warn("closing a pipe", err)
		}
	}
	a.wakeEnd = -1
}

func (a *acceptor) listeners() []unix.PollFd { return a.fds[:len(a.fds)-1] }

// account moves to the crew what has been counted.
func (a *acceptor) account() {
	a.crew.tally(&a.count)
	a.count = conn.Counters{}
}

// round waits for connections once and begins them.
func (a *acceptor) round() {
	defer a.account()
	waiting := a.fds
	timeout := waitMax
	if now := time.Now(); a.againAt.After(now) {
		waiting = a.fds[len(a.fds)-1:] // the pipe alone
		timeout = min(timeout, a.againAt.Sub(now))
	} else if a.reserve.fd < 0 {
		a.reserve.refill()
	}
	n, err := a.poll(waiting, timeout)
	if err != nil {
		a.crew.opts.Warn("waiting for connections", err)
		a.pause()
	}
	if n <= 0 {
		return
	}
	if pipe := &a.fds[len(a.fds)-1]; pipe.Revents != 0 {
		a.emptyPipe(int(pipe.Fd))
	}
	if len(waiting) == 1 {
		return
	}
	for _, l := range a.listeners() {
		if l.Revents != 0 && !a.take(int(l.Fd)) {
			break
		}
	}
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

func (a *acceptor) emptyPipe(fd int) {
	var p [64]byte
	for {
		if n, err := unix.Read(fd, p[:]); n < len(p) || err != nil {
			return
		}
	}
}

// take begins connections of a listener that has some. It reports false if the
// others are not to be looked at now.
func (a *acceptor) take(listener int) bool {
	for range acceptMax {
		if a.full != nil && a.full() {
			a.count.Calls[conn.CallWait]++
			if ready(listener, unix.POLLIN) {
				a.awaitRoom()
			}
			return false
		}
		switch more := a.one(listener); {
		case a.againAt.After(time.Now()):
			return false
		case !more:
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
	pipe := a.fds[len(a.fds)-1:]
	// Who is not idle now may be in a while, without telling.
	if n, err := a.poll(pipe, silentMin/10); n > 0 && err == nil {
		a.emptyPipe(int(pipe[0].Fd))
	}
}

// one accepts a connection. It reports whether there may be another.
func (a *acceptor) one(listener int) bool {
	fd, remote, err := a.accept(listener)
	switch {
	case err == nil:
		a.backoff = backoffMin
		a.begin(arrival{fd: fd, remote: remote, refuse: !a.crew.admit()})
		return true
	case err == unix.EAGAIN:
		return false
	}
	a.count.AcceptErrors++
	switch {
	case outOfResources(err):
		a.starved(listener, err)
		return false
	case listenerBroken(err):
		a.crew.opts.Warn("accepting", fmt.Errorf("accept on descriptor %d: %w", listener, err))
		a.pause()
		return false
	}
	return true
}

// starved is called when accept fails for want of a descriptor: the reserve is
// given up to serve one client a 503, and accepting pauses.
func (a *acceptor) starved(listener int, err error) {
	a.crew.opts.Warn(warnStarved, err)
	if a.reserve.yield() {
		if fd, remote, err := a.accept(listener); err == nil {
			a.crew.open.Add(1)
			a.begin(arrival{fd: fd, remote: remote, refuse: true})
		}
	}
	a.pause()
}

// pause lets accepting rest for a while.
func (a *acceptor) pause() {
	a.againAt = time.Now().Add(a.backoff)
	a.backoff = min(2*a.backoff, backoffMax)
}

// last takes what waits in a listener's queue at the end, since the kernel has
// promised it to be served.
func (a *acceptor) last(listener int) {
	for range lastMax {
		if a.one(listener) {
			continue
		}
		wait := time.Until(a.againAt)
		if wait <= 0 || a.crew.over.Load() {
			return
		}
		time.Sleep(wait)
		a.reserve.refill()
	}
}
