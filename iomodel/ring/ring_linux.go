package ring

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/reactor"
	"github.com/evhttpd/evhttpd/uring"
)

const (
	// Requests arrive in these buffers, which are held from the completion to
	// the connection's turn in the same batch. What is longer is received directly.
	recvBuffers    = 128
	recvBufferSize = 4 << 10
	recvGroup      = 0
)

// What a completion is of: bits 24 to 31 of its user data. The others are the
// token, whose index has 24 bits: 16 million connections a loop.
const (
	opRecv = iota
	opSend // without waiting; completes only if it could not take everything
	opRest // the rest of that, which waits
	opPoll // for room to send
	opAccept
	opListen // a poll of a listener
	opWake
	opCancel

	opShift   = 24
	indexBits = 24
)

func userData(token poller.Token, op uint64) uint64 { return uint64(token) | op<<opShift }

// ring is the [reactor.Completer] over one io_uring. Step finds in memory
// what a recv of the kernel's has brought, and what it sends leaves with the next
// io_uring_enter, the one that also asks for the next recv and waits. Everything
// that would not gain by this is done at once through direct: the first turn of
// a new connection, whose request is there already, large bodies and files.
type ring struct {
	ring    *uring.Ring
	buffers *uring.Buffers
	direct  *reactor.SyscallTransport
	enabled bool
	err     error       // why the ring cannot go on
	backlog []uring.SQE // requests that the ring had no room for, oldest first

	connections connections
	transport   transport
	events      []poller.Event // completed and not reported yet
	reported    int            // of events
	rearm       []poller.Token // their recv found no buffer
	inFlight    int            // requests that are sure to complete
	listeners   []listener     // by token
	out         outbox
	enters      uint64 // calls of io_uring_enter
	requests    uint64

	poller.Waker      // whose counter is never read: each write is reported
	wakeArmed    bool // there is a poll of its descriptor
}

func newRing(s size, buffers int) (*ring, error) {
	r := &ring{}
	r.transport.ring = r
	if err := r.Waker.Open("io_uring loop"); err != nil {
		return nil, err
	}
	if err := r.open(s, buffers); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *ring) open(s size, buffers int) (err error) {
	if r.ring, err = uring.New(s.requests, s.completions); err != nil {
		return err
	}
	if r.buffers, err = r.ring.ProvideBuffers(recvGroup, buffers, recvBufferSize); err != nil {
		return err
	}
	return r.out.open()
}

// Bind implements [reactor.Completer].
func (r *ring) Bind(direct *reactor.SyscallTransport) {
	r.direct, r.transport.Transport = direct, direct
	r.out.hold = direct.Hold
}

// Wait implements [poller.Poller]: one io_uring_enter submits what the last
// batch asked for and waits for what completes. The first one makes the calling
// thread the ring's own.
func (r *ring) Wait(events []poller.Event, timeout time.Duration) (int, error) {
	if !r.enabled {
		if err := r.ring.Enable(); err != nil {
			return 0, err
		}
		r.enabled = true
	}
	waiting := r.arm()
	if waiting || r.reported < len(r.events) {
		timeout = 0
	}
	if len(events) == 0 {
		return 0, r.takeAll()
	}
	if err := r.enter(timeout); err != nil {
		return 0, err
	}
	r.reportListeners()
	n := copy(events, r.events[r.reported:])
	if r.reported += n; r.reported == len(r.events) {
		r.events, r.reported = r.events[:0], 0
	}
	return n, nil
}

// takeAll takes in everything that is complete. One call of the kernel's completes at most 20 requests
// that waited for their sockets (IO_LOCAL_TW_DEFAULT_MAX in io_uring/io_uring.h, Linux 6.13).
func (r *ring) takeAll() error {
	for known := -1; known < len(r.events); {
		known = len(r.events)
		if err := r.enter(0); err != nil {
			return err
		}
	}
	return nil
}

// arm asks again for what has ended and is wanted still. It reports whether
// accepted connections wait to be taken.
func (r *ring) arm() (waiting bool) {
	if !r.wakeArmed {
		r.wakeArmed = true
		r.request(0, opWake).PreparePollEdges(r.FD(), unix.POLLIN)
	}
	waiting = r.armListeners()
	for _, token := range r.rearm {
		switch k := r.connections.lookup(token); {
		case k == nil || !k.recv.out:
		case k.recv.cancelled:
			k.recv.completed()
			waiting = true // for Detach: no completion will say so
		default:
			r.request(token, opRecv).PrepareRecv(int(k.fd), recvGroup, false)
		}
	}
	r.rearm = r.rearm[:0]
	return waiting
}

