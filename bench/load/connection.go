package load

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/socket"
)

// state is what a connection's socket is doing.
type state uint8

const (
	vacant     state = iota // there is no socket
	connecting              // connect(2) has not reported
	open
	waiting // there is no socket, and a pause before the next try
	crowded // the same, since the queue of a Unix socket's listener was full
)

// turn says which of the loop's lists a connection is in to be stepped again without an event.
type turn uint8

const (
	noTurn turn = iota
	queued      // in the ready list: it may have more to read
	paused      // in the group's list of slow readers, between two portions
)

// connection is one of a role's: when it ends, its successor takes its place here.
type connection struct {
	group      *group
	fd         int32
	index      uint32
	generation uint32 // of the socket: an event for an earlier one misses
	state      state
	turn       turn
	// ready has Readable if recv may find something, and Hangup if the stream's end is behind what there is to read.
	ready poller.Ready

	registered bool // the poller watches the socket
	listed     bool // it is in the group's list of free connections
	settling   bool // the ramp waits for it

	flight   fifo[request]
	unsent   []byte // rest of what send did not take
	answered int64  // right answers that it got
	active   int64  // when it last connected, began to wait for an answer, or read
	answer   answer
}

func (c *connection) token() poller.Token {
	return poller.Token(uint64(c.generation)<<32 | uint64(c.index))
}

// fill begins up to limit requests on c, as many as may be begun now, and sends
// them together. A vacant c is connected for them.
func (l *loop) fill(c *connection, limit int) {
	g := c.group
	if l.window.phase == ramping || g.Idle || len(c.unsent) > 0 || c.state != open && c.state != vacant {
		return
	}
	if c.flight.len == 0 {
		c.active = l.now
	}
	out := l.out[:0]
	for n := 0; n < limit && c.flight.len < g.Pipeline; n++ {
		due, ok := g.take(l.now, l.window.until)
		if !ok {
			break
		}
		out = l.begin(c, due, out)
	}
	l.out = out
	if len(out) > 0 {
		l.transmit(c, out)
	}
	l.list(c)
}

// begin puts one request in flight and appends its bytes to out.
func (l *loop) begin(c *connection, due int64, out []byte) []byte {
	g := c.group
	target := g.pick()
	c.flight.push(request{due: due, target: target})
	g.inFlight++
	g.result.Requests++
	return append(out, g.Targets[target].request...)
}

// list offers c, if it has room, to an open loop's coming requests.
func (l *loop) list(c *connection) {
	g := c.group
	usable := c.state == open || c.state == vacant && g.CloseEach
	if g.openLoop() && !c.listed && usable && len(c.unsent) == 0 && c.flight.len < g.Pipeline {
		c.listed = true
		g.free.push(c.index)
	}
}

// transmit sends out, connecting first if there is no socket.
func (l *loop) transmit(c *connection, out []byte) {
	if c.state == vacant {
		l.connect(c, out)
		return
	}
	n, err := l.calls.Send(int(c.fd), out, nil, false)
	if err != nil && err != unix.EAGAIN {
		l.failCall(c, "send", err)
		return
	}
	c.unsent = append(c.unsent[:0], out[n:]...)
}

// flush sends what is unsent. It reports whether all of it is gone and c alive.
func (l *loop) flush(c *connection) bool {
	n, err := l.calls.Send(int(c.fd), c.unsent, nil, false)
	if err != nil && err != unix.EAGAIN {
		l.failCall(c, "send", err)
		return false
	}
	c.unsent = c.unsent[:copy(c.unsent, c.unsent[n:])]
	return len(c.unsent) == 0
}

