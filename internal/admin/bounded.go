package admin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// boundedListener has at most connectionsMax connections at a time. A new one takes the place of the connection that
// has been waiting for its client for longest, for the end of a request's head or for the next request. So a client
// that opens connections and sends nothing keeps no other client out. If all connections are being answered, the
// oldest of them gives way once its answer has taken activeMax, since its client does not read.
type boundedListener struct {
	net.Listener
	evicted *atomic.Uint64
	warn    func(what string, err error)

	mu      sync.Mutex
	open    map[*boundedConn]bool
	changed chan struct{} // gets a value when a connection begins to wait, or is closed
	once    sync.Once
	closed  chan struct{}
}

// boundedConn is a connection of a boundedListener.
type boundedConn struct {
	net.Conn
	listener *boundedListener
	active   bool      // a request is being answered
	since    time.Time // when that began, or ended
}

// bounded returns l with a bound. evicted counts the connections that gave way, and warn is told of errors of accept.
func bounded(l net.Listener, evicted *atomic.Uint64, warn func(what string, err error)) net.Listener {
	return &boundedListener{
		Listener: l, evicted: evicted, warn: warn, open: make(map[*boundedConn]bool),
		changed: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// Accept waits for a connection, then for room.
func (l *boundedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	switch {
	case errors.Is(err, net.ErrClosed):
		return nil, err
	case err != nil:
		l.warn("the control plane accepts nobody: it is tried again, at least once a second",
			fmt.Errorf("%s: %w", l.Addr(), err))
		return nil, passing{err}
	}
	c := &boundedConn{Conn: nc, listener: l}
	for {
		wait := l.admit(c)
		if wait <= 0 {
			return c, nil
		}
		select {
		case <-l.changed:
		case <-time.After(wait):
		case <-l.closed:
			_ = nc.Close() // nothing was said to it
			return nil, net.ErrClosed
		}
	}
}

// passing is an error that net/http takes to be temporary. At one that is not (EPERM of a security module, EIO) it
// would stop serving. After a temporary one it tries again, first after 5 ms, then each time after twice as long, up
// to a second.
type passing struct{ error }

// Timeout implements [net.Error].
func (passing) Timeout() bool { return false }

// Temporary implements [net.Error].
func (passing) Temporary() bool { return true }

// Unwrap returns the error within, for errors.Is.
func (p passing) Unwrap() error { return p.error }

// admit takes a connection if there is room or another one can give way. Otherwise it returns the longest time to
// wait.
func (l *boundedListener) admit(c *boundedConn) (wait time.Duration) {
	l.mu.Lock()
	now := time.Now()
	var gives *boundedConn
	if len(l.open) >= connectionsMax {
		for other := range l.open {
			if gives == nil || other.givesWayBefore(gives) {
				gives = other
			}
		}
		if gives.active {
			wait = gives.since.Add(activeMax).Sub(now)
		}
	}
	if wait <= 0 {
		if gives != nil {
			delete(l.open, gives)
			l.evicted.Add(1)
		}
		c.since = now
		l.open[c] = true
	}
	l.mu.Unlock()
	if wait <= 0 && gives != nil {
		_ = gives.Conn.Close() // net/http learns of it by its next call
	}
	return wait
}

// givesWayBefore reports whether c is to make room rather than other: c waits for its client while other is being
// answered, or both do the same and c has done so for longer.
func (c *boundedConn) givesWayBefore(other *boundedConn) bool {
	if c.active != other.active {
		return other.active
	}
	return c.since.Before(other.since)
}

// Close ends the listener, and the wait for room.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Close frees the connection's place.
func (c *boundedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	c.listener.tell()
	return c.Conn.Close()
}

func (l *boundedListener) tell() {
	select {
	case l.changed <- struct{}{}:
	default: // it is told already
	}
}

// connState is the ConnState of an http.Server. It keeps track of whether a connection is being answered: StateActive
// comes with the end of a request's head.
func connState(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*boundedConn)
	if !ok || state != http.StateActive && state != http.StateIdle {
		return
	}
	c.listener.mu.Lock()
	c.active, c.since = state == http.StateActive, time.Now()
	c.listener.mu.Unlock()
	if !c.active {
		c.listener.tell()
	}
}
