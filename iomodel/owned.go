package iomodel

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
)

const (
	// quietMin is how long nothing must have been asked for a request to have
	// come alone (conn.Output.Alone), unless the same connection was the last to ask.
	quietMin = 10 * time.Millisecond
	// sleepMin is less than a client takes for its next request, and more than it
	// takes to find one that is there already.
	sleepMin = 20 * time.Microsecond
	// untimed is how long a wait without a timeout lasts before it is begun anew.
	untimed = time.Hour
)

// crew is what the models have in common that step each connection on a thread
// or a goroutine of its own: who is open, who can be spared, and the end.
// It is the Receiver of its connections' jobs and the Waker of their sources.
//
// Its connections share one access log. Options.NewLog is called once, and what
// it returns must be safe for all of them at a time and hand its lines over by
// itself: Tick is called at the end alone.
type crew struct {
	opts  Options
	share *conn.Share
	terms atomic.Pointer[terms]                   // read once a turn
	heir  atomic.Pointer[func(model.Handed) bool] // takes over those that are between two requests; nil: nobody does
	epoch atomic.Uint64                           // counts what has those that wait look around: see nudge
	// rooted: connections cannot be handed over; instead their next answer is their last.
	rooted bool
	// each is what the model holds for every connection, in bytes, beside what that holds itself.
	each int
	// inPlace: jobs run on the connection's own thread, not on Options.Pool.
	inPlace bool
	// onSleep is told when a connection begins to wait within a turn for
	// something other than its socket, and when it has. It may be nil.
	onSleep func(k *link, waits bool)

	open     *atomic.Int64
	wakes    atomic.Uint64 // of all connections so far
	lastWake atomic.Int64  // Clock.Mono
	crowded  atomic.Bool   // all threads are taken
	draining atomic.Bool
	over     atomic.Bool // so is the grace of Drain

	mu        sync.Mutex
	links     map[uint64]*link // by token
	lastToken uint64
	ended     model.Ended
	leaving   int64       // bytes that connections hold which relieve has ended, and which have not ended yet
	grace     *time.Timer // of Drain
	graceEnd  time.Time   // when it fires
	closing   bool        // by Drain or Handover: no connection is adopted any more

	resting atomic.Int64   // listeners that are left alone for a while, after an error
	stop    func()         // ends accepting, soon
	pinged  []model.Pinged // who accepts
	counted [tallies]tally
	unknown conn.CallSet // what others call for us

	accepting sync.WaitGroup // who accepts
	all       sync.WaitGroup // who accepts, and every connection
}

func newCrew(o Options) *crew {
	o.Options = o.Complete()
	c := &crew{opts: o, open: o.Open, links: make(map[uint64]*link)}
	c.share = c.opts.Budget.Join(func() { go c.relieve() })
	t := &terms{config: o.Config, connections: o.Connections, newHandler: o.NewHandler}
	if o.NewLog != nil {
		t.log = o.NewLog()
	}
	t.locals.New = func() any { return c.newLocal(t) }
	c.terms.Store(t)
	return c
}

// terms are what a turn is made with: a reload publishes new ones.
type terms struct {
	config      *conn.Config
	connections int
	newHandler  func() conn.Handler
	log         conn.AccessLog
	locals      sync.Pool // *conn.Workspace, lent for one turn
}

func (c *crew) newLocal(t *terms) *conn.Workspace {
	l := conn.NewWorkspace(t.config, t.newHandler(), t.log)
	l.Waker, l.Share = c, c.share
	return l
}

// mono is the time as Clock.Mono tells it.
func (c *crew) mono() int64 { return clock.Mono() }

// Open implements [Server].
func (c *crew) Open() int { return int(c.open.Load()) }

