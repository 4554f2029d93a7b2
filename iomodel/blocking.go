package iomodel

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/sendfile"
)

// ThreadsMax is the most threads of a blocking server: Go ends a program that
// has 10,000 (runtime/debug.SetMaxThreads), and others need some too.
const ThreadsMax = 8192

// blocking is the model of a blocking connection on an OS thread: accept,
// then recv and send until it ends. At most Options.Threads run; each is started for a connection,
// and ends when no other one waits.
//
// A blocking call knows no deadline but its own: SO_RCVTIMEO and SO_SNDTIMEO
// bound each to a second at most, and the connection's one timer is looked at in between.
// The listeners are the exception: they are non-blocking, since others share
// them, and one more thread polls them.
//
// While all threads are taken, each answer is its connection's last, so that connections which wait in
// the listener's queue get a turn, and idle ones are closed for them. A thread that does
// work which may block does not end before it when the grace of Drain is over.
func blocking() Model {
	return Model{
		Name:      "blocking",
		Class:     "blocking",
		Mechanism: "poll the listener, accept, then recv and send on OS threads",
		Threads:   true,
		Cannot: "Serves no more connections at a time than it has threads: on a port that is open to anybody, " +
			"so many slow clients keep all others waiting. While all are taken each answer is its connection's " +
			"last, so that others get a turn. What may block (cold files, listings) runs in place: " +
			"timeouts.deferred does not bound it.",
		ownLimits: blockingLimits,
		Probe:     func() error { return nil },
		// A thread back from a blocking call must find a P: with few of them it waits for one.
		MaxProcs: func(o *Options) int { return o.Threads + 1 },
		New:      newBlocking,
	}
}

// blockingServer is a [Server] on threads.
type blockingServer struct {
	acceptingServer
	threads int // at most

	mu      sync.Mutex
	waiting []arrival // for a thread
	running int       // threads
}

func newBlocking(o Options) (Server, error) {
	if o.Threads < 1 || o.Threads > ThreadsMax {
		return nil, fmt.Errorf("iomodel: blocking takes 1 to %d threads, not %d", ThreadsMax, o.Threads)
	}
	s := &blockingServer{threads: o.Threads}
	s.ownedServer = newOwnedServer(o, ownedTraits{onThread: true})
	return s, nil
}

// Serve implements [Server].
func (s *blockingServer) Serve(listeners [][]model.Listener) error {
	return s.accept(&acceptor{blocking: true, begin: s.begin, full: s.full}, listeners)
}

// Adopt implements [Server]. With all threads taken, a connection that has
// nothing to say is closed: it would wait for a thread that others hold while they are idle.
func (s *blockingServer) Adopt(h model.Handed) bool {
	if !s.admitMoved() {
		return false
	}
	defer s.all.Done()
	if s.full() && !ready(h.FD, unix.POLLIN) {
		s.open.Add(-1)
		h.Conn.UncountClient(s.settings.Load().config)
		if err := unix.Close(h.FD); err != nil {
			s.opts.Warn("closing a connection", err)
		}
		return true
	}
	if err := unix.SetNonblock(h.FD, false); err != nil {
		s.opts.Warn("making a connection blocking", err)
	}
	s.begin(arrival{fd: h.FD, moved: &h.Conn})
	return true
}

// full reports whether every thread is taken.
func (s *blockingServer) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == s.threads
}

// begin gives a connection to a thread.
func (s *blockingServer) begin(a arrival) {
	s.all.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, a)
	if s.running < s.threads {
		s.running++
		go s.thread()
	}
	if s.running == s.threads && !s.crowded.Swap(true) {
		s.opts.Warn("all threads are taken: each answer is its connection's last, so that others get a turn "+
			"(raise --threads)", nil)
	}
}

// next returns the next connection for a thread. It reports false if there is none: then the thread ends.
func (s *blockingServer) next() (arrival, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.waiting = nil
		s.running--
		s.crowded.Store(false)
		s.acceptor.roomMade()
		return arrival{}, false
	}
	a := s.waiting[0]
	s.waiting = s.waiting[1:]
	return a, true
}

