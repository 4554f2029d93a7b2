package reactor

import (
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// answerMax is how long the loops may take to say what they have counted: many
// times a batch, and short enough for a question whether they are alive.
const answerMax = time.Second

// A loop counts in plain memory of its own, and publishes that (Loop.counts) when asked, between two connections: so
// nothing is published that nobody reads, and a request pays for nothing but the counting.

// requestCounters asks the loop, unless it has yet to answer somebody else. The channel is
// closed when it has answered.
func (l *Loop) requestCounters() <-chan struct{} {
	answer, first := l.countPulse.Ask()
	if first && !l.post((*Loop).publishCounters) {
		l.countPulse.End() // the loop has ended, and published its last counts or is about to
	}
	return answer
}

// publishCounters says what the loop has counted. It is called on the loop.
func (l *Loop) publishCounters() {
	c := &l.local.Counters
	l.local.Settle(clock.Mono())
	for phase := range l.timers.lists {
		c.Connections[phase] = uint64(l.timers.lists[phase].n)
	}
	c.Resting = int64(l.acceptor.resting())
	if p, ok := l.poller.(poller.Counter); ok {
		calls := p.Calls()
		c.Calls[conn.CallWait], c.Calls[conn.CallControl] = calls.Wait, calls.Control
		c.Overflows, c.Operations = calls.Overflows, calls.Operations
	}
	counts := *c
	l.counts.Store(&counts)
	l.countPulse.Beat()
}

// Counters is what the loops have counted so far, after they were asked. A loop that does not
// answer within a second counts as it did last, and as silent. It may be called from any goroutine, but no
// loop's, and after the end.
func (r *Reactor) Counters() (sum conn.Counters) {
	answers := make([]<-chan struct{}, len(r.loops))
	for i, l := range r.loops {
		answers[i] = l.requestCounters()
	}
	sum.Silent = int64(len(model.Late(answerMax, answers)))
	for _, l := range r.loops {
		if c := l.counts.Load(); c != nil {
			sum.Add(c)
		}
	}
	sum.Loops = int64(len(r.loops))
	return sum
}