// enter submits, waits no longer than timeout, and takes in what is complete, also if it returns an
// error that passes (poller.Transient).
func (r *ring) enter(timeout time.Duration) error {
	for more := true; more; timeout = 0 {
		if r.err != nil {
			return r.err
		}
		if r.refill(); len(r.backlog) > 0 {
			timeout = 0
		}
		r.enters++
		err := r.entered(r.ring.EnterWait(timeout))
		if r.err != nil {
			return r.err
		}
		submitted := r.ring.Pending() == 0
		r.reap()
		// The kernel may have kept some completions back, for which there is room now.
		overflowed, all := r.ring.Overflowed(), submitted && len(r.backlog) == 0
		if all && !overflowed {
			r.left()
		}
		if more = overflowed || submitted && !all; err != nil {
			return err
		}
	}
	return nil
}

// request returns a request. If there is no room the others are submitted first; if
// the kernel does not take them just now, the new one waits in the backlog.
func (r *ring) request(token poller.Token, op uint64) *uring.SQE {
	var s *uring.SQE
	if len(r.backlog) == 0 {
		if s = r.ring.Request(); s == nil {
			r.enters++
			_ = r.entered(r.ring.Enter()) // the next Wait meets it too
			s = r.ring.Request()
		}
	}
	if s == nil {
		r.backlog = append(r.backlog, uring.SQE{})
		s = &r.backlog[len(r.backlog)-1]
	}
	r.requests++
	s.UserData = userData(token, op)
	if op != opSend && op != opCancel {
		r.inFlight++
	}
	return s
}

// reap takes in all that is complete: what a batch sends must be known to have
// left before its memory is used again.
func (r *ring) reap() {
	for {
		c, ok := r.ring.Completion()
		if !ok {
			break
		}
		op := c.UserData >> opShift & 0xff
		if op != opSend && op != opCancel && c.Flags&uring.CompletionMore == 0 {
			r.inFlight--
		}
		token := poller.Token(c.UserData &^ (0xff << opShift))
		switch op {
		case opRecv:
			r.received(token, &c)
		case opSend:
			r.cutShort(token, &c)
		case opRest:
			r.continued(token, &c)
		case opPoll:
			if k := r.connections.lookup(token); k != nil {
				k.send.polling = false
				r.report(token, poller.Writable)
			}
		case opAccept, opListen:
			r.arrived(int(token), op, &c)
		case opWake:
			r.wakeArmed = c.Flags&uring.CompletionMore != 0
			r.WokenByEdge()
		}
	}
	r.ring.Reaped()
}

func (r *ring) report(token poller.Token, ready poller.Ready) {
	r.events = append(r.events, poller.Event{Token: token, Ready: ready})
}

// Watch implements [reactor.Completer]. A recv is asked for only here: a connection
// which does not read has none, so that TCP's window holds its peer back.
func (r *ring) Watch(token poller.Token, want conn.Want) {
	k := r.connections.lookup(token)
	k.fresh, k.recv.wanted = false, want == conn.WantRead
	if !k.recv.wanted {
		r.keep(k)
	}
	switch {
	case want == conn.WantRead && k.pending():
		r.report(token, poller.Readable)
	case want == conn.WantRead && !k.recv.out:
		k.recv.out = true
		r.request(token, opRecv).PrepareRecv(int(k.fd), recvGroup, true)
	case want == conn.WantWrite && !k.send.rest && !k.send.polling:
		k.send.polling = true
		r.request(token, opPoll).PreparePoll(int(k.fd), unix.POLLOUT)
	}
}