// thread serves one connection after the other.
func (s *blockingServer) thread() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pool := &s.settings.Load().workspaces
	local := pool.Get().(*conn.Workspace)
	defer pool.Put(local)
	for a, ok := s.next(); ok; a, ok = s.next() {
		t := new(blockingTransport)
		t.fd = a.fd
		t.conn = &ownedConn{transport: t, local: local}
		s.start(t.conn, a)
		if err := t.init(); err != nil {
			s.opts.Warn("bounding a connection's waits", err)
		} else {
			t.conn.drive(t.conn.first())
		}
		t.conn.end()
		s.all.Done()
	}
}

// blockingTransport is a blocking socket. Of one turn, the first Recv may wait,
// if that is what the turn is for, and each Send: until there is room for all of it.
type blockingTransport struct {
	syscallTransport
	waits    bool          // the next Recv does
	empty    bool          // the last Recv left nothing in the socket, or nothing came
	bound    time.Duration // SO_RCVTIMEO as it is set
	boundErr error         // why it could not be
}

// init bounds what a Send waits.
func (t *blockingTransport) init() error {
	slice := poller.WaitMax
	if timeout := t.conn.server.settings.Load().config.Timeout(conn.PhaseSending); timeout > 0 {
		slice = min(slice, timeout)
	}
	return setTimeout(t.fd, unix.SO_SNDTIMEO, slice)
}

func setTimeout(fd, option int, d time.Duration) error {
	// 0 would be no bound at all.
	tv := unix.NsecToTimeval(int64(max(d, time.Millisecond)))
	return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv)
}

// wait has the next turn's first Recv do the waiting; a Send needs no telling.
func (t *blockingTransport) wait(want conn.Want, timeout time.Duration) bool {
	t.waits, t.empty = want == conn.WantRead, false
	if slice := min(timeout, poller.WaitMax); t.waits && slice != t.bound {
		t.bound = slice
		t.boundErr = setTimeout(t.fd, unix.SO_RCVTIMEO, slice)
	}
	return true
}

// look implements ownedTransport.
func (t *blockingTransport) look() bool {
	t.waits, t.empty = false, false
	return false
}

// Recv implements [conn.Transport].
func (t *blockingTransport) Recv(p []byte) (int, error) {
	flags := unix.MSG_DONTWAIT
	switch {
	case t.empty:
		return 0, conn.ErrAgain
	case t.boundErr != nil:
		return 0, t.boundErr
	case t.waits:
		flags, t.waits = 0, false
	}
	n, err := receive(t.fd, p, flags)
	t.conn.called(conn.CallRecv, err)
	t.empty = n < len(p)
	if flags == 0 {
		if n > 0 {
			t.conn.renew(t.conn.useSettings())
			t.conn.woke()
		}
		t.conn.refresh()
	}
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

// Send implements [conn.Transport].
func (t *blockingTransport) Send(head, body []byte, more bool) (int, error) {
	n, err := t.syscallTransport.Send(head, body, more)
	if n < len(head)+len(body) {
		t.conn.refresh() // it has waited as long as it may
	}
	return n, err
}

// SendFile implements [conn.Transport].
func (t *blockingTransport) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	n, err := t.syscallTransport.SendFile(f, offset, count)
	t.conn.refresh()
	return n, err
}

// Resident implements [conn.Transport]: a thread may wait for the disk.
func (t *blockingTransport) Resident(*sendfile.File, int64, int64) bool { return true }

// nudge implements ownedTransport: a call waits no longer than a second as it is.
func (t *blockingTransport) nudge() {}

// drained implements ownedTransport: what is received is taken at once.
func (t *blockingTransport) drained() bool { return true }

// detach implements ownedTransport.
func (t *blockingTransport) detach() (int, error) { return t.fd, unix.SetNonblock(t.fd, true) }

// detached implements ownedTransport.
func (t *blockingTransport) detached(fd int, taken bool) {
	if taken {
		return
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.boundErr = err
	}
}

func (t *blockingTransport) close() error { return unix.Close(t.fd) }