// connect opens a socket for the vacant c and sends out at once if it can: on
// loopback the handshake is over when connect(2) returns, though that says EINPROGRESS.
func (l *loop) connect(c *connection, out []byte) {
	fd, call, err := dial(c.group)
	if err == unix.EAGAIN && c.group.Addr.path != "" {
		l.tryLater(c)
		return
	}
	if err != nil {
		l.failCall(c, call, err)
		return
	}
	c.fd, c.state, c.active = int32(fd), connecting, l.now
	sent := 0
	if len(out) > 0 {
		n, err := l.calls.Send(fd, out, nil, false)
		switch err {
		case nil:
			l.established(c)
			sent = n
		case unix.EAGAIN, unix.ENOTCONN: // the latter on BSD
		default:
			l.failCall(c, "connect", err)
			return
		}
	}
	c.unsent = append(c.unsent[:0], out[sent:]...)
	if err := l.poller.Add(fd, c.token(), poller.Readable|poller.Writable, 0); err != nil {
		l.broken(err)
		return
	}
	c.registered = true
}

// tryLater has c connect again after a pause: the queue of a Unix socket's listener is full, and unlike TCP's
// it lets a non-blocking connect(2) neither wait nor hear of room (unix(7)). The requests in
// flight stay, and Options.Timeout counts from the first try.
func (l *loop) tryLater(c *connection) {
	if c.state != crowded {
		c.state, c.active = crowded, l.now
	}
	l.retries.push(delay{c.token(), l.now + int64(retryPause)})
}

// dial makes a socket and begins to connect it. If it fails it says which call did.
func dial(g *group) (fd int, call string, err error) {
	if fd, err = socket.New(g.Addr.family()); err != nil {
		return -1, "socket", err
	}
	if g.RecvBuffer > 0 {
		call, err = "setsockopt SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, g.RecvBuffer)
	}
	// One request in one send has nothing to be delayed behind, and a Unix socket delays nothing.
	if err == nil && !g.CloseEach && g.Addr.path == "" {
		call, err = "setsockopt TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		call, err = "connect", unix.Connect(fd, g.addr)
	}
	if err == nil || err == unix.EINPROGRESS || err == unix.EINTR { // EINTR: it goes on all the same
		return fd, "", nil
	}
	// What Close could say is not what went wrong.
	_ = unix.Close(fd)
	return -1, call, err
}

// established is the end of a connect that succeeded.
func (l *loop) established(c *connection) {
	c.state = open
	c.group.result.Opened++
}

// connected asks how the connect ended. It reports whether c is open.
func (l *loop) connected(c *connection) bool {
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		l.broken(fmt.Errorf("load: getsockopt SO_ERROR: %w", err))
		return false
	}
	if errno != 0 {
		l.failCall(c, "connect", syscall.Errno(errno))
		return false
	}
	l.established(c)
	g := c.group
	if (g.Idle || g.Greet && c.settling) && len(g.Targets) > 0 {
		l.transmit(c, l.begin(c, l.now, l.out[:0])) // it settles with the answer
	} else {
		l.ramp.settle(c)
	}
	return c.state == open
}

// step does what c's socket allows.
func (l *loop) step(c *connection, writable bool) {
	if c.state == connecting && (!writable || !l.connected(c)) {
		return
	}
	if len(c.unsent) > 0 && writable && !l.flush(c) && c.state != open {
		return
	}
	if c.flight.len == 0 {
		l.fill(c, c.group.Pipeline)
	}
	if c.ready&poller.Readable != 0 && c.turn != paused && c.state == open {
		l.receive(c)
	}
}

// receive gives c a turn: one recv and all that follows from it. A connection that may have more to
// read goes to the back of the ready list, so that a download does not add its own time to others' latencies.
func (l *loop) receive(c *connection) {
	buf, slow := l.buf, c.group.ReadRate > 0
	if slow {
		buf = buf[:min(c.group.chunk, len(buf))]
	}
	n, err := socket.Recv(int(c.fd), buf)
	switch {
	case err == unix.EAGAIN:
		c.ready &^= poller.Readable
		return
	case err != nil:
		l.failCall(c, "recv", err)
		return
	case n == 0:
		l.endOfStream(c)
		return
	}
	l.now = l.clock()
	c.active = l.now
	// A short recv has emptied the socket: what comes later is a new edge. Only
	// a hangup that was reported already will not be again.
	if n < len(buf) && c.ready&poller.Hangup == 0 {
		c.ready &^= poller.Readable
	}
	if !l.consume(c, buf[:n]) {
		return
	}
	switch {
	case slow:
		c.turn = paused
		c.group.paused.push(delay{c.token(), l.now + c.group.tick})
	case c.ready&poller.Readable != 0 && c.turn == noTurn:
		c.turn = queued
		l.ready = append(l.ready, c.token())
	}
	l.fill(c, c.group.Pipeline)
}

