package load

import (
	"bytes"
	"fmt"
	"math"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/socket"
)

// state is what a client's socket is doing.
type state uint8

const (
	vacant     state = iota // there is no socket
	connecting              // connect(2) has not reported
	open
	waiting // there is no socket, and a pause before the next try
	crowded // the same, since the queue of a Unix socket's listener was full
)

// client is one connection: when it ends, its successor takes its place here.
type client struct {
	group      *group
	fd         int32
	index      uint32
	generation uint32 // of the socket: an event for an earlier one misses
	state      state

	registered bool
	readable   bool // recv may find something
	hangup     bool // the end of the stream is behind what there is to read
	queued     bool // in the loop's ready list
	parked     bool // a slow reader between two portions
	listed     bool // in the group's list of free connections
	settling   bool // the ramp waits for it
	served     bool // it got a right answer once

	flight fifo[request]
	unsent []byte // rest of what send did not take
	active int64  // when it last connected, began to wait for an answer, or read

	// The response that is being received.
	partial   []byte // of a head that came in parts
	inBody    bool   // the head is complete
	head      head
	chunks    chunks  // of a chunked content
	remaining int64   // of the content, or of the chunk, in bytes
	offset    int64   // in the content
	compare   bool    // the content is compared
	verdict   Failure // NumFailures: nothing wrong yet
}

func (c *client) token() poller.Token {
	return poller.Token(uint64(c.generation)<<32 | uint64(c.index))
}

