package iomodel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/socket"
)

const (
	// aheadSize is the buffer that a goroutine waits with: a request's size, as
	// net/http has it. The scratch of a turn is borrowed when bytes have come.
	aheadSize = 4 << 10
	// goroutineSize is what a connection takes that does nothing: the buffer, the
	// stack that waits in Read, and what package net and the runtime's poller have of it.
	goroutineSize = aheadSize + 8<<10
	// lastWait bounds a wait for a connection that is in the queue, should
	// another process take it first.
	lastWait = 100 * time.Millisecond
)

// goroutine is the model of package net, a goroutine a connection: what a Go
// programmer would otherwise write.
//
// Reads are net.Conn's, with its deadlines. What is sent goes to the descriptor
// that SyscallConn gives: so a head travels with its body, a goroutine
// whose client is slow holds no scratch, and a file is sent from an offset of its own
// (io.Copy of an *os.File moves the position of a descriptor that connections
// share, and would mix the bodies of two clients).
func goroutine() Model {
	return Model{
		Name:      "goroutine",
		Mechanism: "package net, a goroutine a connection (the runtime's edge-triggered poller inside)",
		Cannot: "An idle connection costs a goroutine's stack and a buffer of 4 KiB. How the runtime accepts and " +
			"polls cannot be chosen, nor whose turn comes first.",
		ownLimits: epollLimits,
		Probe:     func() error { return nil },
		New:       newGoroutine,
	}
}

func newGoroutine(o Options) (Server, error) {
	s := &goroutineServer{listeners: make(map[int]*goroutineAcceptor)}
	s.ownedServer = newOwnedServer(o, ownedTraits{
		perConn: goroutineSize,
		// Package net accepts, and reads first.
		unknown: conn.SetOf(conn.CallAccept, conn.CallRecv, conn.CallControl, conn.CallWait),
	})
	return s, nil
}

// goroutineServer is a [Server] on package net.
type goroutineServer struct {
	*ownedServer
	mu        sync.Mutex                 // of what follows
	listeners map[int]*goroutineAcceptor // by the descriptor that was given
}

// netListener is what *net.TCPListener and *net.UnixListener are.
type netListener interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// Serve implements [Server].
func (s *goroutineServer) Serve(listeners [][]model.Listener) error {
	s.stop = s.stopAccepting
	return s.SetListeners(listeners)
}

// SetListeners implements [Server].
func (s *goroutineServer) SetListeners(listeners [][]model.Listener) error {
	fds := descriptors(listeners)
	gone, err := s.relisten(fds)
	if err != nil {
		return err
	}
	for _, a := range gone {
		a.halt()
		<-a.ended
	}
	return nil
}

// relisten begins with the new listeners and returns those that are gone. On an error nothing has changed.
func (s *goroutineServer) relisten(fds []int) (gone []*goroutineAcceptor, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending() {
		return nil, nil
	}
	started := make(map[int]*goroutineAcceptor)
	for _, fd := range fds {
		if s.listeners[fd] != nil {
			continue
		}
		ln, err := listenerOf(fd)
		if err != nil {
			for _, a := range started {
				s.close(a.listener)
			}
			return nil, err
		}
		started[fd] = &goroutineAcceptor{server: s, listener: ln, ended: make(chan struct{})}
	}
	for fd, a := range s.listeners {
		if !slices.Contains(fds, fd) {
			delete(s.listeners, fd)
			gone = append(gone, a)
		}
	}
	for fd, a := range started {
		s.listeners[fd] = a
		a.reserve.Refill()
		s.accepting.Add(1)
		s.all.Add(1)
		go a.run()
	}
	return gone, nil
}

// Ping implements [Server]: the acceptors answer.
func (s *goroutineServer) Ping(timeout time.Duration) error {
	var all []model.Pinged
	s.mu.Lock()
	for _, a := range s.listeners {
		name := "the acceptor at " + a.listener.Addr().String()
		all = append(all, model.Pinged{Name: name, Pulse: &a.pulse, Nudge: a.nudge})
	}
	s.mu.Unlock()
	return model.Ping(timeout, all)
}

