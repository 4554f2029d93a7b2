package iomodel

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/sendfile"
	"github.com/evhttpd/evhttpd/socket"
)

const (
	// quietMin is how long no connection must have received anything for a request to have
	// come alone (conn.Output.Alone), unless the same connection was the last to receive.
	quietMin = 10 * time.Millisecond
	// sleepMin is less than a client takes for its next request, and more than it
	// takes to find one that is there already.
	sleepMin = 20 * time.Microsecond
	// untimed is how long a wait without a timeout lasts before it is begun anew.
	untimed = time.Hour
)

// ownedTransport is one connection's socket as a model sees it.
type ownedTransport interface {
	conn.Transport
	// wait blocks until the socket is ready for want, WantRead or WantWrite, or timeout passes;
	// it may return early. A transport whose calls block themselves only notes the timeout. It
	// returns false if the model is event-driven: an event will step the connection.
	wait(want conn.Want, timeout time.Duration) bool
	// look has the next Recv ask the socket, without waiting, where it would believe without that that nothing
	// is there. It returns true if something is there and an event will step the connection.
	look() bool
	// interrupt ends waits for the socket, now and from now on, by shutdown(2). It may be called
	// from any goroutine until close.
	interrupt(how int)
	// nudge has the connection look around (ownedServer.nudge): it ends a wait that other goroutines can end.
	// It may be called from any goroutine until close.
	nudge()
	// drained reports whether the connection has taken everything that was received.
	drained() bool
	// detach gives the non-blocking descriptor for another server to go on with,
	// by the goroutine that steps the connection. If it fails the connection stays. detached
	// follows and tells whether it was taken; then close is not called.
	detach() (fd int, err error)
	detached(fd int, taken bool)
	close() error
}

// ownedConn is one connection of an ownedServer. It is stepped by one goroutine at a time.
type ownedConn struct {
	server    *ownedServer
	transport ownedTransport
	conn      conn.Conn
	local     *conn.Workspace // the thread's own, or lent for the turn
	token     uint64

	using        atomic.Pointer[settings] // those that the turn is made with; nil: there is no turn
	epoch        uint64                   // the server's, as it was before the settings of the last turn were read
	turnEnded    int64                    // Clock.Mono at the end of the last turn
	countedPhase conn.Phase               // the phase that the connection is counted under
	waited       bool                     // the turn begins with what the connection waited for
	wakes        uint64                   // server.wakes when the connection last received what it waited for
	wasIdle      bool                     // the connection was between two requests before the turn
	unmovable    bool                     // no server takes the connection over: its next answer is its last
	left         bool                     // the connection has ended, or another server has it

	// idle is since when (Clock.Mono) the connection is idle, negative if it
	// has not sent a byte yet; 0: it is in use.
	idle atomic.Int64
	// partial is since when it is in the middle of a head, negative if of a body; 0: of neither.
	partial atomic.Int64
	evicted bool // under server.mu: the connection is to end, and is not counted any more

	held   atomic.Int64 // bytes, between two turns
	unread atomic.Int64 // bytes that were received for the connection and not taken (netpoll)
	since  atomic.Int64 // Clock.Mono: the connection has made no progress since
	cut    atomic.Int64 // bytes that the connection held when relieve ended it; 0: relieve did not

	// How other goroutines reach a connection that waits for a job or its Source.
	wakeup  chan struct{} // has room for one: waking twice is waking once
	results []jobResult   // under server.mu
}

// beginTurn has the connection use the server's settings, and a Workspace.
func (c *ownedConn) beginTurn() {
	c.epoch = c.server.epoch.Load() // before the settings: see nudge
	if t := c.useSettings(); c.server.onThread {
		c.renew(t)
	} else {
		c.local = t.workspaces.Get().(*conn.Workspace)
	}
	c.local.Token = c.token
	c.refresh()
	c.conn.CountClient(c.local)
}

// renew gives the thread's own Workspace what a reload has replaced. It may be called
// within a turn, as long as nothing is being answered.
func (c *ownedConn) renew(t *settings) {
	if c.local.Config != t.config {
		c.local.Config, c.local.Handler, c.local.Log = t.config, t.newHandler(), t.log
	}
}

