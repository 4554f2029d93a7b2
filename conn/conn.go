package conn

import (
	"math"
	"time"

	"github.com/evhttpd/evhttpd/http1"
)

const (
	// scratchMin is the size of a loop's receive buffer: a whole head at the
	// default limit, and pipelined requests by the hundred.
	scratchMin = 64 << 10
	// scratchMax bounds a head for which no limit is configured.
	scratchMax = 1 << 20
	// defersMax bounds how often one request may be put off before its answer.
	defersMax = 4
	// A lingering close takes no more than this from a peer that goes on sending.
	lingerBytes = 64 << 10
	lingerIdle  = 5 * time.Second
	// hangupEvery is how often a connection that waits for a job is asked whether its peer is there still.
	hangupEvery = time.Second
	lingerTotal = 30 * time.Second
	// An answer's progress is looked at this often within Config.Send, and no less than every lookMax.
	looks   = 8
	lookMax = 30 * time.Second
	// lateMin is how late a timer runs out when nobody can have looked at the connection: the process was stopped,
	// and its workers with it.
	lateMin = time.Second
	// bodyRate is the slowest body, in bytes a second, beyond the grace of Config.Body.
	bodyRate = 500
)

// errScratch refuses a head that no configured limit stops.
var errScratch = http1.Error{Status: 431, Rule: "head too large to hold", At: -1, Source: "RFC 6585 section 5"}

// Workspace is what one loop, or one thread, lends to the connection that it
// steps: the time, the handler, and the memory that no connection keeps.
type Workspace struct {
	Clock   Clock
	Alone   bool   // see Output.Alone; set before a Step, taken back by the first request of it
	Closing bool   // every answer is its connection's last: the server drains, or all threads are taken
	Token   uint64 // of the connection that is stepped, for its Source
	Waker   Waker
	// Share is where what connections hold is counted; nil: nowhere. It is set before the first Step.
	Share *Share

	Config  *Config
	Handler Handler
	Log     AccessLog // nil: no access log

	// Counters are of all that this loop, or thread, did. Who steps counts too.
	Counters Counters

	in           []byte // received bytes; unparsed ones leave it before Step returns
	out          Output
	req          http1.Request
	access       Access
	turnRequests int
	turnBytes    int64
	instant      uint64 // answers begun and ended since Clock was read
	untold       int64  // bytes held more than Share was told
}

// NewWorkspace returns a Workspace. log may be nil.
func NewWorkspace(cfg *Config, handler Handler, log AccessLog) *Workspace {
	l := &Workspace{Config: cfg, Handler: handler, Log: log}
	l.in = make([]byte, max(scratchMin, 2*(cfg.Limits.Head+cfg.Limits.RequestLine)))
	l.out.local = l
	return l
}

// Settle counts the latency of answers that were begun and ended since Clock
// was read, now being that late (Clock.Mono). It is called before Clock is read anew.
func (l *Workspace) Settle(now int64) {
	if l.instant > 0 {
		l.Counters.Latency.Observe(l.instant, now-l.Clock.Mono)
		l.instant = 0
	}
}

// took counts the latency of an answer begun at that time (Clock.Mono).
func (l *Workspace) took(began int64) {
	if began == l.Clock.Mono || began == 0 {
		l.instant++
		return
	}
	l.Counters.Latency.Observe(1, l.Clock.Mono-began)
}

// newTurn gives the connection that is stepped its share of the loop.
func (l *Workspace) newTurn() {
	l.turnRequests, l.turnBytes = l.Config.TurnRequests, l.Config.TurnBytes
	if l.turnRequests == 0 {
		l.turnRequests = math.MaxInt
	}
	if l.turnBytes == 0 {
		l.turnBytes = math.MaxInt64
	}
}

// filePart is how much of a file leaves in one call.
func (l *Workspace) filePart() int64 {
	if n := l.Config.TurnBytes; n > 0 && n < fileTurn {
		return n
	}
	return fileTurn
}

// grow makes the scratch larger, which is needed when a reload or another loop
// allows larger heads than this one was made for. It reports false when a head is
// large enough.
func (l *Workspace) grow(size int) bool {
	lim := &l.Config.Limits
	if size > max(scratchMax, 2*(lim.Head+lim.RequestLine)) {
		return false
	}
	l.in = append(make([]byte, 0, size), l.in...)[:size]
	return true
}