// Drain implements [Server]. It returns when nothing more is accepted.
func (c *crew) Drain(grace time.Duration) {
	c.mu.Lock()
	switch end := time.Now().Add(grace); {
	case c.grace == nil:
		c.closing, c.graceEnd = true, end
		c.grace = time.AfterFunc(grace, c.cut)
	case end.Before(c.graceEnd):
		c.graceEnd = end
		c.grace.Reset(grace)
	}
	c.mu.Unlock()
	if !c.draining.Swap(true) {
		c.stop()
	}
	c.accepting.Wait()
}

// Ping implements [Server]: those who accept answer.
func (c *crew) Ping(timeout time.Duration) error { return model.Ping(timeout, c.pinged) }

// cut ends what is left when the grace is over.
func (c *crew) cut() {
	c.over.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.links {
		c.interrupt(k, unix.SHUT_RDWR)
		k.ring()
	}
}

// Wait implements [Server].
func (c *crew) Wait() model.Ended {
	c.all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grace != nil {
		c.grace.Stop()
	}
	if log := c.terms.Load().log; log != nil {
		log.Tick(math.MaxInt64) // later than anything can wait
	}
	c.share.Leave()
	return c.ended
}

// admit counts a new connection. Beyond the limit the one idle for longest is
// closed; it reports false when there is none and the new one is too many.
func (c *crew) admit() bool {
	return c.opts.Admit(c.terms.Load().connections, c.spare)
}

// spare ends the connection that can best be spared: the one idle for longest,
// then the one that has been silent for longest since it came. It looks at all
// of them: that is paid for beyond the limit alone, and not with every request.
func (c *crew) spare() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *link
	var bestAt int64
	now := c.mono()
	for _, k := range c.links {
		at := k.idle.Load()
		tooYoung := at < 0 && !model.Evictable(conn.PhaseFirstByte, -at, now)
		if at != 0 && !k.spared && !tooYoung && (best == nil || sooner(at, bestAt)) {
			best, bestAt = k, at
		}
	}
	if best == nil {
		return false
	}
	best.spared = true
	c.tally(&conn.Counters{Evicted: 1})
	c.open.Add(-1)
	c.interrupt(best, unix.SHUT_RD) // what has arrived meanwhile is still answered
	return true
}

// interrupt ends a connection's waits for its socket. c.mu is held, or the connection is kept otherwise.
func (c *crew) interrupt(k *link, how int) {
	c.tally(&conn.Counters{Calls: [conn.NumCalls]uint64{conn.CallShutdown: 1}})
	k.wire.interrupt(how)
}

// sooner reports whether of two idle connections (link.idle) the first can be spared sooner.
func sooner(a, b int64) bool {
	if (a > 0) != (b > 0) {
		return a > 0
	}
	return max(a, -a) < max(b, -b)
}

func (c *crew) lookup(token uint64) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.links[token]
}

// Wake implements [conn.Waker].
func (c *crew) Wake(token uint64) {
	if k := c.lookup(token); k != nil {
		k.ring()
	}
}

// Deliver implements [workers.Receiver].
func (c *crew) Deliver(token uint64, ticket uint32, result conn.Result) {
	c.tally(&conn.Counters{JobsDone: 1})
	if k := c.lookup(token); k == nil || !k.post(delivery{ticket, result}) {
		result.Release()
	}
}

// wire is one connection's socket as a model sees it.
type wire interface {
	conn.Transport
	// wait waits until the socket gives what the connection wants, WantRead or
	// WantWrite, no longer than timeout, or has the next call of the Transport
	// wait. It may return early. False: nobody is to wait, an event steps the connection.
	wait(want conn.Want, timeout time.Duration) bool
	// look has the next Recv ask the socket, without waiting, where it would know without that nothing
	// is there. True: something is, and an event steps the connection.
	look() bool
	// interrupt ends waits for the socket, now and from now on, by shutdown(2). It may be called
	// from any goroutine until close.
	interrupt(how int)
	// nudge has a wait that other goroutines can end return soon; one that has not begun
	// finds that link.epoch is not crew.epoch. It may be called from any goroutine until close.
	nudge()
	// quiet reports whether nothing was received that the connection has not taken.
	quiet() bool
	// detach gives the non-blocking descriptor for another server to go on with,
	// by the goroutine that steps the connection. If it fails the connection stays. detached
	// follows and tells whether it was taken; then close is not called.
	detach() (fd int, err error)
	detached(fd int, taken bool)
	close() error
}

