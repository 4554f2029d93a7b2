package conn

// Conn is one connection. The zero Conn is unusable: call Start. It is stepped
// by one goroutine at a time.
type Conn struct {
	in      *buffer // unparsed bytes between two Steps
	out     *queue  // unsent answers between two Steps
	pending *pending

	born       int64 // Clock.Mono at Start
	began      int64 // Clock.Mono when the request in hand began; 0: there is none
	since      int64 // Clock.Mono when the phase's timer was started
	progressAt int64 // Clock.Mono of the last progress while sending, or when lingering began

	requests uint32
	seen     uint32 // how many leading bytes of in were parsed and are no whole head
	unacked  int32  // what Transport.Unacked returned last
	lingered uint32 // bytes that were received while lingering
	ticket   uint32 // the number of the last job
	remote   Addr

	phase       Phase
	want        Want
	admission   admission
	needMore    bool // what is buffered is no whole request
	mayHaveMore bool // the last bytes received filled the scratch: there may be more
	closing     bool // the connection's last answer is queued
	closeNow    bool // the connection may be closed without lingering
	lingering   bool
}

// Start makes c a new connection of that peer. refuse answers its first request with 503.
func (c *Conn) Start(w *Workspace, remote Addr, refuse bool) {
	*c = Conn{born: w.Clock.Mono, since: w.Clock.Mono, remote: remote, needMore: true}
	if refuse {
		c.admission = overConnections
	}
	if w.Config.Proxies.Contains(remote) {
		c.admission |= awaitsProxyHeader
	} else {
		c.admit(w)
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

// Movable reports whether the connection can go on in another loop, or thread: it is
// between two requests, waits for the next one and holds no memory. A copy of the Conn is then
// the connection.
func (c *Conn) Movable() bool {
	return c.Idle() && c.want == WantRead && c.in == nil && c.out == nil && c.pending == nil && !c.closing
}

// Deferred reports whether the connection waits for a job.
func (c *Conn) Deferred() bool { return c.want == WantDeferred }

// Move is called on the new loop before the first Step there. The phase's timer
// starts anew, so that timers stay first in, first out.
func (c *Conn) Move(w *Workspace) {
	c.since = w.Clock.Mono
	c.CountClient(w) // a reload may have come while it was on its way
}

// Release frees what the connection holds, and writes the access line of an
// answer that was cut short. It is called once, before the descriptor is closed.
func (c *Conn) Release(w *Workspace) {
	if c.in != nil {
		c.freeInput(w)
	}
	if c.out != nil {
		c.out.logEnd(w)
		c.out.free(w)
	}
	c.freePending()
	c.UncountClient(w.Config)
	c.out, c.want = nil, WantClose
}
