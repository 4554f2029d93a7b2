//go:build darwin || dragonfly || freebsd || linux

package iomodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/sendfile"
)

const (
	// unreadMax is how many bytes a client may have sent that are not taken from
	// netpoll's buffer: more requests than are ever on their way in good faith. What all
	// have sent is bounded by Options.Budget.
	unreadMax = 256 << 10
	// unreadEvery is how often that is looked at while a connection waits: what can be
	// received in such a time is beyond the bounds.
	unreadEvery = 5 * time.Millisecond
	// arrivesMin is how soon a timer that has run out is looked at again, while what has arrived is on
	// its way to netpoll's buffer.
	arrivesMin = 10 * time.Millisecond
	// netpollSize is what a connection takes that does nothing: the first node of its buffer, and
	// what netpoll has of it.
	netpollSize = 8<<10 + 1<<10
)

// netpollServer is a [Server] on netpoll's pollers.
type netpollServer struct {
	acceptingServer
	writable *writableWatcher

	mu      sync.Mutex
	held    map[*ownedConn]struct{} // those that wait within a turn, while netpoll reads on
	unread  int64                   // bytes that their clients have sent, at the last look
	looking bool                    // look is to be called
}

func probeNetpoll() error { return nil }

// netpollPollers says whether netpoll has its pollers. A process has one set of them, and the first
// server decides how many.
var netpollPollers struct {
	sync.Mutex
	silent, open bool
}

// openNetpollPollers has netpoll open n pollers. It takes one more at a time: one that cannot be opened makes
// netpoll close those that it had before, so that a later try begins anew and no descriptor is left.
func openNetpollPollers(n int) error {
	p := &netpollPollers
	p.Lock()
	defer p.Unlock()
	if !p.silent {
		// It logs connections that broke, and accepting, which is not its own here.
		if err := netpoll.Configure(netpoll.Config{LoggerOutput: io.Discard}); err != nil {
			return fmt.Errorf("iomodel: configuring netpoll: %w", err)
		}
		p.silent = true
	}
	for have := 0; have < n && !p.open; have++ {
		if err := growNetpollPollers(have + 1); err != nil {
			return err
		}
	}
	p.open = true
	return nil
}

// growNetpollPollers has netpoll open its pollers up to the n-th. Initialize returns no error:
// where a poller cannot be opened, netpoll 0.7 drops the error (Pick in poll_manager.go) and panics
// over the list of pollers that it does not have.
func growNetpollPollers(n int) (err error) {
	defer func() {
		if said := recover(); said != nil {
			err = fmt.Errorf("iomodel: netpoll cannot open poller %d, which takes two descriptors: %w", n, lacking())
		}
	}()
	if err := netpoll.Configure(netpoll.Config{PollerNum: n}); err != nil {
		return fmt.Errorf("iomodel: configuring netpoll: %w", err)
	}
	netpoll.Initialize()
	return nil
}

// lacking is why two descriptors cannot be opened now, or could not a moment ago: epoll_create1(2) and eventfd(2) fail
// for want of descriptors or of memory alone.
func lacking() error {
	var pair [2]int
	if err := unix.Pipe(pair[:]); err != nil {
		return err
	}
	passed := errors.New("too many open files a moment ago, or no memory")
	return errors.Join(passed, unix.Close(pair[0]), unix.Close(pair[1]))
}

func newNetpoll(o Options) (Server, error) {
	err := openNetpollPollers(max(o.Loops, 1))
	if err != nil {
		return nil, err
	}
	s := &netpollServer{held: make(map[*ownedConn]struct{})}
	s.ownedServer = newOwnedServer(o, ownedTraits{
		immovable: true, perConn: netpollSize, onSleep: s.setWaiting,
		unknown: conn.SetOf(conn.CallRecv, conn.CallControl, conn.CallWait),
	})
	if s.writable, err = newWritableWatcher(s.opts.Warn); err != nil {
		s.share.Leave()
		return nil, err
	}
	return s, nil
}

// Serve implements [Server].
func (s *netpollServer) Serve(listeners [][]model.Listener) error {
	if err := s.accept(&acceptor{begin: s.begin}, listeners); err != nil {
		return errors.Join(err, s.writable.close())
	}
	return nil
}

