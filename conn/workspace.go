package conn

import (
	"math"

	"github.com/evhttpd/evhttpd/clock"
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
	Clock   clock.Time
	Alone   bool   // what Output.Alone returns: set before a Step, taken back by its first request
	Closing bool   // every answer is its connection's last: the server drains, or all threads are taken
	Token   uint64 // the token of the connection that is stepped, for its Source
	Waker   Waker
	// Share counts the memory that connections hold; nil: it is not counted. It is set before the first Step.
	Share *Share

	Config  *Config
	Handler Handler
	Log     AccessLog // nil: no access log

	// Counters count what this loop, or thread, has done. The IO model counts its own part here.
	Counters Counters

	in           []byte // the scratch for received bytes; those that are not parsed leave it before Step returns
	out          Output
	req          http1.Request
	access       Access
	turnRequests int
	turnBytes    int64
	doneInBatch  uint64 // answers begun and ended since Clock was read
	unreported   int64  // bytes which are held and of which Share was not told
}

// NewWorkspace returns a Workspace. log may be nil.
func NewWorkspace(cfg *Config, handler Handler, log AccessLog) *Workspace {
	w := &Workspace{Config: cfg, Handler: handler, Log: log}
	w.in = make([]byte, w.scratchSize())
	w.out.workspace = w
	return w
}

// Settle counts the latency of answers that were begun and ended since Clock
// was read, now being that late (Clock.Mono). It is called before Clock is read anew.
func (w *Workspace) Settle(now int64) {
	if w.doneInBatch > 0 {
		w.Counters.Latency.Observe(w.doneInBatch, now-w.Clock.Mono)
		w.doneInBatch = 0
	}
}

// observeLatency counts the latency of an answer begun at that time (Clock.Mono).
func (w *Workspace) observeLatency(began int64) {
	if began == w.Clock.Mono || began == 0 {
		w.doneInBatch++
		return
	}
	w.Counters.Latency.Observe(1, w.Clock.Mono-began)
}

// newTurn gives the connection that is stepped its share of the loop.
func (w *Workspace) newTurn() {
	w.turnRequests, w.turnBytes = w.Config.TurnRequests, w.Config.TurnBytes
	if w.turnRequests == 0 {
		w.turnRequests = math.MaxInt
	}
	if w.turnBytes == 0 {
		w.turnBytes = math.MaxInt64
	}
}

// filePart is how much of a file leaves in one call.
func (w *Workspace) filePart() int64 {
	if n := w.Config.TurnBytes; n > 0 && n < fileTurn {
		return n
	}
	return fileTurn
}

// scratchSize is how much room the configured limits need: a head and a body's part behind it.
func (w *Workspace) scratchSize() int {
	limits := &w.Config.Limits
	if limits.Head == 0 {
		return scratchMax
	}
	return max(scratchMin, 2*(limits.Head+limits.RequestLine))
}
