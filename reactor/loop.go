package reactor

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/socket"
	"github.com/evhttpd/evhttpd/workers"
)

const (
	// eventsMax is the size of a batch: every connection of a busy loop once,
	// and still a bound on how long timers and messages wait.
	eventsMax = 512
	// completedFew is up to how many completions one call of a Completer's Wait
	// submits and waits, all in one. After more of them the first call does not
	// wait: it finds the next ones, mostly, and Go's scheduler need not hear of it.
	completedFew = 3
)

// waitFails is the warning of a wait that failed for a reason that passes.
const waitFails = "waiting for events fails: it is tried again, at least once a second"

// Options are what a reactor is made with.
type Options struct {
	model.Options
	Backend poller.Backend
	Trigger poller.Trigger
}

// Loop is one event loop. All methods but Wake, Deliver and post are for its own goroutine.
type Loop struct {
	opts   Options // the loop's own copy: a reload changes it
	poller poller.Poller
	// completer is the poller, if that moves the connections' bytes; else nil.
	completer Completer
	local     *conn.Workspace
	index     int // among the reactor's loops

	inbox      inbox
	pulse      model.Pulse // beats when the inbox is handled
	counts     atomic.Pointer[conn.Counters]
	countPulse model.Pulse // beats when counts are new
	ended      atomic.Pointer[model.Ended]

	slab      slab
	timers    timers
	transport SyscallTransport
	batch     batch
	acceptor  acceptor
	rewatch   rewatch
	leaving   map[poller.Token]leaving
	logDue    int64 // Clock.Mono when the access log has something to do; 0: nothing
	handover  handover
	shutdown  shutdown
}

// batch is what one round of the loop works on, and what the next one is to know of it.
type batch struct {
	events    []poller.Event
	ready     []poller.Token // connections whose turn was spent, oldest first
	turn      []poller.Token // those of them that this round gives a turn
	closing   []int32        // descriptors to close when the round is done
	busyAbove int            // a batch with more events than this had work
	busy      bool           // the last batch had work: the next wait is tried without blocking first
	slept     bool           // the batch was waited for
	timed     bool           // the time that the last batch took has been counted
	failing   model.Backoff  // of waits
}

// begin takes n events, and the connections whose turn was spent.
func (b *batch) begin(n int) {
	b.busy = n > b.busyAbove || len(b.ready) > 0
	b.turn, b.ready = b.ready, b.turn[:0]
}

// enqueue puts the connection at the back of the ready queue.
func (b *batch) enqueue(s *slot) {
	if !s.queued {
		s.queued = true
		b.ready = append(b.ready, s.token())
	}
}

// rewatch is the connections that the poller could not be told of, and when it is told again.
type rewatch struct {
	model.Backoff
	tokens []poller.Token
}

// add notes a connection.
func (r *rewatch) add(s *slot, now int64) {
	if !s.unwatched {
		s.unwatched = true
		r.tokens = append(r.tokens, s.token())
	}
	if !r.Paused() {
		r.Fail(now)
	}
}

// shutdown is how far the loop has come to its end.
type shutdown struct {
	at      int64 // Clock.Mono when draining ends the loop; 0: it does not drain
	cutting bool  // connections are closed whatever they have yet to send
}

func (s *shutdown) draining() bool { return s.at != 0 }

func newLoop(opts *Options) (*Loop, error) {
	p, err := opts.Backend.Open(poller.Options{Trigger: opts.Trigger})
	if err != nil {
		return nil, fmt.Errorf("reactor: opening %s: %w", opts.Backend.Name, err)
	}
	var log conn.AccessLog
	if opts.NewLog != nil {
		log = opts.NewLog()
	}
	l := &Loop{opts: *opts, poller: p}
	l.local = conn.NewWorkspace(opts.Config, opts.NewHandler(), log)
	l.local.Waker = l
	l.local.Share = opts.Budget.Join(func() { l.post((*Loop).relieve) })
	l.batch.events = make([]poller.Event, eventsMax)
	l.inbox.wake = p.Wake
	l.transport.init(l.local)
	if l.completer, _ = p.(Completer); l.completer != nil {
		l.completer.Bind(&l.transport)
		l.batch.busyAbove = completedFew
	}
	l.timers.init(opts.Config)
	l.acceptor.init(p, opts.Warn)
	l.batch.timed = true // there is none yet
	l.tick()
	return l, nil
}

// run is the loop. It ends when it drains and has no more connections, or at
// the end of the draining time, or when the poller fails.
func (l *Loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer nameThread(l.index)()
	for !l.round() {
	}
}