// endOfStream is recv's 0.
func (l *loop) endOfStream(c *connection) {
	g := c.group
	if c.answer.inContent && c.answer.head.framing == byClose {
		l.complete(c, nil)
		return
	}
	if c.flight.len > 0 {
		g.note(Short, "the server closed with %d answers due, %d content bytes into the first", c.flight.len,
			c.answer.offset)
		l.fail(c, Short)
		return
	}
	g.result.Closed++
	l.disconnect(c)
	l.ramp.settle(c)
	l.restart(c)
}

// failCall is the end of a connection by a call's error.
func (l *loop) failCall(c *connection, call string, err error) {
	f := Reset
	switch {
	case err == unix.ECONNREFUSED:
		f = Refused
	case err == unix.ETIMEDOUT:
		f = Timeout
	case err == unix.ECONNRESET || err == unix.EPIPE:
	case c.state != open:
		f = Unreachable
	}
	hint := ""
	if err == unix.EADDRNOTAVAIL {
		hint = ": all local ports are in use or in TIME-WAIT; widen net.ipv4.ip_local_port_range"
	}
	c.group.note(f, "%s %v: %v%s", call, c.group.Addr, err, hint)
	l.fail(c, f)
}

// fail counts what ended c's connection, and the requests lost with it. Another try is made after a pause.
func (l *loop) fail(c *connection, f Failure) {
	g := c.group
	g.result.Failures[f]++
	g.result.Lost += int64(c.flight.len)
	g.inFlight -= int64(c.flight.len)
	if f == Timeout {
		for i := range c.flight.len {
			l.gaveUp(g, c.flight.at(i).due)
		}
	}
	c.flight.clear()
	l.disconnect(c)
	l.ramp.settle(c)
	if !g.Idle {
		c.state = waiting
		l.retries.push(delay{c.token(), l.now + int64(retryPause)})
	}
}

// gaveUp records how long a request had waited when it was given up: less than its latency would have been.
func (l *loop) gaveUp(g *group, due int64) {
	if l.window.contains(due) {
		g.result.Latency.record(l.now - due)
	}
}

// disconnect closes c's socket, if it has one, and makes c vacant. Requests in flight stay.
func (l *loop) disconnect(c *connection) {
	if c.registered {
		if err := l.poller.Remove(int(c.fd)); err != nil {
			l.broken(err)
		}
	}
	if c.fd >= 0 {
		if err := unix.Close(int(c.fd)); err != nil {
			l.broken(fmt.Errorf("load: close: %w", err))
		}
	}
	c.fd, c.state = -1, vacant
	c.generation = max(c.generation+1, 1) // 0 is the alarm's
	c.registered, c.ready, c.turn = false, 0, noTurn
	c.unsent = c.unsent[:0]
	c.answer.partial, c.answer.inContent, c.answer.offset = c.answer.partial[:0], false, 0
}

// restart has c, which has no socket, go on: with what it had in flight behind an answer
// that said close or when it could not connect, or with new requests, or with a connection for those to come.
func (l *loop) restart(c *connection) {
	g := c.group
	if g.Idle {
		return
	}
	if c.flight.len > 0 {
		l.reconnect(c)
		return
	}
	l.fill(c, g.Pipeline)
	if c.state == vacant && !g.CloseEach && g.left != 0 && l.now < l.window.until {
		l.connect(c, nil)
	}
}

// reconnect connects c for what it has in flight.
func (l *loop) reconnect(c *connection) {
	out := l.out[:0]
	for i := range c.flight.len {
		out = append(out, c.group.Targets[c.flight.at(i).target].request...)
	}
	l.out = out
	l.connect(c, out)
}
