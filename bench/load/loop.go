package load

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/socket"
)

const (
	eventsMax = 512
	// bufferSize is how much one recv takes: whole batches of small answers,
	// and of large ones as much as stays in a CPU's second-level cache.
	bufferSize = 64 << 10
	// retryPause follows a failed connection, so that a server that is down is not besieged.
	retryPause = 10 * time.Millisecond
	// waitMax bounds a wait when nothing is due.
	waitMax = time.Second
)

// alarmToken is no connection's: their generations begin at 1.
const alarmToken = poller.Token(0)

// loop drives a share of the connections on one thread.
type loop struct {
	run         *run
	index       int
	poller      poller.Poller
	calls       socket.Calls
	alarm       alarm
	exact       bool // there is an open loop: waits end in time for its requests
	events      []poller.Event
	groups      []group
	connections []connection
	now         int64 // nanoseconds since run.epoch
	buf         []byte
	out         []byte // requests about to be sent
	ready       []poller.Token
	stepped     []poller.Token // those of ready that are stepped in this turn of the loop
	busy        bool           // the last turn had something to do
	retries     fifo[delay]
	sweepAt     int64
	err         error

	ramp   ramp
	window window
}

func newLoop(r *run, index int) (*loop, error) {
	backend := poller.Backends()
	if len(backend) == 0 || backend[0].Triggers&poller.Edge == 0 {
		return nil, fmt.Errorf("load: %s has no edge-triggered poller", runtime.GOOS)
	}
	p, err := backend[0].Open(poller.Options{Trigger: poller.Edge})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	l := &loop{run: r, index: index, poller: p, events: make([]poller.Event, eventsMax),
		buf: make([]byte, bufferSize), window: window{until: math.MaxInt64}}
	l.calls.Init()
	if err := l.alarm.open(p, alarmToken); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	l.populate()
	return l, nil
}

func (l *loop) clock() int64 { return int64(time.Since(l.run.epoch)) }

// broken ends the loop with an error of the machine's, not of the server's.
func (l *loop) broken(err error) {
	if l.err == nil {
		l.err = err
	}
}

// work is the loop.
func (l *loop) work() error {
	// A pinned thread is not given back: it ends with the goroutine.
	runtime.LockOSThread()
	if cpus := l.run.opts.CPUs; len(cpus) == 0 {
		defer runtime.UnlockOSThread()
	} else if err := pinThread(cpus[l.index%len(cpus)]); err != nil {
		return errors.Join(err, l.close())
	}
	l.now = l.clock()
	for {
		l.advance()
		if l.over() {
			break
		}
		n, err := l.wait()
		if err != nil {
			l.broken(err)
		}
		l.now = l.clock()
		l.stepped, l.ready = l.ready, l.stepped[:0]
		l.busy = n > 0 || len(l.stepped) > 0
		for _, e := range l.events[:n] {
			l.dispatch(e)
		}
		for _, token := range l.stepped {
			if c := l.lookup(token); c != nil {
				c.turn = noTurn
				l.step(c, false)
			}
		}
	}
	l.finish()
	return l.close()
}

// dispatch steps the connection that an event is for.
func (l *loop) dispatch(e poller.Event) {
	c := l.lookup(e.Token)
	if c == nil {
		return // the alarm, or a socket closed earlier in this batch
	}
	c.ready |= e.Ready & (poller.Readable | poller.Hangup)
	if e.Ready&poller.Hangup != 0 {
		c.ready |= poller.Readable
	}
	if c.turn == queued && len(c.unsent) == 0 {
		return // its turn comes
	}
	l.step(c, e.Ready&poller.Writable != 0)
}

// lookup returns the connection whose present socket the token names, or nil.
func (l *loop) lookup(token poller.Token) *connection {
	index := uint32(token)
	if int(index) >= len(l.connections) {
		return nil
	}
	if c := &l.connections[index]; c.generation == uint32(token>>32) {
		return c
	}
	return nil
}

// wait waits for events, no longer than until something is due.
func (l *loop) wait() (int, error) {
	if len(l.ready) > 0 || l.err != nil {
		return l.poller.Wait(l.events, 0)
	}
	if l.busy {
		// More has often come meanwhile, and a wait that cannot block need not
		// be announced to Go's scheduler.
		// It may have swallowed a wake-up too: what that was for is looked at again.
		if n, err := l.poller.Wait(l.events, 0); n > 0 || err != nil || l.called() {
			return n, err
		}
		l.now = l.clock()
	}
	timeout := time.Duration(l.nextTime() - l.now)
	if timeout <= 0 {
		return l.poller.Wait(l.events, 0)
	}
	timeout = min(timeout, waitMax)
	if l.exact {
		if err := l.alarm.set(timeout); err != nil {
			return 0, err
		}
	}
	return l.poller.Wait(l.events, timeout)
}

// called reports whether there is something to do for which the loop was woken.
func (l *loop) called() bool {
	return l.run.halted.Load() || l.window.phase == ramping && l.run.start.Load() != 0
}