// round waits for events and handles them: one turn for every connection that can use
// it. It reports whether the loop has ended.
func (l *Loop) round() (ended bool) {
	n, err := l.wait()
	switch {
	case err == nil:
		l.batch.failing.Succeed()
	case poller.Transient(err):
		l.opts.Warn(waitFails, err)
		time.Sleep(l.batch.failing.Fail(clock.Mono()))
	default:
		l.end(err)
		return true
	}
	l.tick()
	l.local.Counters.Events += uint64(n)
	l.batch.begin(n)
	l.local.Alone = l.batch.slept && n == 1
	for _, e := range l.batch.events[:n] {
		l.dispatch(e)
	}
	l.local.Alone = false
	l.receive()
	l.runReady()
	l.expire()
	l.acceptLast()
	l.moveIdle()
	l.closeBatch()
	if l.local.Log != nil {
		l.logDue = l.local.Log.Tick(l.local.Clock.Mono)
	}
	if l.drained() {
		l.end(nil)
		return true
	}
	return false
}

// tick refreshes the clock: once a batch.
func (l *Loop) tick() {
	now := clock.Now()
	if !l.batch.timed {
		l.timeBatch(now.Mono)
	}
	l.batch.timed = false
	l.local.Clock = now
}

// timeBatch times the batch that has ended. If the loop did not sleep since, the next
// one's clock will do; else it is read for this.
func (l *Loop) timeBatch(now int64) {
	l.batch.timed = true
	l.local.Settle(now)
	l.local.Counters.Batch.Observe(1, now-l.local.Clock.Mono)
}

// wait waits for events, no longer than the next timer.
func (l *Loop) wait() (int, error) {
	l.batch.slept = false
	if len(l.batch.ready) > 0 || l.handover.due && l.completer == nil {
		return l.ask(0)
	}
	if l.batch.busy {
		// More has often come during the last batch, and a wait that cannot
		// block need not be announced to Go's scheduler.
		if n, err := l.ask(0); n > 0 || err != nil {
			return n, err
		}
	}
	timeout := l.timeout()
	if l.batch.busy && l.completer == nil && timeout > poller.ShortWait {
		if n, err := l.sleep(poller.ShortWait); n > 0 || err != nil {
			return n, err
		}
	}
	return l.sleep(timeout)
}

// ask asks the poller, waiting no longer than timeout.
func (l *Loop) ask(timeout time.Duration) (int, error) {
	l.local.Counters.Waits++
	return l.poller.Wait(l.batch.events, timeout)
}

// sleep waits in the poller, unless there are messages.
func (l *Loop) sleep(timeout time.Duration) (int, error) {
	if timeout <= 0 || !l.inbox.sleep() {
		return l.ask(0)
	}
	l.batch.slept = true
	if !l.batch.timed {
		l.timeBatch(clock.Mono())
	}
	n, err := l.ask(timeout)
	l.inbox.awake()
	return n, err
}

// timeout is how long nothing is due.
func (l *Loop) timeout() time.Duration {
	if l.acceptor.pending() {
		return 0
	}
	timeout := poller.WaitMax
	now := l.local.Clock.Mono
	s, next := l.timers.due(&l.slab, now)
	if s != nil {
		return 0
	}
	for _, at := range [...]int64{next, l.logDue, l.acceptor.resumeAt, l.rewatch.Until, l.shutdown.at} {
		if at != 0 {
			timeout = min(timeout, until(at, now))
		}
	}
	return timeout
}

// dispatch steps the connection that an event is for, or accepts.
func (l *Loop) dispatch(e poller.Event) {
	if e.Token>>32 == 0 { // no slot has generation 0
		if li := l.acceptor.ready(e.Token); li != nil {
			l.accept(li)
		}
		return
	}
	s := l.slab.lookup(e.Token)
	if s == nil {
		return // it was closed earlier in this batch
	}
	s.ready |= e.Ready
	if e.Ready&poller.Hangup != 0 {
		s.ready |= poller.Readable // recv tells whether that is so
	}
	switch {
	case s.queued:
		// Its turn comes; the bits are merged.
	case s.want == conn.WantClose:
		l.leave(s)
	case s.want == conn.WantRead && s.ready&poller.Readable != 0,
		s.want == conn.WantWrite && s.ready&poller.Writable != 0:
		l.step(s)
	}
}

// step gives the connection its turn and arranges for the next.
func (l *Loop) step(s *slot) {
	t := l.transportFor(s)
	l.local.Token = uint64(s.token())
	if l.handover.to != nil {
		l.local.Closing = l.shutdown.draining() || s.unmovable
	}
	l.arrange(s, s.conn.Step(t, l.local))
}

