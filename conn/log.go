package conn

import (
	"math"

	"github.com/evhttpd/evhttpd/http1"
)

// answered ends a request whose answer is queued.
func (c *Conn) answered(w *Workspace, req *http1.Request, in []byte) {
	out := &w.out
	c.requests++
	w.Counters.Requests[class(out.status)]++
	c.closing = out.last
	if out.noBody {
		out.body = 0
	}
	if out.streaming {
		out.length, out.queue.began = out.body, c.began
	} else {
		w.observeLatency(c.began)
	}
	if w.Log != nil {
		c.log(w, req, in)
	}
	c.began, c.seen = 0, 0
	c.phase = NumPhases // whatever comes next starts its timer anew
	c.freePending()
}

// class is the first digit of a status; 0 for what is none.
func class(status int) int {
	if status < 100 || status > 599 {
		return 0
	}
	return status / 100
}

// log writes the access line of an answer that is complete in memory, or
// begins that of one that is not.
func (c *Conn) log(w *Workspace, req *http1.Request, in []byte) {
	out := &w.out
	w.access = Access{
		Wall: w.Clock.Wall, Remote: out.Remote(), Req: req, Buf: in,
		Status: out.status, Reason: out.reason, User: out.user,
	}
	if out.streaming {
		out.log = w.Log
		out.line, out.logMark = w.Log.Begin(out.line[:0], &w.access)
	} else {
		w.Log.Log(&w.access, out.body, w.Clock.Mono-c.began)
	}
}

// logEnd writes the rest of the access line of a streaming answer: everything has left, or nothing more will.
func (q *queue) logEnd(w *Workspace) {
	if q.streaming && q.empty() {
		w.observeLatency(q.began)
	}
	if q.streaming && q.log != nil {
		var unsent int64
		for i := q.first; i < len(q.segs); i++ {
			unsent += q.segs[i].n
		}
		// With the head unsent too, more is left than the body.
		q.log.End(q.line, q.logMark, max(q.length-unsent, 0), w.Clock.Mono-q.began)
		if q.log != w.Log {
			q.log.Tick(math.MaxInt64) // a reload has replaced it: no loop ticks it any more
		}
	}
	q.streaming = false
}