// Conn is one connection. The zero Conn is unusable: call Start. It is stepped
// by one goroutine at a time.
type Conn struct {
	in      *buffer // unparsed bytes between two Steps
	out     *queue  // unsent answers between two Steps
	pending *pending

	born  int64 // Clock.Mono at Start
	began int64 // Clock.Mono when the request in hand began; 0: there is none
	since int64 // Clock.Mono when the phase's timer was started
	mark  int64 // Clock.Mono of the last progress while sending, or when lingering began

	requests uint32
	seen     uint32 // leading bytes of in that were parsed and are no whole head
	unacked  int32  // at the last look
	lingered uint32 // bytes drained
	ticket   uint32 // of the last job
	remote   Addr

	phase     Phase
	want      Want
	standing  standing
	hungry    bool // what is buffered is no whole request
	filled    bool // the last bytes received filled the scratch: there may be more
	closing   bool // the last answer is queued
	direct    bool // it may be closed without lingering
	lingering bool
}

// Start makes c a new connection of that peer. refuse answers its first request with 503.
func (c *Conn) Start(l *Workspace, remote Addr, refuse bool) {
	*c = Conn{born: l.Clock.Mono, since: l.Clock.Mono, remote: remote, hungry: true}
	if refuse {
		c.standing = overAll
	}
	if l.Config.Proxies.Contains(remote) {
		c.standing |= awaitsHeader
	} else {
		c.admit(l)
	}
}

// Remote is the peer's address; behind a proxy that has said it by the PROXY
// protocol, the client's.
func (c *Conn) Remote() Addr { return c.remote }

// Requests is the number of requests answered so far.
func (c *Conn) Requests() int { return int(c.requests) }

// Phase is what the connection does since that time (Clock.Mono). The
// connection's one timer runs out Config.Timeout(phase) later; then call Expire.
func (c *Conn) Phase() (Phase, int64) { return c.phase, c.since }

// Idle reports whether the connection is between two requests, so that closing it loses nothing.
func (c *Conn) Idle() bool { return c.phase == PhaseIdle || c.phase == PhaseFirstByte }

// Movable reports whether the connection can go on on another loop, or thread:
// it is between two requests, waits for the next one and holds nothing. A copy of it
// is then the connection, with its counters.
func (c *Conn) Movable() bool {
	return c.Idle() && c.want == WantRead && c.in == nil && c.out == nil && c.pending == nil && !c.closing
}

// Deferred reports whether the connection waits for a job.
func (c *Conn) Deferred() bool { return c.want == WantDeferred }

// Move is called on the new loop before the first Step there. The phase's timer
// starts anew, so that timers stay first in, first out.
func (c *Conn) Move(l *Workspace) {
	c.since = l.Clock.Mono
	c.CountClient(l) // a reload may have come while it was on its way
}

// Timeout is how long the timer of a phase runs; 0: there is none. It is the
// same for every connection, so that timers are first in, first out.
func (cfg *Config) Timeout(p Phase) time.Duration {
	switch p {
	case PhaseFirstByte:
		return cfg.FirstByte
	case PhaseHead:
		return cfg.Head
	case PhaseBody:
		return cfg.Body
	case PhaseSending:
		return min((cfg.Send+looks-1)/looks, lookMax)
	case PhaseDeferred:
		if cfg.Deferred == 0 {
			return hangupEvery
		}
		return min(cfg.Deferred, hangupEvery)
	case PhaseLingering:
		return lingerIdle
	default:
		return cfg.KeepAlive
	}
}

// LookAgain is since when (Clock.Mono) the timer of PhaseSending is to run for progress to be looked at next: after
// its timeout, or before that when Config.Send is over after the last progress.
func (cfg *Config) LookAgain(now, moved int64) (since int64) {
	return min(now, moved+int64(cfg.Send)-int64(cfg.Timeout(PhaseSending)))
}

// Release frees what the connection holds, and writes the access line of an
// answer that was cut short. It is called once, before the descriptor is closed.
func (c *Conn) Release(l *Workspace) {
	if c.in != nil {
		c.letGo(l)
	}
	if c.out != nil {
		c.out.logEnd(l)
		c.out.free(l)
	}
	c.drop()
	c.UncountClient(l.Config)
	c.out, c.want = nil, WantClose
}

