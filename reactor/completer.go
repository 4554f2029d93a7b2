package reactor

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
)

// Completer is a Poller that moves connections' bytes itself: nothing is
// watched but what a connection waits for, and an event says that this is done
// rather than that it can be. A [poller.Backend] whose Open returns one is driven as such.
//
// Its Add and Remove are for listeners alone. A connection begins with the first
// Transport of its token and ends with a Release that reports true.
type Completer interface {
	// With no room for events, Wait takes in what is complete, so that a Transport has it at once, and
	// reports it the next time.
	poller.Poller
	// Bind is called once, before everything else, with the loop's own system calls.
	Bind(direct *SyscallTransport)
	// Accept takes a connection that was accepted from the listener of that
	// descriptor, or accepts one itself if it is not watched. unix.EAGAIN: there is none.
	Accept(listener int) (fd int, remote conn.Addr, err error)
	// Transport returns what moves the bytes of that connection, until the next call.
	Transport(token poller.Token, fd int) conn.Transport
	// Watch has token reported, once, when what it wants (WantRead or
	// WantWrite) may get it further. Who wants anything else is not reported.
	Watch(token poller.Token, want conn.Want)
	// Detach has the kernel let go of a connection that waits to be read from,
	// with nothing lost: what it has received meanwhile is for its Transport. It reports
	// true when the connection is forgotten and its descriptor free. Until then it is
	// called again after each Wait that gave something for any connection, and at once
	// where token is reported.
	Detach(token poller.Token) bool
	// Release takes the connection out of the kernel's hands, so that its
	// descriptor can be closed. It reports false while bytes that Send has taken
	// have yet to leave: token is reported when they have, and Release is to be
	// called again. cut: they need not leave, and Release reports true.
	Release(token poller.Token, cut bool) bool
	// Held is how many bytes of memory it holds for the connection, of those that it has told to SyscallTransport.Hold.
	Held(token poller.Token) int
}

// transportFor returns the transport of a connection.
func (l *Loop) transportFor(s *slot) conn.Transport {
	l.transport.slot = s
	if l.completer != nil {
		return l.completer.Transport(s.token(), int(s.fd))
	}
	return &l.transport
}

// acceptFrom takes one connection from a listener.
func (l *Loop) acceptFrom(listener int) (int, conn.Addr, error) {
	if l.completer != nil {
		return l.completer.Accept(listener)
	}
	return l.transport.Accept(listener)
}

// leaving is a connection that has ended but for bytes that a Completer has yet to send.
type leaving struct {
	unacked int
	moved   int64 // Clock.Mono when unacked was seen to fall
}

// release reports whether an ended connection's descriptor can be closed. If
// not, the slot is kept for as long as its peer goes on taking bytes (Config.Send).
func (l *Loop) release(s *slot) bool {
	now, token := l.local.Clock.Mono, s.token()
	if l.completer.Release(token, l.shutdown.cutting) {
		delete(l.leaving, token)
		return true
	}
	unacked := l.transportFor(s).Unacked()
	state, again := l.leaving[token]
	if !again || unacked < state.unacked {
		state = leaving{unacked, now}
	}
	if limit := int64(l.opts.Config.Send); limit > 0 && now-state.moved >= limit {
		delete(l.leaving, token)
		l.local.Counters.Timeouts[conn.PhaseSending]++
		return l.completer.Release(token, true)
	}
	if l.leaving == nil {
		l.leaving = make(map[poller.Token]leaving)
	}
	l.leaving[token] = state
	s.want = conn.WantClose
	l.timers.set(&l.slab, s, conn.PhaseSending, l.opts.Config.LookAgain(now, state.moved))
	return false
}