// arrange does what the connection wants.
func (l *Loop) arrange(s *slot, want conn.Want) {
	_, waits := s.conn.Awaits()
	if want == conn.WantDeferred && !waits && !l.opts.Pool.SubmitFor(l.waiting(s), &l.local.Counters) {
		want = conn.WantYield
	}
	s.want = want
	switch want {
	case conn.WantClose:
		l.close(s)
		return
	case conn.WantYield:
		l.batch.enqueue(s)
	}
	phase, since := s.conn.Phase()
	l.timers.set(&l.slab, s, phase, since)
	if l.handover.to != nil && want == conn.WantRead && s.conn.Movable() && !s.unmovable {
		l.handover.due = true // at the end of the batch
		return
	}
	if err := l.watch(s); err != nil {
		l.watchFailed(s, err)
	}
}

// watchFailed is called when the poller could not be told what the connection waits for. Where that may pass, the
// connection is stepped again in a while, as if everything could be done, and watched then; else it ends.
func (l *Loop) watchFailed(s *slot, err error) {
	if !poller.Transient(err) && !errors.Is(err, unix.ENOSPC) {
		l.opts.Warn("watching a connection", err)
		l.close(s)
		return
	}
	l.opts.Warn("watching a connection fails: it is tried again, at least once a second", err)
	l.rewatch.add(s, l.local.Clock.Mono)
}

// watchAgain steps the connections that could not be watched.
func (l *Loop) watchAgain() {
	tokens := l.rewatch.tokens
	l.rewatch.tokens = nil
	for _, token := range tokens {
		if s := l.slab.lookup(token); s != nil {
			s.unwatched = false
			s.ready = allReady
			if !s.queued && (s.want == conn.WantRead || s.want == conn.WantWrite) {
				l.step(s)
			}
		}
	}
	if len(l.rewatch.tokens) == 0 {
		l.rewatch.Succeed()
	}
}

// waiting is the connection as the pool knows it.
func (l *Loop) waiting(s *slot) workers.Waiting {
	return workers.Waiting{Conn: &s.conn, To: l, Token: uint64(s.token())}
}

// watch has the poller report what the connection wants. With an edge trigger
// that is one registration in its life, made when it first has to wait. With
// a level trigger the interest follows what it wants, and a connection that wants neither direction
// is not registered: a hangup would be reported on and on.
func (l *Loop) watch(s *slot) error {
	var want poller.Ready
	switch {
	case l.completer != nil:
		l.completer.Watch(s.token(), s.want)
		return nil
	case s.want == conn.WantYield || l.edge() && s.registered:
		return nil
	case s.want == conn.WantRead:
		want = poller.Readable
	case s.want == conn.WantWrite:
		want = poller.Writable
	}
	switch {
	case want == 0 && !s.registered || want != 0 && s.registered && s.interest == want:
		return nil
	case want == 0:
		s.registered = false
		return l.poller.Remove(int(s.fd))
	case l.edge():
		want = poller.Readable | poller.Writable
	}
	var err error
	if s.registered {
		err = l.poller.Modify(int(s.fd), s.token(), want)
	} else {
		err = l.poller.Add(int(s.fd), s.token(), want, 0)
		s.registered = err == nil
	}
	if s.interest = want; err != nil {
		s.interest = 0 // which is never registered: the next time it is told anew
	}
	return err
}

func (l *Loop) edge() bool { return l.opts.Trigger == poller.Edge }

// runReady gives those whose turn was spent the next one.
func (l *Loop) runReady() {
	for _, token := range l.batch.turn {
		if s := l.slab.lookup(token); s != nil && s.queued {
			s.queued = false
			l.step(s)
		}
	}
}

// expire runs the timers that are due. Each either starts anew or ends its
// connection, so there is an end. What has arrived by then is looked for first: a process that was
// stopped finds its timers run out, and a signal to have ended its wait before it gave an event.
func (l *Loop) expire() {
	now := l.local.Clock.Mono
	for looked := false; ; looked = true {
		s, _ := l.timers.due(&l.slab, now)
		if s == nil {
			break
		}
		if l.completer != nil && !looked {
			// An error is met by the next wait.
			_, _ = l.completer.Wait(l.batch.events[:0], 0)
		}
		s.ready |= poller.Readable
		l.local.Counters.Lateness.Observe(1, l.timers.late(s, now))
		if s.want == conn.WantClose {
			l.leave(s)
			continue
		}
		t := l.transportFor(s)
		l.local.Token = uint64(s.token())
		ticket, waits := s.conn.Awaits()
		want := s.conn.Expire(t, l.local)
		if waits {
			l.opts.Pool.Review(l.waiting(s), ticket, &l.local.Counters)
		}
		l.arrange(s, want)
	}
	if l.rewatch.Resume(now) {
		l.watchAgain()
	}
	l.acceptor.resume(now)
}

