package ring

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/uring"
)

// endMax bounds how long a cancelled request is waited for: it ends at once,
// or something is wrong with the kernel.
const endMax = 2 * time.Second

var errEndless = fmt.Errorf("io_uring loop: requests that were cancelled have not ended for %v", endMax)

// listener is a listener that the ring accepts from, by one request that
// goes on and on (multishot).
type listener struct {
	fd       int
	active   bool
	armed    bool
	failed   bool    // accepting did: wait until somebody comes, and accept directly
	accepted []int32 // descriptors, oldest first
	taken    int     // of accepted, by Accept
}

// Add implements [poller.Poller], for listeners: their tokens are small numbers.
func (r *ring) Add(fd int, token poller.Token, _ poller.Interest, _ poller.Flags) error {
	if token >= 1<<indexBits {
		return fmt.Errorf("io_uring loop: descriptor %d is no listener: %w", fd, errors.ErrUnsupported)
	}
	for int(token) >= len(r.listeners) {
		r.listeners = append(r.listeners, listener{fd: -1})
	}
	li := &r.listeners[token]
	li.fd, li.active, li.failed = fd, true, false
	return nil
}

// Remove implements [poller.Poller]. When it returns the ring accepts no more;
// what it has accepted waits for Accept.
func (r *ring) Remove(fd int) error {
	for i := range r.listeners {
		li := &r.listeners[i]
		if li.fd != fd || !li.active {
			continue
		}
		li.active = false
		if !li.armed || !r.enabled {
			return nil
		}
		r.cancel(poller.Token(i), opAccept)
		r.cancel(poller.Token(i), opListen)
		return r.await(func() bool { return !li.armed })
	}
	return fmt.Errorf("io_uring loop: remove descriptor %d: %w", fd, unix.ENOENT)
}

// armListeners has the ring accept, and reports whether connections wait for Accept.
func (r *ring) armListeners() (waiting bool) {
	for i := range r.listeners {
		li := &r.listeners[i]
		if !li.active {
			continue
		}
		waiting = waiting || li.taken < len(li.accepted)
		if li.armed {
			continue
		}
		li.armed = true
		if li.failed {
			r.request(poller.Token(i), opListen).PreparePoll(li.fd, unix.POLLIN)
		} else {
			r.request(poller.Token(i), opAccept).PrepareAccept(li.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		}
	}
	return waiting
}

// arrived takes in what a listener's request has completed with.
func (r *ring) arrived(i int, op uint64, c *uring.CQE) {
	li := &r.listeners[i]
	li.armed = c.Flags&uring.CompletionMore != 0
	switch {
	case op == opListen:
		li.failed = false
		if li.active {
			r.report(poller.Token(i), poller.Readable)
		}
	case c.Res >= 0:
		li.accepted = append(li.accepted, c.Res)
	case c.Res != -int32(unix.ECANCELED):
		// Out of descriptors, say, which the kernel finds before it looks for a
		// connection: not to ask again before there is one.
		li.failed = true
	}
}

// reportListeners reports those that have connections for Accept.
func (r *ring) reportListeners() {
	for i := range r.listeners {
		if li := &r.listeners[i]; li.active && li.taken < len(li.accepted) {
			r.report(poller.Token(i), poller.Readable)
		}
	}
}

// Accept implements [reactor.Completer].
func (r *ring) Accept(listener int) (int, conn.Addr, error) {
	for i := range r.listeners {
		li := &r.listeners[i]
		if li.fd != listener {
			continue
		}
		if li.taken < len(li.accepted) {
			fd := int(li.accepted[li.taken])
			if li.taken++; li.taken == len(li.accepted) {
				li.accepted, li.taken = li.accepted[:0], 0
			}
			return fd, r.direct.Peer(fd), nil
		}
		if li.armed {
			return -1, conn.Addr{}, unix.EAGAIN
		}
	}
	return r.direct.Accept(listener)
}

// settle cancels everything that is out, waits until it has ended, and frees
// the memory that the kernel was shown.
func (r *ring) settle() error {
	for i := range r.listeners {
		r.listeners[i].active = false
	}
	if r.enabled {
		s := r.request(0, opCancel)
		s.PrepareCancelAll()
		s.Flags |= uring.FlagSkipSuccess
		if err := r.await(func() bool { return r.inFlight <= 0 }); err != nil {
			return err // the memory is left to the kernel rather than given to others
		}
	}
	var err error
	for i := range r.listeners {
		for _, fd := range r.listeners[i].accepted[r.listeners[i].taken:] {
			err = errors.Join(err, unix.Close(int(fd)))
		}
	}
	if r.buffers != nil {
		err = errors.Join(err, r.buffers.Close())
	}
	return errors.Join(err, r.out.close())
}