// link is one connection of a crew. It is stepped by one goroutine at a time.
type link struct {
	crew  *crew
	wire  wire
	conn  conn.Conn
	local *conn.Workspace       // lent for the turn, if it is not the thread's own
	owned bool                  // it is
	using atomic.Pointer[terms] // of the turn; nil: there is none
	epoch uint64                // of the crew, before the terms of the last turn were read
	moved bool                  // another server has it
	stays bool                  // nobody takes it over: its next answer is its last
	token uint64
	asked int64      // Clock.Mono when its last turn ended, about to wait
	phase conn.Phase // that it is counted in
	slept bool       // it waited for what the next turn begins with
	wakes uint64     // crew.wakes at the last of its own
	rests bool       // it was between two requests before the last turn
	ended bool

	// idle is since when (Clock.Mono) the connection is idle, negative if it
	// has not sent a byte yet; 0: it is in use.
	idle   atomic.Int64
	spared bool // under crew.mu: it is to end, and is not counted any more

	held   atomic.Int64 // bytes, between two turns
	unread atomic.Int64 // bytes that were received for it and not taken (netpoll)
	since  atomic.Int64 // Clock.Mono: it has made no progress since
	cut    atomic.Int64 // bytes that it held when relieve ended it; 0: it was not

	bell chan struct{} // rung when there is mail, or its Source has more
	mu   sync.Mutex
	mail []delivery
	gone bool
}

// delivery is a job's result on its way to the connection.
type delivery struct {
	ticket uint32
	result conn.Result
}

// arrival is a connection that nobody serves yet.
type arrival struct {
	fd     int
	remote conn.Addr
	refuse bool
	moved  *conn.Conn // of another server: it goes on; nil: it is new
}

// start makes k, which has its wire, a connection of the crew.
func (c *crew) start(k *link, a arrival) {
	k.crew, k.bell, k.phase = c, make(chan struct{}, 1), conn.NumPhases
	k.borrow()
	if a.moved != nil {
		k.conn = *a.moved
		k.conn.Move(k.local)
	} else {
		k.local.Counters.Accepted++
		if a.refuse {
			k.local.Counters.Refused++
		}
		k.conn.Start(k.local, a.remote, a.refuse)
	}
	k.local.Hold(c.each)
	k.giveBack()
	c.all.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastToken++
	k.token = c.lastToken
	c.links[k.token] = k
}

// borrow takes a Workspace for a turn.
func (k *link) borrow() {
	// Before the terms: a nudge from here on finds those that wait with an older epoch.
	k.epoch = k.crew.epoch.Load()
	if t := k.hold(); k.owned {
		k.renew(t)
	} else {
		k.local = t.locals.Get().(*conn.Workspace)
	}
	k.local.Token = k.token
	k.refresh()
	k.conn.CountClient(k.local)
}

// renew gives the thread's own Workspace what a reload has replaced. It may be called
// within a turn, as long as nothing is being answered.
func (k *link) renew(t *terms) {
	if k.local.Config != t.config {
		k.local.Config, k.local.Handler, k.local.Log = t.config, t.newHandler(), t.log
	}
}

// refresh brings what the Workspace says up to date: before a turn, and within it
// after each call that may have waited.
func (k *link) refresh() {
	l := k.local
	now := clock.Now()
	l.Settle(now.Mono)
	l.Clock = now
	l.Closing = k.closes()
	l.Alone = k.slept && k.alone(l.Clock.Mono)
	k.slept = false
}

// closes reports whether each answer is to be the connection's last.
func (k *link) closes() bool {
	c := k.crew
	return c.draining.Load() || c.crowded.Load() || k.stays || c.rooted && c.heir.Load() != nil
}