// receive does what other goroutines asked for.
func (l *Loop) receive() {
	messages := l.inbox.take()
	for _, m := range messages {
		l.handle(m)
	}
	l.inbox.give(messages)
}

func (l *Loop) handle(m message) {
	l.batch.busy = true
	switch {
	case m.do != nil:
		m.do(l)
		return
	case m.handed != nil:
		l.adopt(m.handed)
		return
	}
	if m.done {
		l.local.Counters.JobsDone++
	}
	s := l.slab.lookup(m.token)
	switch {
	case m.done && (s == nil || !s.conn.Resume(m.ticket, m.result, nil)):
		m.result.Release()
	case m.done, s != nil && s.want == conn.WantSource:
		l.step(s)
	}
}

// Deliver brings a job's result back. It may be called from any goroutine.
func (l *Loop) Deliver(token uint64, ticket uint32, result conn.Result) {
	if !l.inbox.post(message{token: poller.Token(token), ticket: ticket, done: true, result: result}) {
		result.Release()
	}
}

// Wake steps the connection of that token, which waits for its Source. It may
// be called from any goroutine.
func (l *Loop) Wake(token uint64) { l.inbox.post(message{token: poller.Token(token)}) }

// post has the loop call do. It reports false when the loop has ended.
func (l *Loop) post(do func(*Loop)) bool { return l.inbox.post(message{do: do}) }

// close ends a connection. Its descriptor is closed when the batch is done, so
// that no event of the batch can meet a successor with the same number.
func (l *Loop) close(s *slot) {
	l.opts.Pool.LeaveFor(l.waiting(s), &l.local.Counters)
	s.conn.Release(l.local)
	if s.registered {
		if err := l.poller.Remove(int(s.fd)); err != nil {
			l.opts.Warn("removing a connection from the poller", err)
		}
	}
	l.timers.unset(&l.slab, s)
	l.opts.Open.Add(-1)
	l.leave(s)
}

// leave gives up the descriptor and the slot of a connection that has ended,
// as soon as they are free.
func (l *Loop) leave(s *slot) {
	if l.completer != nil && !l.release(s) {
		return
	}
	l.timers.unset(&l.slab, s)
	l.batch.closing = append(l.batch.closing, s.fd)
	l.slab.put(s)
}

// closeBatch closes what the batch ended.
func (l *Loop) closeBatch() {
	for _, fd := range l.batch.closing {
		l.local.Counters.Calls[conn.CallClose]++
		if err := socket.Close(int(fd)); err != nil {
			l.opts.Warn("closing a connection", err)
		}
	}
	l.batch.closing = l.batch.closing[:0]
}

// drain makes every answer its connection's last, takes no new connections but those
// that wait to be accepted, and ends the loop when none is left or grace is over. A second drain
// can only have it end sooner.
func (l *Loop) drain(grace time.Duration) {
	stopAt := l.local.Clock.Mono + int64(grace)
	if l.shutdown.draining() {
		l.shutdown.at = min(l.shutdown.at, stopAt)
		return
	}
	l.shutdown.at = stopAt
	l.local.Closing = true
	l.acceptor.end()
}

// drained reports whether a loop that drains, or hands over, has nothing left to do, or no time.
func (l *Loop) drained() bool {
	if !l.shutdown.draining() && l.handover.to == nil {
		return false
	}
	return l.slab.live == 0 && len(l.acceptor.last) == 0 || l.shutdown.draining() && l.local.Clock.Mono >= l.shutdown.at
}

// end frees everything.
func (l *Loop) end(err error) {
	ended := new(model.Ended)
	l.shutdown.cutting = true
	l.slab.each(func(s *slot) {
		if s.want == conn.WantClose {
			ended.Cut++
			l.leave(s)
			return
		}
		if s.conn.Idle() {
			ended.Idle++
		} else {
			ended.Cut++
		}
		l.close(s)
	})
	l.closeBatch()
	l.acceptor.stop()
	l.acceptor.reserve.Yield()
	for _, m := range l.inbox.close() {
		switch {
		case m.done:
			l.local.Counters.JobsDone++
			m.result.Release()
		case m.handed != nil:
			l.orphan(m.handed)
		case m.do != nil:
			m.do(l) // something may wait for it
		}
	}
	if l.local.Log != nil {
		l.local.Log.Tick(math.MaxInt64) // later than anything can wait
	}
	l.publishCounters()
	l.local.Tell()
	l.local.Share.Leave()
	ended.Err = errors.Join(err, l.poller.Close())
	l.ended.Store(ended)
	l.pulse.End()
}