// Adopt implements [Server].
func (s *netpollServer) Adopt(h model.Handed) bool {
	if !s.admitMoved() {
		return false
	}
	defer s.all.Done()
	s.begin(arrival{fd: h.FD, moved: &h.Conn})
	return true
}

// Wait implements [Server].
func (s *netpollServer) Wait() model.Ended {
	ended := s.acceptingServer.Wait()
	ended.Err = errors.Join(ended.Err, s.writable.close())
	return ended
}

// begin hands a connection to netpoll.
func (s *netpollServer) begin(a arrival) {
	t := &netpollTransport{server: s}
	t.fd = a.fd
	t.conn = &ownedConn{transport: t}
	if !t.start(a) {
		return
	}
	// In this order: what came or ended before is seen by the one that follows.
	err := errors.Join(t.c.AddCloseCallback(t.closed), t.c.SetOnRequest(t.request))
	if err != nil || !t.c.IsActive() {
		_ = t.c.Close() // its error is that of closed: none
	}
}

// start makes the connection one of the server and of netpoll. It reports false if it has ended already.
func (t *netpollTransport) start(a arrival) bool {
	s := t.server
	t.turn.Lock()
	defer t.unlock()
	s.start(t.conn, a)
	if t.conn.first() == conn.WantClose {
		t.finish(false)
		if err := unix.Close(t.fd); err != nil {
			s.opts.Warn("closing a connection", err)
		}
		return false
	}
	c, err := netpoll.NewFDConnection(t.fd)
	if err != nil { // and the descriptor is closed
		s.opts.Warn("handing a connection to netpoll", err)
		t.finish(false)
		return false
	}
	t.c, t.in = c, c.Reader()
	t.timer = time.AfterFunc(untimed, t.expired)
	t.arm()
	return true
}

// setWaiting notes that a connection waits within a turn, or does so no longer.
func (s *netpollServer) setWaiting(c *ownedConn, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !waits {
		delete(s.held, c)
		c.unread.Store(0)
		return
	}
	s.held[c] = struct{}{}
	if !s.looking {
		s.looking = true
		time.AfterFunc(unreadEvery, s.checkUnread)
	}
}

// checkUnread ends those that wait while their clients send on and on.
func (s *netpollServer) checkUnread() {
	s.mu.Lock()
	var unread int64
	for c := range s.held {
		n := c.transport.(*netpollTransport).in.Len()
		c.unread.Store(int64(n))
		unread += int64(n)
		if n > unreadMax {
			s.interrupt(c, unix.SHUT_RDWR)
			c.wake()
		}
	}
	more := unread - s.unread
	s.unread = unread
	if s.looking = len(s.held) > 0; s.looking {
		time.AfterFunc(unreadEvery, s.checkUnread)
	}
	s.mu.Unlock()
	s.share.Add(more)
}

// netpollTransport is a connection of netpoll's. Its turns are begun by what
// comes (request), by its timer (expired) and by its end (closed).
type netpollTransport struct {
	server *netpollServer
	syscallTransport
	c  netpoll.Connection // nil: netpoll has refused it
	in netpoll.Reader

	turn    sync.Mutex // held while the connection is stepped; it guards what follows
	ended   bool
	timer   *time.Timer
	firesAt int64 // Clock.Mono; 0: it does not

	ending atomic.Bool // by us: closed has nothing to do
	hung   atomic.Bool // by netpoll, which is about to close the descriptor
}

// request is called by netpoll on a goroutine of its pool when something has
// come, one call at a time, and again while not all of it was taken.
func (t *netpollTransport) request(context.Context, netpoll.Connection) error {
	t.turn.Lock()
	defer t.unlock()
	if t.ended {
		return t.in.Skip(t.in.Len())
	}
	t.conn.woke()
	t.run(t.conn.step())
	return nil
}

// expired is called when the timer fires, which may be early.
func (t *netpollTransport) expired() {
	t.turn.Lock()
	defer t.unlock()
	t.firesAt = 0
	if !t.ended {
		t.run(conn.WantRead)
	}
}

// closed is called by netpoll, never during request, when the client has
// closed the connection, or we have. The descriptor is closed when it returns.
func (t *netpollTransport) closed(netpoll.Connection) error {
	if t.ending.Load() {
		return nil
	}
	t.hung.Store(true)
	t.conn.wake() // if expired has a turn that waits
	t.turn.Lock()
	defer t.unlock()
	if !t.ended {
		t.finish(t.conn.conn.Idle())
	}
	return nil
}