// received is called when something was received, which may be long after the turn began: whoever asks
// after Drain or Handover has returned is told that the answer is the last.
func (k *link) received() { k.local.Closing = k.closes() }

// woke notes that the connection has received something that it waited for.
func (k *link) woke() {
	k.slept = true
	if k.idle.Load() != 0 {
		k.idle.Store(0)
	}
}

// alone reports whether what the connection woke for came by itself: no other
// one has woken since its last time, or for a while.
func (k *link) alone(now int64) bool {
	c := k.crew
	wakes := c.wakes.Add(1)
	same := wakes == k.wakes+1 && now-k.asked >= int64(sleepMin)
	k.wakes = wakes
	return now-c.lastWake.Swap(now) >= int64(quietMin) || same || c.open.Load() == 1
}

// giveBack ends a turn.
func (k *link) giveBack() {
	var idle int64
	switch phase, since := k.conn.Phase(); phase {
	case conn.PhaseIdle:
		idle = since
	case conn.PhaseFirstByte:
		idle = -since
	}
	if k.idle.Load() != idle {
		k.idle.Store(idle)
	}
	k.asked = k.crew.mono()
	k.account()
	k.tellHeld()
	if !k.owned {
		k.using.Load().locals.Put(k.local)
		k.local = nil
	}
	if !k.crew.inPlace || !k.conn.Deferred() {
		k.using.Store(nil) // else the job is still the turn's
	}
}

// step gives the connection a turn.
func (k *link) step() conn.Want {
	k.borrow()
	k.rests = k.conn.Idle()
	want := k.conn.Step(k.wire, k.local)
	k.giveBack()
	return want
}

// expire tells the connection that its timer has run out.
func (k *link) expire() conn.Want {
	k.borrow()
	k.rests = k.conn.Idle()
	ticket, waits := k.conn.Awaits()
	want := k.conn.Expire(k.wire, k.local)
	if waits {
		k.reviewJob(ticket)
	}
	k.giveBack()
	return want
}

// first is what a connection that was just started, or handed over, wants.
func (k *link) first() conn.Want {
	if k.conn.Dismissed() {
		return conn.WantClose
	}
	return conn.WantRead
}

// left is how long the connection's timer still has to run.
func (k *link) left() time.Duration {
	phase, since := k.conn.Phase()
	timeout := k.crew.terms.Load().config.Timeout(phase)
	if timeout == 0 {
		return untimed
	}
	return timeout - time.Duration(k.asked-since)
}

// drive gives the connection, which wants that, one turn after the other and
// waits in between. It returns WantClose when the connection is to end, and
// before that only if its wire leaves the waiting to events.
func (k *link) drive(want conn.Want) conn.Want {
	k.asked = k.crew.mono()
	for want != conn.WantClose {
		if want == conn.WantRead && k.handOver() {
			return conn.WantClose
		}
		if k.crew.over.Load() || k.cut.Load() != 0 {
			k.rests = k.conn.Idle()
			return conn.WantClose
		}
		left := k.left()
		if left <= 0 {
			if want == conn.WantRead && k.wire.look() {
				return want
			}
			want = k.expire()
			continue
		}
		switch want {
		case conn.WantYield:
			runtime.Gosched()
		case conn.WantDeferred:
			k.work(left)
		case conn.WantSource:
			k.sleep(left)
		default:
			if !k.wire.wait(want, left) {
				return want
			}
		}
		want = k.step()
	}
	return want
}