// Adopt implements [Server].
func (s *goroutineServer) Adopt(h model.Handed) bool {
	if !s.admitMoved() {
		return false
	}
	defer s.all.Done()
	c, err := socket.Duplicate(h.FD, net.FileConn)
	if err != nil { // out of descriptors, most likely
		s.open.Add(-1)
		s.opts.Warn("taking a connection over", err)
		return false
	}
	if err := unix.Close(h.FD); err != nil {
		s.opts.Warn("closing a connection's other descriptor", err)
	}
	s.begin(c, arrival{moved: &h.Conn})
	return true
}

// listenerOf returns package net's listener of a duplicate of fd.
func listenerOf(fd int) (netListener, error) {
	ln, err := socket.Duplicate(fd, net.FileListener)
	if err != nil {
		return nil, fmt.Errorf("iomodel: listening on descriptor %d: %w", fd, err)
	}
	return ln.(netListener), nil // which package net makes of stream sockets alone
}

func (s *goroutineServer) close(ln net.Listener) {
	if err := ln.Close(); err != nil {
		s.opts.Warn("closing a duplicate of a listener", err)
	}
}

// stopAccepting ends the waits in Accept. One that has not begun finds out by itself, and may be over.
func (s *goroutineServer) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.listeners {
		a.halt()
	}
}

// goroutineAcceptor accepts from one listener.
type goroutineAcceptor struct {
	server   *goroutineServer
	listener netListener
	pulse    model.Pulse
	reserve  model.Reserve
	policy   model.AcceptPolicy
	halted   atomic.Bool   // this listener is gone
	ended    chan struct{} // closed when the listener's queue is empty
}

// halt ends accepting, but for what waits, soon.
func (a *goroutineAcceptor) halt() {
	a.halted.Store(true)
	a.nudge()
}

// run accepts until it is halted, and then what still waits.
func (a *goroutineAcceptor) run() {
	defer a.server.all.Done()
	defer a.server.accepting.Done()
	defer close(a.ended)
	defer a.server.close(a.listener) // so that the caller, closing its own, has clients refused
	defer a.reserve.Yield()
	defer a.pulse.End()
	for !a.halted.Load() {
		a.pulse.Beat()
		a.one()
	}
	for range model.AcceptLastMax {
		if a.server.graceOver() || !a.pending() {
			return
		}
		if err := a.listener.SetDeadline(time.Now().Add(lastWait)); err != nil {
			a.server.opts.Warn("accepting from a listener for the last time", err)
			return
		}
		a.one()
	}
}

// nudge ends a wait in Accept.
func (a *goroutineAcceptor) nudge() {
	if err := a.listener.SetDeadline(time.Unix(1, 0)); err != nil && !errors.Is(err, net.ErrClosed) {
		a.server.opts.Warn("waking an acceptor", err)
	}
}

// pending reports whether a connection waits to be accepted.
func (a *goroutineAcceptor) pending() (yes bool) {
	raw, err := a.listener.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { yes = ready(int(fd), unix.POLLIN) })
	}
	return yes && err == nil
}

// one accepts a connection, or waits until there may be one.
func (a *goroutineAcceptor) one() {
	s := a.server
	c, err := a.listener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The acceptor was nudged, or is to stop: halt sets halted before the
		// deadline, and run looks at it after this.
		if err := a.listener.SetDeadline(time.Time{}); err != nil {
			s.opts.Warn("accepting from a listener again", err)
		}
		return
	}
	action := a.policy.After(err)
	if action.Failed() {
		s.addCounters(&conn.Counters{AcceptErrors: 1})
	}
	switch action {
	case model.AcceptServe:
		s.begin(c, arrival{remote: addrOf(c.RemoteAddr()), refuse: !s.admit()})
	case model.AcceptStarved:
		if a.reserve.Yield() && a.pending() {
			if c, err := a.listener.Accept(); err == nil {
				s.open.Add(1)
				s.begin(c, arrival{remote: addrOf(c.RemoteAddr()), refuse: true})
			}
		}
		a.rest(model.WarnStarved, err)
	case model.AcceptRest: // package net has gone on to the next where the connection was gone (ECONNABORTED)
		a.rest(model.WarnAccept, err)
	}
}

// rest leaves the listener alone for a while after an error.
func (a *goroutineAcceptor) rest(what string, err error) {
	a.server.opts.Warn(what, err)
	a.server.resting.Add(1)
	time.Sleep(a.policy.Fail(clock.Mono()))
	a.server.resting.Add(-1)
	a.reserve.Refill()
}