// nextTime is when something is due that no event tells of.
func (l *loop) nextTime() int64 {
	at := l.now + int64(waitMax)
	if l.retries.len > 0 {
		at = min(at, l.retries.at(0).at)
	}
	at = min(at, l.sweepAt)
	for i := range l.groups {
		g := &l.groups[i]
		if g.paused.len > 0 {
			at = min(at, g.paused.at(0).at)
		}
		if l.window.phase != ramping && g.openLoop() && g.free.len > 0 {
			if due := g.nextDue(); due < l.window.until {
				at = min(at, due)
			}
		}
	}
	return min(at, l.window.next(l.now))
}

// advance does what the time asks for.
func (l *loop) advance() {
	l.openMore()
	if l.window.phase == ramping {
		if at := l.run.start.Load(); at != 0 {
			l.start(at)
		}
	}
	if l.window.phase != ramping {
		if l.window.advance(l.now, l.finished()) && l.now < l.window.until {
			l.run.loopFinished()
		}
		for i := range l.groups {
			l.sendDue(&l.groups[i])
		}
	}
	l.expire()
}

// start begins the requests; the first is due at that time.
func (l *loop) start(at int64) {
	l.now = l.clock() // what begins now must not seem to precede the window
	l.window.start(at, &l.run.opts)
	for i := range l.groups {
		g := &l.groups[i]
		// The loops' requests fall between one another.
		g.start = at + int64(g.interval*float64(l.index)/float64(l.run.opts.Loops))
	}
	for i := range l.connections {
		c := &l.connections[i]
		switch {
		case c.group.openLoop():
			l.list(c)
		case c.state == open || c.group.CloseEach:
			l.fill(c, c.group.Pipeline)
		}
	}
}

// sendDue begins an open loop's requests that are due, on connections with room.
func (l *loop) sendDue(g *group) {
	for g.openLoop() && g.free.len > 0 {
		due := g.nextDue()
		if due > l.now || due >= l.window.until {
			return
		}
		c := &l.connections[g.free.pop()]
		c.listed = false
		if c.state == open && c.flight.len < g.Pipeline || c.state == vacant && g.CloseEach {
			if l.window.contains(due) {
				g.result.LagMax = max(g.result.LagMax, time.Duration(l.now-due))
			}
			l.fill(c, 1)
		}
	}
}

// expire looks at connections whose time has come.
func (l *loop) expire() {
	for l.retries.len > 0 && l.retries.at(0).at <= l.now {
		c := l.lookup(l.retries.pop().token)
		switch {
		case c == nil:
		case c.state == waiting:
			c.state = vacant
			l.restart(c)
		case c.state == crowded:
			l.reconnect(c)
		}
	}
	for i := range l.groups {
		for paused := &l.groups[i].paused; paused.len > 0 && paused.at(0).at <= l.now; {
			if c := l.lookup(paused.pop().token); c != nil {
				c.turn = noTurn
				l.step(c, false)
			}
		}
	}
	if l.now >= l.sweepAt {
		l.sweep()
	}
}

// sweep gives up connections that have been silent for too long. A look at all of them ten
// times in a timeout costs less than a timer that each request would have to move.
func (l *loop) sweep() {
	timeout := int64(l.run.opts.Timeout)
	l.sweepAt = l.now + timeout/10
	for i := range l.connections {
		c := &l.connections[i]
		silent := c.state == connecting || c.state == crowded || c.state == open && c.flight.len > 0 && c.turn != paused
		if silent && l.now-c.active > timeout {
			if c.state == open {
				c.group.note(Timeout, "nothing came for %v with %d answers due", l.run.opts.Timeout, c.flight.len)
			} else {
				c.group.note(Timeout, "connect %v: not connected within %v", c.group.Addr, l.run.opts.Timeout)
			}
			l.fail(c, Timeout)
		}
	}
}

// finished reports whether all requests of this loop's roles are made and over.
// A run of idle roles alone lasts for its time.
func (l *loop) finished() bool {
	if !l.run.active {
		return false
	}
	for i := range l.groups {
		if !l.groups[i].finished() {
			return false
		}
	}
	return true
}

// over reports whether the loop is to end.
func (l *loop) over() bool {
	if l.err != nil || l.run.halted.Load() {
		return true
	}
	if l.window.phase != draining || l.now < l.window.until {
		return false
	}
	if l.now >= l.window.end {
		return true
	}
	for i := range l.groups {
		if !l.groups[i].drained(l.now, l.window.until) {
			return false
		}
	}
	return true
}

// finish counts what the end cuts off.
func (l *loop) finish() {
	for i := range l.connections {
		c := &l.connections[i]
		g := c.group
		g.result.Unanswered += int64(c.flight.len)
		for n := 0; g.openLoop() && n < c.flight.len; n++ {
			l.gaveUp(g, c.flight.at(n).due)
		}
	}
	for i := range l.groups {
		g := &l.groups[i]
		for g.openLoop() && l.window.phase != ramping {
			due, ok := g.take(l.now, l.window.until)
			if !ok {
				break
			}
			if l.window.contains(due) {
				g.result.Unsent++
				l.gaveUp(g, due)
			}
		}
	}
}

// close frees everything and returns the loop's error.
func (l *loop) close() error {
	for i := range l.connections {
		l.disconnect(&l.connections[i])
	}
	return errors.Join(l.err, l.alarm.close(), l.poller.Close())
}