// end frees what the connection holds and closes it.
func (k *link) end() {
	if k.moved {
		return
	}
	c := k.crew
	k.borrow()
	k.leaveJob()
	k.conn.Release(k.local)
	k.local.Hold(-c.each)
	k.ended = true
	k.local.Counters.Calls[conn.CallClose]++
	k.giveBack()
	c.mu.Lock()
	delete(c.links, k.token) // before the descriptor's number can be another's
	c.leaving -= k.cut.Load()
	if !k.spared {
		c.open.Add(-1)
	}
	switch {
	case !c.over.Load():
	case k.rests:
		c.ended.Idle++
	default:
		c.ended.Cut++
	}
	c.mu.Unlock()
	if k.cut.Load() != 0 {
		c.share.Relieved() // that may not have been enough
	}
	k.mu.Lock()
	k.gone = true
	k.mu.Unlock()
	for _, m := range k.mail {
		m.result.Release()
	}
	if err := k.wire.close(); err != nil {
		c.opts.Warn("closing a connection", err)
	}
	c.all.Done()
}

// work does the connection's job, or waits for it to be done, no longer than left.
func (k *link) work(left time.Duration) {
	c := k.crew
	job, ticket, must := k.conn.TakeJob()
	switch {
	case job == nil: // the pool has it
	case k.crew.inPlace:
		c.tally(&conn.Counters{JobsSubmitted: 1, JobsDone: 1})
		k.conn.Resume(ticket, job.Run(k), nil)
		return
	default:
		err := c.opts.Pool.Submit(job, must, k.conn.JobClient(), c, k.token, ticket)
		c.tally(&conn.Counters{JobsSubmitted: 1})
		if err != nil {
			c.tally(&conn.Counters{JobsRefused: 1})
			k.conn.Resume(ticket, nil, err)
			if own, ok := job.(conn.Result); ok && must {
				own.Release() // a job for an answer under way holds its file, as its result would
			}
			return
		}
	}
	k.sleep(left)
	k.mu.Lock()
	mail := k.mail
	k.mail = nil
	k.mu.Unlock()
	for _, m := range mail {
		if !k.conn.Resume(m.ticket, m.result, nil) {
			m.result.Release() // it came too late
		}
	}
}

// Wanted implements [conn.Demand] for a job that runs in place.
func (k *link) Wanted() bool { return k.cut.Load() == 0 && !k.crew.over.Load() }

// reviewJob takes back the job that the connection waited for before its timer ran out, if it does not any more, and
// says so where it may not.
func (k *link) reviewJob(ticket uint32) {
	c := k.crew
	now, waits := k.conn.Awaits()
	switch {
	case c.inPlace:
	case waits && now == ticket && k.conn.Doubtful():
		c.opts.Pool.Doubt(c, k.token, ticket)
	case waits && now == ticket:
	case c.opts.Pool.Leave(c, k.token, ticket):
		c.tally(&conn.Counters{JobsDone: 1, JobsDropped: 1})
	}
}

// leaveJob takes back the connection's job, if it waits for one: nobody does any more.
func (k *link) leaveJob() {
	c := k.crew
	if ticket, waits := k.conn.Awaits(); waits && !c.inPlace && c.opts.Pool.Leave(c, k.token, ticket) {
		c.tally(&conn.Counters{JobsDone: 1, JobsDropped: 1})
	}
}

// post leaves a result for the connection. It reports false if that has ended.
func (k *link) post(m delivery) bool {
	k.mu.Lock()
	if k.gone {
		k.mu.Unlock()
		return false
	}
	k.mail = append(k.mail, m)
	k.mu.Unlock()
	k.ring()
	return true
}

// ring ends the connection's sleep, or its next one.
func (k *link) ring() {
	select {
	case k.bell <- struct{}{}:
	default: // it rings already
	}
}

// sleep waits for the bell, no longer than timeout.
func (k *link) sleep(timeout time.Duration) {
	if on := k.crew.onSleep; on != nil {
		on(k, true)
		defer on(k, false)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-k.bell:
	case <-timer.C:
	}
}

// descriptors lists the sockets of all listeners once.
func descriptors(listeners [][]model.Listener) []int {
	var fds []int
	for _, list := range listeners {
		for _, l := range list {
			if !slices.Contains(fds, l.FD) {
				fds = append(fds, l.FD)
			}
		}
	}
	return fds
}