// Expire is called when the timer of the connection's phase has run out. What has arrived by then counts, though
// nobody has looked: the process may have been stopped, or its loop been late. So whoever calls has the
// Transport's next Recv ask the socket.
func (c *Conn) Expire(t Transport, l *Workspace) Want {
	now := l.Clock.Mono
	switch c.want {
	case WantYield: // it waits for the loop, not for its peer
		c.since = now
		return WantYield
	case WantRead:
		phase, since := c.phase, c.since
		if want := c.Step(t, l); want == WantClose || c.phase != phase || c.since != since {
			return want
		}
	}
	late := now - c.since - int64(l.Config.Timeout(c.phase))
	if late >= int64(lateMin) && (c.phase == PhaseDeferred || c.phase == PhaseSending) {
		c.since, c.mark = now, now // the time was nobody's
		return c.want
	}
	switch c.phase {
	case PhaseHead:
		l.Counters.Timeouts[PhaseHead]++
		return c.timeOut(t, l, "the head took longer than timeouts.head (RFC 9110 section 15.5.9)")
	case PhaseBody:
		p := c.pending
		// The time that it may take grows with it.
		if since := p.began + p.body.Received()*int64(time.Second)/bodyRate; now-since < int64(l.Config.Body) {
			c.since = since
			return c.want
		}
		l.Counters.Timeouts[PhaseBody]++
		return c.timeOut(t, l, "the body took longer than timeouts.body (RFC 9110 section 15.5.9)")
	case PhaseSending:
		want := c.checkProgress(t, l.Config, now)
		if want == WantClose {
			l.Counters.Timeouts[PhaseSending]++
		}
		return want
	case PhaseDeferred:
		if limit := int64(l.Config.Deferred); limit == 0 || now-c.pending.asked < limit {
			return c.lookForPeer(t, l.Config, now)
		}
		l.Counters.Timeouts[PhaseDeferred]++
		if c.pending.warming {
			return WantClose
		}
		c.pending.err = errDeferred
		c.want = WantYield // the result that may still come misses
		return c.Step(t, l)
	default:
		l.Counters.Timeouts[c.phase]++
		return WantClose
	}
}

// lookForPeer closes a connection that waits for a job if its peer is gone, and notes if that has closed its
// side: it may wait for the answer, or have gone without a word.
func (c *Conn) lookForPeer(t Transport, cfg *Config, now int64) Want {
	half, all := t.Hangup()
	if all {
		return WantClose
	}
	c.pending.doubtful = half
	c.since = now
	if cfg.Deferred > 0 {
		c.since = min(now, c.pending.asked+int64(cfg.Deferred)-int64(cfg.Timeout(PhaseDeferred)))
	}
	return c.want
}

// timeOut answers 408 to a request that does not come to its end.
func (c *Conn) timeOut(t Transport, l *Workspace, reason string) Want {
	l.newTurn()
	in := c.unpark(l)
	req := &l.req
	if http1.Parse(in, 0, &l.Config.Limits, req) != http1.Complete {
		req = nil
	}
	l.out.begin(c, req, methodOf(req, in))
	l.out.last = true
	l.out.Fail(408, "", reason)
	c.answered(l, req, in)
	_, want := c.run(t, l, in[:0])
	c.park(l, nil, want)
	return want
}

// checkProgress closes a connection whose peer has not acknowledged a byte in
// Config.Send. A slow but moving download is never cut: progress is what was sent, when it was, and
// what the peer was seen to have acknowledged since the last look. The first look,
// which has nothing to compare with, takes it that there was some.
func (c *Conn) checkProgress(t Transport, cfg *Config, now int64) Want {
	unacked := int32(t.Unacked())
	if unacked >= 0 && unacked < c.unacked {
		c.mark = now
	}
	c.unacked = unacked
	if now-c.mark >= int64(cfg.Send) {
		return WantClose
	}
	c.since = cfg.LookAgain(now, c.mark)
	return c.want
}

// lastAnswer reports whether the next answer is to be the connection's last.
func (c *Conn) lastAnswer(l *Workspace) bool {
	cfg := l.Config
	return l.Closing || c.refused() ||
		cfg.Requests > 0 && int(c.requests)+1 >= cfg.Requests ||
		cfg.Lifetime > 0 && l.Clock.Mono-c.born >= int64(cfg.Lifetime)
}