// received takes in what a recv has brought.
func (r *ring) received(token poller.Token, c *uring.CQE) {
	k := r.connections.lookup(token)
	if k == nil { // it was cancelled too late
		if c.Flags&uring.CompletionBuffer != 0 {
			r.buffers.Give(c.Buffer())
		}
		return
	}
	if c.Res == -int32(unix.ENOBUFS) || c.Res == -int32(unix.EINTR) || c.Res == -int32(unix.EAGAIN) {
		r.rearm = append(r.rearm, token) // when this batch has given its buffers back
		return
	}
	cancelled := k.recv.cancelled && c.Res == -int32(unix.ECANCELED)
	k.recv.completed()
	switch {
	case cancelled: // nothing was taken; Detach is to be called again
		r.report(token, poller.Writable)
		return
	case c.Res > 0:
		k.buffer, k.data = int32(c.Buffer()), r.buffers.Bytes(c.Buffer(), int(c.Res))
		k.recv.more = c.Flags&uring.CompletionNonEmpty != 0 || int(c.Res) == recvBufferSize
		if !k.recv.wanted { // a timer has made it answer meanwhile
			r.keep(k)
		}
	case c.Res == 0:
		k.recv.eof = true
	default:
		k.err = c.Error()
	}
	r.report(token, poller.Readable)
}

// keep moves what was received out of the ring's buffer: a connection which does not read holds none.
func (r *ring) keep(k *connection) {
	if k.buffer >= 0 {
		k.data = append([]byte(nil), k.data...)
		r.giveBack(k)
		k.kept = len(k.data)
		r.out.hold(k.kept)
	}
}

// giveBack returns the connection's buffer, if it holds one, or what was kept of it.
func (r *ring) giveBack(k *connection) {
	if k.kept > 0 {
		r.out.hold(-k.kept)
		k.kept = 0
	}
	if k.buffer >= 0 {
		r.buffers.Give(uint16(k.buffer))
		k.buffer = -1
	}
}

// Detach implements [reactor.Completer].
func (r *ring) Detach(token poller.Token) bool {
	k := r.connections.lookup(token)
	if k == nil {
		return true
	}
	if k.send.queued && r.flush() != nil {
		k.send.awaited = true
		return false
	}
	switch {
	case k.pending():
		r.report(token, poller.Readable)
		return false
	case k.recv.out && !k.recv.cancelled:
		k.recv.cancelled = true
		r.cancel(token, opRecv)
		return false
	case k.recv.out || k.send.unfinished() || k.send.polling:
		return false
	}
	k.drop()
	return true
}

// Release implements [reactor.Completer]. What waits is cancelled by number, and the
// kernel holds the socket itself until then, so the descriptor is free at once.
func (r *ring) Release(token poller.Token, cut bool) bool {
	k := r.connections.lookup(token)
	if k == nil {
		return true
	}
	if (k.recv.out || k.send.unfinished() || k.send.polling) && r.unsubmitted() > 0 {
		// What is not submitted yet would meet whoever has the descriptor's number next.
		// An error is the next Wait's too; withdraw does without the kernel.
		_ = r.flush()
	}
	if k.send.unfinished() && k.err == nil && !cut {
		k.recv.wanted, k.send.awaited = false, true
		return false
	}
	r.withdraw(k)
	if k.recv.out {
		r.cancel(token, opRecv)
	}
	if k.send.polling {
		r.cancel(token, opPoll)
	}
	if k.send.rest {
		r.cancel(token, opRest)
		r.out.orphan(token, k.piece) // until the kernel has let go of it
	}
	r.giveBack(k)
	k.drop()
	return true
}

// Held implements [reactor.Completer].
func (r *ring) Held(token poller.Token) int {
	k := r.connections.lookup(token)
	switch {
	case k == nil:
		return 0
	case k.send.rest:
		return k.kept + sendMax
	default:
		return k.kept
	}
}

func (r *ring) cancel(token poller.Token, op uint64) {
	s := r.request(0, opCancel)
	s.PrepareCancel(userData(token, op))
	s.Flags |= uring.FlagSkipSuccess
}

// Modify implements [poller.Poller]; there is nothing that could be modified.
func (r *ring) Modify(int, poller.Token, poller.Interest) error { return errors.ErrUnsupported }

// Calls implements [poller.Counter]: what one call submits and waits for is not told apart.
func (r *ring) Calls() poller.Calls { return poller.Calls{Wait: r.enters, Operations: r.requests} }

// Close implements [poller.Poller].
func (r *ring) Close() error {
	var err error
	if r.ring != nil {
		err = errors.Join(r.settle(), r.ring.Close())
		r.ring = nil
	}
	return errors.Join(err, r.Waker.Close())
}
