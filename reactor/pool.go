package reactor

import (
	"sync"

	"github.com/evhttpd/evhttpd/conn"
)

// queueMax bounds the jobs that wait for a worker. At the 3 to 11 us of CPU
// that a hop costs, and far more that a cold file does, a longer queue only means later failures.
const queueMax = 1024

// Pool is a bounded number of goroutines for work that may block.
type Pool struct {
	mu          sync.Mutex
	work        sync.Cond
	first, last *task // the queue, linked by next
	queued      int
	joined      map[any]*task // queued or running, by Job.Key
	workers     int
	limit       int
	idle        int // waiting workers that no task has been queued for
	closed      bool
	inPlace     bool // Submit runs the jobs
	wg          sync.WaitGroup

	epoch    uint64         // counts Flush
	unpassed map[uint64]int // jobs that are queued or run, by the epoch they came in
	passed   sync.Cond      // one of these became 0
}

// Receiver takes the results of jobs. Deliver is called on a worker's goroutine
// and must not block; the reference that the result comes with is the receiver's.
type Receiver interface {
	Deliver(token uint64, ticket uint32, result conn.Result)
}

type waiter struct {
	to     Receiver
	token  uint64
	ticket uint32
}

type task struct {
	job     conn.Job
	key     any
	waiters []waiter
	next    *task
	epoch   uint64
}

// NewPool returns a pool of at most that many workers, which are started as
// they are needed and end with Close. With 0 there is no pool in truth: Submit runs each
// job on its caller, for which everyone waits whom that serves. This is for comparison.
func NewPool(workers int) *Pool {
	p := &Pool{inPlace: workers == 0, limit: max(workers, 1), joined: make(map[any]*task), unpassed: make(map[uint64]int)}
	p.work.L, p.passed.L = &p.mu, &p.mu
	return p
}

// Submit has job run, or joins it to an equal one that waits or runs; the
// result goes to to.Deliver with token and ticket. It returns conn.ErrBusy, and
// delivers nothing, when the queue is full or the pool closed. must is for
// jobs that an answer under way depends on, of which a connection has one at
// most: a full queue takes them all the same.
func (p *Pool) Submit(job conn.Job, must bool, to Receiver, token uint64, ticket uint32) error {
	w := waiter{to, token, ticket}
	if p.inPlace {
		return p.runHere(job, w)
	}
	key := job.Key()
	p.mu.Lock()
	defer p.mu.Unlock()
	if key != nil {
		if t := p.joined[key]; t != nil {
			t.waiters = append(t.waiters, w)
			return nil
		}
	}
	if p.closed || !must && p.queued >= queueMax {
		return conn.ErrBusy
	}
	t := &task{job: job, key: key, waiters: []waiter{w}, epoch: p.epoch}
	p.unpassed[p.epoch]++
	if key != nil {
		p.joined[key] = t
	}
	p.push(t)
	switch {
	case p.idle > 0:
		// Counted off here, not by the worker when it gets to run: until then
		// it would be taken for free by the next job as well, which would wait behind this one.
		p.idle--
		p.work.Signal()
	case p.workers < p.limit:
		p.workers++
		p.wg.Go(p.worker)
	}
	return nil
}

// runHere runs a job in place of a worker.
func (p *Pool) runHere(job conn.Job, w waiter) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return conn.ErrBusy
	}
	t := &task{epoch: p.epoch}
	p.unpassed[p.epoch]++
	p.mu.Unlock()
	w.to.Deliver(w.token, w.ticket, job.Run())
	p.pass(t)
	return nil
}

// push puts a task at the end of the queue.
func (p *Pool) push(t *task) {
	if p.last != nil {
		p.last.next = t
	} else {
		p.first = t
	}
	p.last = t
	p.queued++
}

// pop takes the first task off the queue. It waits for one, and returns nil
// when there will be none.
func (p *Pool) pop() *task {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.first == nil || p.workers > p.limit {
		if p.closed && p.first == nil || p.workers > p.limit {
			p.workers--
			return nil
		}
		p.idle++
		p.work.Wait()
	}
	t := p.first
	if p.first = t.next; p.first == nil {
		p.last = nil
	}
	p.queued--
	return t
}

// worker runs jobs until the pool is closed.
func (p *Pool) worker() {
	for t := p.pop(); t != nil; t = p.pop() {
		result := t.job.Run()
		if t.key != nil {
			p.mu.Lock()
			delete(p.joined, t.key) // from here on nobody can join
			p.mu.Unlock()
		}
		for range t.waiters[1:] {
			result.Retain() // for all of them, before the first can release it
		}
		for _, w := range t.waiters {
			w.to.Deliver(w.token, w.ticket, result)
		}
		p.pass(t)
	}
}

// pass counts a job that is done, and its result delivered.
func (p *Pool) pass(t *task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unpassed[t.epoch]--; p.unpassed[t.epoch] == 0 {
		delete(p.unpassed, t.epoch)
		p.passed.Broadcast()
	}
}

// Flush returns when the jobs that were submitted before are done and their
// results delivered, which takes as long as the slowest file system does.
func (p *Pool) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.epoch
	p.epoch++
	for p.before(last) {
		p.passed.Wait()
	}
}

// before reports whether there are jobs of that epoch or an earlier one.
func (p *Pool) before(last uint64) bool {
	for epoch := range p.unpassed {
		if epoch <= last {
			return true
		}
	}
	return false
}

// Resize changes the number of workers. Those that are too many end when they
// have finished what they do. It does not make a pool of one that was made with none.
func (p *Pool) Resize(workers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = max(workers, 1)
	for range min(p.limit-p.workers, p.queued) { // for what waits already
		p.workers++
		p.wg.Go(p.worker)
	}
	if p.workers > p.limit {
		p.idle = 0
		p.work.Broadcast()
	}
}

// Close lets the workers finish what is queued and ends them.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.work.Broadcast()
	p.mu.Unlock()
	p.wg.Wait()
}