// fill begins up to limit requests on c, as many as may be begun now, and sends
// them together. A vacant c is connected for them.
func (l *loop) fill(c *client, limit int) {
	g := c.group
	if !l.started || g.Idle || len(c.unsent) > 0 || c.state != open && c.state != vacant {
		return
	}
	if c.flight.len == 0 {
		c.active = l.now
	}
	out := l.out[:0]
	for n := 0; n < limit && c.flight.len < g.Pipeline; n++ {
		due, ok := g.take(l.now, l.until)
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
func (l *loop) begin(c *client, due int64, out []byte) []byte {
	g := c.group
	target := g.pick()
	c.flight.push(request{due: due, target: target})
	g.inFlight++
	g.result.Requests++
	return append(out, g.targets[target].request...)
}

// list offers c, if it has room, to an open loop's coming requests.
func (l *loop) list(c *client) {
	g := c.group
	usable := c.state == open || c.state == vacant && g.CloseEach
	if g.openLoop() && !c.listed && usable && len(c.unsent) == 0 && c.flight.len < g.Pipeline {
		c.listed = true
		g.free.push(c.index)
	}
}

// transmit sends out, connecting first if there is no socket.
func (l *loop) transmit(c *client, out []byte) {
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
func (l *loop) flush(c *client) bool {
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
func (l *loop) connect(c *client, out []byte) {
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
func (l *loop) tryLater(c *client) {
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
func (l *loop) established(c *client) {
	c.state = open
	c.group.result.Opened++
}

// connected asks how the connect ended. It reports whether c is open.
func (l *loop) connected(c *client) bool {
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
	if (g.Idle || g.Greet && c.settling) && len(g.targets) > 0 {
		l.transmit(c, l.begin(c, l.now, l.out[:0])) // it settles with the answer
	} else {
		l.settle(c)
	}
	return c.state == open
}

// step does what c's socket allows.
func (l *loop) step(c *client, writable bool) {
	if c.state == connecting && (!writable || !l.connected(c)) {
		return
	}
	if len(c.unsent) > 0 && writable && !l.flush(c) && c.state != open {
		return
	}
	if c.flight.len == 0 {
		l.fill(c, c.group.Pipeline)
	}
	if c.readable && !c.parked && c.state == open {
		l.receive(c)
	}
}

// receive gives c a turn: one recv and all that follows from it. Who may have more to
// read goes to the back of the ready list, so that a download does not add its own time to others' latencies.
func (l *loop) receive(c *client) {
	buf, slow := l.buf, c.group.ReadRate > 0
	if slow {
		buf = buf[:min(c.group.chunk, len(buf))]
	}
	n, err := socket.Recv(int(c.fd), buf)
	switch {
	case err == unix.EAGAIN:
		c.readable = false
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
	c.readable = n == len(buf) || c.hangup
	if !l.consume(c, buf[:n]) {
		return
	}
	switch {
	case slow:
		c.parked = true
		c.group.parked.push(delay{c.token(), l.now + c.group.tick})
	case c.readable && !c.queued:
		c.queued = true
		l.ready = append(l.ready, c.token())
	}
	l.fill(c, c.group.Pipeline)
}

// endOfStream is recv's 0.
func (l *loop) endOfStream(c *client) {
	g := c.group
	if c.inBody && c.head.framing == byClose {
		l.complete(c, nil)
		return
	}
	if c.flight.len > 0 {
		g.note(Short, fmt.Sprintf("the server closed with %d answers due, %d content bytes into the first", c.flight.len, c.offset))
		l.fail(c, Short)
		return
	}
	g.result.Closed++
	l.disconnect(c)
	l.settle(c)
	l.restart(c)
}

// consume takes what was received for the requests in flight. It reports false
// when the connection is over.
func (l *loop) consume(c *client, data []byte) bool {
	for len(data) > 0 {
		if !c.inBody {
			n, err := l.parse(c, data)
			if err != nil {
				return l.malformed(c, err)
			}
			if data = data[n:]; !c.inBody {
				continue // an interim response, or part of a head, which was all
			}
		}
		if c.head.framing == byChunks {
			n, err := l.unchunk(c, data)
			if err != nil {
				return l.malformed(c, err)
			}
			if data = data[n:]; c.chunks.part != chunksOver {
				return true
			}
		} else if data = data[l.content(c, data):]; c.remaining > 0 {
			return true
		}
		if !l.complete(c, data) {
			return false
		}
	}
	return true
}

// malformed ends the connection of a server whose bytes are no response. It reports false, as consume does.
func (l *loop) malformed(c *client, err error) bool {
	c.group.note(Malformed, err.Error())
	l.fail(c, Malformed)
	return false
}

// unchunk takes chunks, and the content in them, from data. It returns how many
// bytes it took: all, unless the content ended before.
func (l *loop) unchunk(c *client, data []byte) (int, error) {
	taken := 0
	for taken < len(data) && c.chunks.part != chunksOver {
		if c.chunks.part != chunkData {
			n, err := c.chunks.next(data[taken:])
			if err != nil {
				return 0, err
			}
			taken += n
			c.remaining = c.chunks.size
			continue
		}
		taken += l.content(c, data[taken:])
		if c.remaining == 0 {
			c.chunks.dataOver()
		}
	}
	return taken, nil
}

// parse looks for the head of the response to the first request in flight. It
// returns how many bytes of data it took; c.inBody says whether the head is complete
// and is the final response's. Interim ones (1xx) are passed over (RFC 9110 section 15.2).
func (l *loop) parse(c *client, data []byte) (int, error) {
	if c.flight.len == 0 {
		return 0, errUninvited
	}
	t := &c.group.targets[c.flight.at(0).target]
	had := len(c.partial)
	buf := data
	if had > 0 {
		c.partial = append(c.partial, data[:min(len(data), headMax-had)]...)
		buf = c.partial
	}
	n, err := parseHead(buf, t.toHead, &c.head)
	switch {
	case err != nil:
		return 0, err
	case n == 0 && had == 0:
		c.partial = append(c.partial, data...)
		return len(data), nil
	case n == 0:
		return len(data), nil
	}
	c.partial = c.partial[:0]
	if c.head.status < 200 {
		return n - had, nil
	}
	c.inBody, c.remaining, c.offset = true, c.head.length, 0
	switch c.head.framing {
	case byChunks:
		c.chunks = chunks{}
	case byClose:
		c.remaining = math.MaxInt64
	}
	l.judge(c, t)
	return n - had, nil
}

// judge compares the head with what the target must answer.
func (l *loop) judge(c *client, t *target) {
	h := &c.head
	c.compare = false
	switch {
	case !t.accepts(h.status):
		c.verdict = WrongStatus
		if c.group.result.First[WrongStatus] == "" { // not built for every one of a million
			c.group.note(WrongStatus, fmt.Sprintf("%s: status %d, not %s", t.path, h.status, statusText(t.status)))
		}
	case h.framing == byLength && t.length != AnyLength && max(h.announced, 0) != t.length:
		c.verdict = WrongLength
		if c.group.result.First[WrongLength] == "" {
			c.group.note(WrongLength, fmt.Sprintf("%s: Content-Length %d, not %d", t.path, h.announced, t.length))
		}
	default:
		c.verdict = NumFailures
		c.compare = t.body != nil && !t.toHead && c.group.compares()
	}
}

// content takes the content's next part from data and returns its length.
func (l *loop) content(c *client, data []byte) int {
	part := data[:min(int64(len(data)), c.remaining)]
	if c.compare {
		l.compare(c, part)
	}
	c.offset += int64(len(part))
	c.remaining -= int64(len(part))
	if l.inWindow(l.now) {
		c.group.result.Bytes += int64(len(part))
	}
	return len(part)
}

// compare holds a part of the content against what is expected. Beyond what is
// expected there is nothing to compare: the length is wrong then, which is seen at the end.
func (l *loop) compare(c *client, part []byte) {
	t := &c.group.targets[c.flight.at(0).target]
	from := min(c.offset, int64(len(t.body)))
	to := min(c.offset+int64(len(part)), int64(len(t.body)))
	if bytes.Equal(part[:to-from], t.body[from:to]) {
		return
	}
	c.compare, c.verdict = false, WrongContent
	if c.group.result.First[WrongContent] == "" {
		c.group.note(WrongContent, fmt.Sprintf("%s: other content within the %d bytes from offset %d", t.path, len(part),
			c.offset))
	}
}

// measure looks at the length of a content that had not been announced.
func (l *loop) measure(c *client) {
	t := &c.group.targets[c.flight.at(0).target]
	if c.verdict != NumFailures || t.length == AnyLength || c.offset == t.length {
		return
	}
	c.verdict = WrongLength
	if c.group.result.First[WrongLength] == "" {
		c.group.note(WrongLength, fmt.Sprintf("%s: %d bytes of content, not %d", t.path, c.offset, t.length))
	}
}

// complete is the end of one response; rest is what came behind it. It reports
// false when the connection is over.
func (l *loop) complete(c *client, rest []byte) bool {
	g := c.group
	if c.head.framing != byLength {
		l.measure(c)
	}
	req := c.flight.pop()
	g.inFlight--
	g.statuses[c.head.status]++
	c.inBody, c.offset = false, 0
	if c.verdict != NumFailures {
		g.result.Failures[c.verdict]++
	} else {
		l.answered(c, req)
	}
	l.settle(c)
	if !c.head.close && !g.CloseEach {
		return true
	}
	if len(rest) > 0 {
		return l.malformed(c, errBehindClose)
	}
	l.disconnect(c)
	g.result.Resent += int64(c.flight.len)
	l.restart(c)
	return false
}

// answered counts a right answer.
func (l *loop) answered(c *client, req request) {
	r := &c.group.result
	r.Answered++
	if c.compare {
		r.Compared++
	}
	if l.inWindow(l.now) {
		r.Completed++
	}
	if l.inWindow(req.due) {
		r.Latency.record(l.now - req.due)
	}
	if !c.served {
		c.served = true
		r.Served++
	}
}

// failCall is the end of a connection by a call's error.
func (l *loop) failCall(c *client, call string, err error) {
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
	if c.group.result.First[f] == "" {
		text := fmt.Sprintf("%s %v: %v", call, c.group.Addr, err)
		if err == unix.EADDRNOTAVAIL {
			text += ": all local ports are in use or in TIME-WAIT; widen net.ipv4.ip_local_port_range"
		}
		c.group.note(f, text)
	}
	l.fail(c, f)
}

// fail counts what ended c's connection, and the requests lost with it. Another try is made after a pause.
func (l *loop) fail(c *client, f Failure) {
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
	l.settle(c)
	if !g.Idle {
		c.state = waiting
		l.retries.push(delay{c.token(), l.now + int64(retryPause)})
	}
}

// gaveUp records how long a request had waited when it was given up: less than its latency would have been.
func (l *loop) gaveUp(g *group, due int64) {
	if l.inWindow(due) {
		g.result.Latency.record(l.now - due)
	}
}

// disconnect closes c's socket, if it has one, and makes c vacant. Requests in flight stay.
func (l *loop) disconnect(c *client) {
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
	c.registered, c.readable, c.hangup, c.queued, c.parked = false, false, false, false, false
	c.unsent, c.partial, c.inBody, c.offset = c.unsent[:0], c.partial[:0], false, 0
}

// restart has c, which has no socket, go on: with what it had in flight behind an answer
// that said close or when it could not connect, or with new requests, or with a connection for those to come.
func (l *loop) restart(c *client) {
	g := c.group
	if g.Idle {
		return
	}
	if c.flight.len > 0 {
		l.reconnect(c)
		return
	}
	l.fill(c, g.Pipeline)
	if c.state == vacant && !g.CloseEach && g.left != 0 && l.now < l.until {
		l.connect(c, nil)
	}
}

// reconnect connects c for what it has in flight.
func (l *loop) reconnect(c *client) {
	out := l.out[:0]
	for i := range c.flight.len {
		out = append(out, c.group.targets[c.flight.at(i).target].request...)
	}
	l.out = out
	l.connect(c, out)
}