// run goes on with a turn until the connection ends or only the client can go on.
func (t *netpollTransport) run(want conn.Want) {
	if t.conn.drive(want) == conn.WantClose {
		t.finish(t.conn.wasIdle)
	} else {
		t.arm()
	}
}

// finish ends the connection.
func (t *netpollTransport) finish(idle bool) {
	t.ended = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.conn.wasIdle = idle
	t.conn.end()
}

// arm has the timer fire no later than the connection's does. It is not moved
// when that is later, which it is after each request.
func (t *netpollTransport) arm() {
	left := t.conn.timeLeft()
	if left <= 0 { // what has come is on its way: see look
		left = arrivesMin
	}
	if at := clock.Mono() + int64(left); t.firesAt == 0 || at < t.firesAt {
		t.firesAt = at
		t.timer.Reset(left)
	}
}

// wait implements ownedTransport: netpoll waits for what comes, and the turn for room.
func (t *netpollTransport) wait(want conn.Want, timeout time.Duration) bool {
	if want == conn.WantRead {
		return false
	}
	t.server.setWaiting(t.conn, true)
	t.server.writable.await(t.fd, timeout, t.conn.wakeup)
	t.server.setWaiting(t.conn, false)
	return true
}

// look implements ownedTransport. What is there and not in the buffer is about to be received by netpoll's poller.
func (t *netpollTransport) look() bool {
	return t.in.Len() == 0 && t.c.IsActive() && ready(t.fd, unix.POLLIN)
}

// errUnread ends a connection whose client sends more than is taken.
var errUnread = errors.New("iomodel: too many requests were sent ahead")

// Recv implements [conn.Transport].
func (t *netpollTransport) Recv(p []byte) (int, error) {
	active := t.c.IsActive() // before the look: what came before the end is seen
	n := min(t.in.Len(), len(p))
	switch {
	case n == 0 && active:
		return 0, conn.ErrAgain
	case n == 0:
		return 0, io.EOF
	case t.in.Len() > unreadMax:
		return 0, errUnread
	}
	b, err := t.in.Next(n)
	if err != nil {
		return 0, err
	}
	copy(p, b)
	t.conn.received()
	return n, t.in.Release()
}

// Send implements [conn.Transport].
func (t *netpollTransport) Send(head, body []byte, more bool) (int, error) {
	if t.hung.Load() {
		return 0, unix.EPIPE
	}
	return t.syscallTransport.Send(head, body, more)
}

// SendFile implements [conn.Transport].
func (t *netpollTransport) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	if t.hung.Load() {
		return 0, unix.EPIPE
	}
	return t.syscallTransport.SendFile(f, offset, count)
}

// Hangup implements [conn.Transport].
func (t *netpollTransport) Hangup() (half, all bool) {
	if t.hung.Load() {
		return true, true
	}
	return t.syscallTransport.Hangup()
}

// nudge has the timer run anew. Who steps the connection meanwhile finds out in unlock.
func (t *netpollTransport) nudge() {
	if t.turn.TryLock() {
		t.unlock()
	}
}

// unlock ends what turn was locked for. A nudge that came meanwhile found the lock taken, and left
// the looking around to its holder: it is done here, until there was no nudge since.
func (t *netpollTransport) unlock() {
	for {
		epoch := t.conn.epoch
		t.turn.Unlock()
		if !t.server.nudgedSince(epoch) || !t.turn.TryLock() {
			return // whoever has the lock now unlocks it here
		}
		t.conn.epoch = t.server.epoch.Load()
		if !t.ended && t.timer != nil {
			t.conn.beginTurn() // takes over new settings
			t.conn.endTurn()
			t.arm()
		}
	}
}

// What netpoll's poller is reading cannot be told or stopped, so that a
// connection that left it might leave bytes behind.
func (t *netpollTransport) drained() bool        { return false }
func (t *netpollTransport) detach() (int, error) { return -1, errors.ErrUnsupported }
func (t *netpollTransport) detached(int, bool)   {}

// close has netpoll close the descriptor: now, or when request returns.
func (t *netpollTransport) close() error {
	if t.c == nil || t.hung.Load() {
		return nil
	}
	t.ending.Store(true)
	return t.c.Close()
}