// begin starts a connection's goroutine.
func (s *goroutineServer) begin(c net.Conn, a arrival) {
	t := &goroutineTransport{c: c}
	t.conn = &ownedConn{transport: t}
	err := t.init()
	s.start(t.conn, a)
	go func() {
		if err != nil {
			s.opts.Warn("serving a connection", err)
		} else {
			t.conn.drive(t.conn.first())
		}
		t.conn.end()
	}()
}

func addrOf(a net.Addr) conn.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return conn.AddrFrom(tcp.AddrPort())
	}
	return conn.Addr{}
}

// goroutineTransport is a connection of package net.
type goroutineTransport struct {
	syscallTransport // over the descriptor of c, for the goroutine that alone closes it
	c                net.Conn
	raw              syscall.RawConn

	ahead    []byte // of buf: what came and no turn has taken
	more     bool   // the last call filled what it was given: there may be more
	failed   error  // of the last read
	deadline time.Time
	buf      [aheadSize]byte
}

func (t *goroutineTransport) init() error {
	var err error
	if t.raw, err = t.c.(syscall.Conn).SyscallConn(); err != nil { // which package net's connections all have
		return err
	}
	return t.raw.Control(func(fd uintptr) { t.fd = int(fd) })
}

// wait implements ownedTransport.
func (t *goroutineTransport) wait(want conn.Want, timeout time.Duration) bool {
	if want == conn.WantWrite {
		t.waitWrite(timeout)
		return true
	}
	// The deadline is moved only when it is too late, or has passed: a request
	// that comes in time costs none. One that passes early ends the wait early.
	at := time.Now().Add(timeout)
	if t.deadline.IsZero() || at.Before(t.deadline) {
		t.deadline = at
		if t.failed = t.c.SetReadDeadline(at); t.failed != nil {
			return true
		}
		if t.conn.server.nudgedSince(t.conn.epoch) { // its deadline may have been overwritten
			return true
		}
	}
	n, err := t.c.Read(t.buf[:])
	switch {
	case n > 0:
		t.ahead, t.more = t.buf[:n], n == len(t.buf)
		t.conn.woke()
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.deadline = time.Time{}
	default:
		t.failed = err
	}
	return true
}

// look implements ownedTransport.
func (t *goroutineTransport) look() bool {
	t.more = true
	return false
}

// waitWrite waits for room. The question is put once the runtime listens, so
// that room made before is not missed: its poller is edge-triggered.
func (t *goroutineTransport) waitWrite(timeout time.Duration) {
	err := t.c.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		err = t.raw.Write(func(fd uintptr) bool { return ready(int(fd), unix.POLLOUT) })
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.failed = err
	}
}

// Recv implements [conn.Transport].
func (t *goroutineTransport) Recv(p []byte) (int, error) {
	switch {
	case len(t.ahead) > 0:
		t.conn.received()
		n := copy(p, t.ahead)
		t.ahead = t.ahead[n:]
		return n, nil
	case t.failed != nil:
		return 0, t.failed
	case !t.more:
		return 0, conn.ErrAgain
	}
	n, err := receive(t.fd, p, unix.MSG_DONTWAIT)
	t.more = n == len(p)
	switch {
	case n > 0:
		t.conn.received()
		return n, nil
	case err == nil:
		return 0, io.EOF
	default:
		return 0, again(err)
	}
}

// nudge ends a wait by a deadline that has passed. It fails only when the
// connection is gone already.
func (t *goroutineTransport) nudge() { _ = t.c.SetReadDeadline(time.Unix(1, 0)) }

// drained implements ownedTransport.
func (t *goroutineTransport) drained() bool { return len(t.ahead) == 0 && t.failed == nil }

// detach implements ownedTransport: the runtime's poller lets go of its descriptor when that is closed.
func (t *goroutineTransport) detach() (int, error) {
	return unix.FcntlInt(uintptr(t.fd), unix.F_DUPFD_CLOEXEC, 0)
}

// detached implements ownedTransport.
func (t *goroutineTransport) detached(fd int, taken bool) {
	err := error(nil)
	if taken {
		err = t.c.Close()
	} else {
		err = unix.Close(fd)
	}
	if err != nil {
		t.conn.server.opts.Warn("closing one of a connection's descriptors", err)
	}
}

func (t *goroutineTransport) close() error { return t.c.Close() }
