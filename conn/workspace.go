package conn

import (
	"math"

	"github.com/evhttpd/evhttpd/http1"
)

const (
	// scratchMin is the size of a loop's receive buffer: a whole head at the
	// default limit, and pipelined requests by the hundred.
	scratchMin = 64 << 10
	// scratchMax bounds a head for which no limit is configured.
	scratchMax = 1 << 20
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
	l.in = make([]byte, l.scratchSize())
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

// scratchSize is how much room the configured limits need: a head and a body's part behind it.
func (l *Workspace) scratchSize() int {
	limits := &l.Config.Limits
	if limits.Head == 0 {
		return scratchMax
	}
	return max(scratchMin, 2*(limits.Head+limits.RequestLine))
}
