package model

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/socket"
)

const (
	// AcceptMax bounds the connections that are taken from one listener before the next one, or those
	// that are open already, have their turn.
	AcceptMax = 64
	// AcceptLastMax bounds what is still accepted from a listener that is given up: more
	// than a queue holds, so that only a flood that does not end meets it.
	AcceptLastMax = 64 << 10
	// silentMin is how long a connection whose request is not there yet, or not whole, makes no room for others: the
	// rest may be on its way.
	silentMin = time.Second
)

// What an operator is told of connections. The cause is the error beside it.
const (
	WarnTooMany = "too many connections: idle and slow ones are closed, else new ones get 503 (limits.connections)"
	WarnStarved = "out of descriptors: accepting pauses (raise LimitNOFILE= or ulimit -n)"
	WarnHeld    = "connections hold too much memory: the largest and oldest holders are closed (limits.buffers)"
	WarnAccept  = "accepting fails: it is tried again, at least once a second"
)

// AcceptAction is what follows an attempt to accept.
type AcceptAction uint8

const (
	AcceptServe AcceptAction = iota // a connection has come: begin it, and accept the next
	AcceptEmpty                     // the queue is empty: an event says when to go on
	AcceptNext                      // the connection was gone before it was accepted: accept the next
	// AcceptStarved: there is no descriptor, or memory, for one more. The reserve is given up
	// to refuse one client, and the listener rests.
	AcceptStarved
	AcceptRest // accepting fails for a reason that may last: the listener rests
)

// Failed reports whether accepting has failed, and is to be counted so.
func (a AcceptAction) Failed() bool { return a > AcceptEmpty }

// AcceptPolicy says how accepting from one listener goes on. It makes no system call and reads no clock: whoever
// accepts does what it says. A listener that rests (Backoff) is left alone, so that it neither
// keeps a thread busy nor holds up the others.
type AcceptPolicy struct {
	Backoff
	gone int // connections that were gone when they were accepted, one after the other
}

// After is what follows an accept that returned err.
func (p *AcceptPolicy) After(err error) AcceptAction {
	if err != nil && socket.Gone(err) && p.gone < AcceptMax {
		p.gone++
		return AcceptNext
	}
	p.gone = 0
	switch {
	case err == nil:
		p.Succeed()
		return AcceptServe
	case err == unix.EAGAIN:
		return AcceptEmpty
	case socket.Starved(err):
		return AcceptStarved
	default:
		return AcceptRest
	}
}

// Admit counts a new connection. Beyond the limit (0: there is none) idle connections make room, which
// evict closes one of; it reports false when there are none left and the new one is too many.
func (o *Options) Admit(limit int, evict func() bool) bool {
	if n := o.Open.Add(1); limit == 0 || n <= int64(limit) {
		return true
	}
	o.Warn(WarnTooMany, nil)
	for o.Open.Load() > int64(limit) {
		if !evict() {
			return false
		}
	}
	return true
}

// EvictionOrder is the phases whose connections can make room for a new one, those that can best be spared in front:
// between two requests, before the first byte, in the middle of a head, of a body. Within a phase the oldest goes.
var EvictionOrder = [...]conn.Phase{conn.PhaseIdle, conn.PhaseFirstByte, conn.PhaseHead, conn.PhaseBody}

// Evictable reports whether a connection that has been in that phase of EvictionOrder since then (Clock.Mono) can make
// room for a new one: if it is between two requests, or has not sent a whole one for a while. Without those, whoever
// opens limits.connections of half heads would lock all others out.
func Evictable(phase conn.Phase, since, now int64) bool {
	return phase == conn.PhaseIdle || now-since >= int64(silentMin)
}

// Reserve is a descriptor that is held back, and given up to tell one more client
// that there are no more.
type Reserve struct {
	fd   int
	held bool
}

// Refill takes the descriptor. If there is none, it is tried the next time.
func (r *Reserve) Refill() {
	if r.held {
		return
	}
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	r.fd, r.held = fd, err == nil
}

// Yield gives the descriptor up. It reports false if that was done already.
func (r *Reserve) Yield() bool {
	if !r.held {
		return false
	}
	_ = unix.Close(r.fd) // of /dev/null: it is free whatever close says
	r.held = false
	return true
}

// Held reports whether the descriptor is there.
func (r *Reserve) Held() bool { return r.held }
