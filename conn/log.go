package conn

import (
	"math"

	"github.com/evhttpd/evhttpd/http1"
)

// answered ends a request whose answer is queued.
func (c *Conn) answered(l *Workspace, req *http1.Request, in []byte) {
	out := &l.out
	c.requests++
	l.Counters.Requests[class(out.status)]++
	c.closing = out.last
	if out.noBody {
		out.body = 0
	}
	if out.open {
		out.length, out.queue.began = out.body, c.began
	} else {
		l.took(c.began)
	}
	if l.Log != nil {
		c.log(l, req, in)
	}
	c.began, c.seen = 0, 0
	c.phase = NumPhases // whatever comes next starts its timer anew
	c.drop()
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
func (c *Conn) log(l *Workspace, req *http1.Request, in []byte) {
	out := &l.out
	l.access = Access{Wall: l.Clock.Wall, Remote: out.Remote(), Req: req, Buf: in, Status: out.status, Reason: out.reason, User: out.user}
	if out.open {
		out.log = l.Log
		out.line, out.mark = l.Log.Begin(out.line[:0], &l.access)
	} else {
		l.Log.Log(&l.access, out.body, l.Clock.Mono-c.began)
	}
}

// logEnd writes the rest of the open answer's line: everything has left, or nothing more will.
func (q *queue) logEnd(l *Workspace) {
	if q.open && q.empty() {
		l.took(q.began)
	}
	if q.open && q.log != nil {
		var unsent int64
		for i := q.first; i < len(q.segs); i++ {
			unsent += q.segs[i].n
		}
		// With the head unsent too, more is left than the body.
		q.log.End(q.line, q.mark, max(q.length-unsent, 0), l.Clock.Mono-q.began)
		if q.log != l.Log {
			q.log.Tick(math.MaxInt64) // nobody else does any more
		}
	}
	q.open = false
}