// refresh brings what the Workspace says up to date: before a turn, and within it
// after each call that may have waited.
func (c *ownedConn) refresh() {
	l := c.local
	now := clock.Now()
	l.Settle(now.Mono)
	l.Clock = now
	l.Closing = c.closes()
	l.Alone = c.waited && c.alone(l.Clock.Mono)
	c.waited = false
}

// closes reports whether each answer is to be the connection's last.
func (c *ownedConn) closes() bool {
	s := c.server
	return s.draining() || s.crowded.Load() || c.unmovable || s.immovable && s.successor.Load() != nil
}

// received is called when something was received, which may be long after the turn began: a client which asks
// after Drain or Handover has returned is told that the answer is the last.
func (c *ownedConn) received() { c.local.Closing = c.closes() }

// spared is where in model.EvictionOrder the connection's phase is, and since when it is in that; beyond the order's
// end if it can make no room.
func (c *ownedConn) spared() (order int, since int64) {
	idle, partial := c.idle.Load(), c.partial.Load()
	phase := conn.NumPhases
	switch {
	case idle > 0:
		phase = conn.PhaseIdle
	case idle < 0:
		phase = conn.PhaseFirstByte
	case partial > 0:
		phase = conn.PhaseHead
	case partial < 0:
		phase = conn.PhaseBody
	}
	for order < len(model.EvictionOrder) && model.EvictionOrder[order] != phase {
		order++
	}
	return order, max(idle, -idle, partial, -partial)
}

// woke notes that the connection has received something that it waited for.
func (c *ownedConn) woke() {
	c.waited = true
	if c.idle.Load() != 0 {
		c.idle.Store(0)
	}
	if c.partial.Load() != 0 {
		c.partial.Store(0)
	}
}

// alone reports whether what the connection has received came by itself: no other
// connection has received anything since its last time, or for a while.
func (c *ownedConn) alone(now int64) bool {
	s := c.server
	wakes := s.wakes.Add(1)
	same := wakes == c.wakes+1 && now-c.turnEnded >= int64(sleepMin)
	c.wakes = wakes
	return now-s.lastWake.Swap(now) >= int64(quietMin) || same || s.open.Load() == 1
}

// endTurn makes known what the turn has changed, and gives the settings and the Workspace back.
func (c *ownedConn) endTurn() {
	var idle, partial int64
	switch phase, since := c.conn.Phase(); phase {
	case conn.PhaseIdle:
		idle = since
	case conn.PhaseFirstByte:
		idle = -since
	case conn.PhaseHead:
		partial = since
	case conn.PhaseBody:
		partial = -since
	}
	if c.idle.Load() != idle {
		c.idle.Store(idle)
	}
	if c.partial.Load() != partial {
		c.partial.Store(partial)
	}
	c.turnEnded = clock.Mono()
	c.account()
	c.tellHeld()
	if !c.server.onThread {
		c.using.Load().workspaces.Put(c.local)
		c.local = nil
	}
	if !c.server.onThread || !c.conn.Deferred() {
		c.using.Store(nil) // else the job, which runs on this thread, uses them still
	}
}

// turn gives the connection a turn, in which do is called.
func (c *ownedConn) turn(do func() conn.Want) conn.Want {
	c.beginTurn()
	c.wasIdle = c.conn.Idle()
	want := do()
	c.endTurn()
	return want
}

// step has the connection do what it can.
func (c *ownedConn) step() conn.Want {
	return c.turn(func() conn.Want { return c.conn.Step(c.transport, c.local) })
}

// expire tells the connection that its timer has run out.
func (c *ownedConn) expire() conn.Want {
	return c.turn(func() conn.Want {
		ticket, waits := c.conn.Awaits()
		want := c.conn.Expire(c.transport, c.local)
		if waits && !c.server.onThread {
			c.server.opts.Pool.Review(c.waiting(), ticket, &c.local.Counters)
		}
		return want
	})
}

// first is what a connection that was just started, or handed over, wants.
func (c *ownedConn) first() conn.Want {
	if c.conn.Dismissed() {
		return conn.WantClose
	}
	return conn.WantRead
}

// timeLeft is how long the connection's timer still has to run.
func (c *ownedConn) timeLeft() time.Duration {
	phase, since := c.conn.Phase()
	timeout := c.server.settings.Load().config.Timeout(phase)
	if timeout == 0 {
		return untimed
	}
	return timeout - time.Duration(c.turnEnded-since)
}

// drive gives the connection, which wants that, one turn after the other and
// waits in between. It returns WantClose when the connection is to end, and
// before that only if its transport leaves the waiting to events.
func (c *ownedConn) drive(want conn.Want) conn.Want {
	c.turnEnded = clock.Mono()
	for want != conn.WantClose {
		if want == conn.WantRead && c.handOver() {
			return conn.WantClose
		}
		if c.server.graceOver() || c.cut.Load() != 0 {
			c.wasIdle = c.conn.Idle()
			return conn.WantClose
		}
		left := c.timeLeft()
		if left <= 0 {
			if want == conn.WantRead && c.transport.look() {
				return want
			}
			want = c.expire()
			continue
		}
		switch want {
		case conn.WantYield:
			runtime.Gosched()
		case conn.WantDeferred:
			c.work(left)
		case conn.WantSource:
			c.sleep(left)
		default:
			if !c.transport.wait(want, left) {
				return want
			}
		}
		want = c.step()
	}
	return want
}

// end frees what the connection holds and closes it.
func (c *ownedConn) end() {
	if c.left {
		return
	}
	s := c.server
	c.beginTurn()
	if !s.onThread {
		s.opts.Pool.LeaveFor(c.waiting(), &c.local.Counters)
	}
	c.conn.Release(c.local)
	c.local.Hold(-s.perConn)
	c.left = true
	c.local.Counters.Calls[conn.CallClose]++
	c.endTurn()
	s.mu.Lock()
	s.forget(c) // before the descriptor's number can be another's
	switch {
	case !s.graceOver():
	case c.wasIdle:
		s.ended.Idle++
	default:
		s.ended.Cut++
	}
	s.mu.Unlock()
	if c.cut.Load() != 0 {
		s.share.Relieved() // that may not have been enough
	}
	for _, r := range c.results { // there will be no more: nobody finds the connection
		r.result.Release()
	}
	if err := c.transport.close(); err != nil {
		s.opts.Warn("closing a connection", err)
	}
	s.all.Done()
}

// syscallTransport is what these transports have in common: they send by system calls of their own.
type syscallTransport struct {
	conn *ownedConn
	fd   int
}

// Send implements [conn.Transport].
func (t *syscallTransport) Send(head, body []byte, more bool) (int, error) {
	n, err := send(t.fd, head, body, more)
	t.conn.called(conn.CallSend, err)
	return n, again(err)
}

// SendFile implements [conn.Transport].
func (t *syscallTransport) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	n, err := sendfile.Send(t.fd, f, offset, count)
	t.conn.calledSendfile(f, err)
	return n, again(err)
}

// Resident implements [conn.Transport]. A goroutine may wait for the disk, but
// on a thread: the pool bounds their number.
func (t *syscallTransport) Resident(f *sendfile.File, offset, count int64) bool {
	return f.Resident(offset, count)
}

// CloseWrite implements [conn.Transport].
func (t *syscallTransport) CloseWrite() error {
	t.conn.called(conn.CallShutdown, nil)
	return unix.Shutdown(t.fd, unix.SHUT_WR)
}

// Unacked implements [conn.Transport].
func (t *syscallTransport) Unacked() int { return socket.Unacked(t.fd) }

// Hangup implements [conn.Transport].
func (t *syscallTransport) Hangup() (half, all bool) { return socket.Hangup(t.fd) }

// interrupt implements ownedTransport. It fails only when the connection is gone already.
func (t *syscallTransport) interrupt(how int) { _ = unix.Shutdown(t.fd, how) }
