// Package workers runs jobs that may block on a bounded number of goroutines,
// off the loops. It imports conn.
package workers

import (
	"container/list"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
)

const (
	// queueMax bounds the jobs of a class that wait for a worker. At the 3 to 11 us of CPU
	// that a hop costs, and far more that a cold file does, a longer queue only means later failures.
	queueMax = 1024
	// sharePart is what part of the workers a class has at most, but for files, of which
	// there is so always a worker that nobody else takes where there are that many.
	sharePart = 4
)

// Pool is a bounded number of goroutines for work that may block. A worker is started for a job that comes, and ends
// when it finds none.
//
// Each class of jobs has a queue of its own and a share of the workers, and classes take turns, so that
// none of them waits for another one's long jobs. Within a class, clients take turns. A job that
// nobody waits for any more is dropped while it is queued, and told so while it runs ([conn.Demand]).
type Pool struct {
	mu      sync.Mutex
	classes [conn.NumJobClasses]jobQueue
	next    int                 // the class whose turn it is
	queued  int                 // of all classes
	joined  map[any]*task       // queued or running, by Job.Key
	waiting map[waiterKey]*task // what each waiter waits for
	workers int                 // that run
	limit   int
	closed  bool
	wg      sync.WaitGroup

	epoch    uint64         // counts Flush
	unpassed map[uint64]int // jobs that are queued or run, by the epoch they came in
	passed   sync.Cond      // one of these became 0
}

// Receiver takes the results of jobs. Deliver is called on a worker's goroutine
// and must not block; the reference that the result comes with is the receiver's.
type Receiver interface {
	Deliver(token uint64, ticket uint32, result conn.Result)
}

// waiterKey names a connection that waits for a result.
type waiterKey struct {
	to     Receiver
	token  uint64
	ticket uint32
}

// waiter is one of a task.
type waiter struct {
	waiterKey
	doubtful bool
}

// task is a job in the pool.
type task struct {
	job     conn.Job
	class   conn.JobClass
	client  conn.Client
	key     any
	group   any // nil: none
	must    bool
	waiters []waiter
	wanted  atomic.Int32 // how many those are, for the job to ask
	doubts  int          // of them, those that may have gone without a word
	doubted atomic.Bool  // all of them may have
	queue   *jobQueue
	epoch   uint64

	of    *clientQueue  // that it waits in; nil: it runs
	place *list.Element // there
}

// Wanted implements [conn.Demand].
func (t *task) Wanted() bool {
	return t.wanted.Load() > 0 && !(t.doubted.Load() && t.queue.certain.Load() > 0)
}

// NewPool returns a pool of at most that many workers, which are started as
// they are needed and end with Close. There is at least one.
func NewPool(workers int) *Pool {
	p := &Pool{
		limit:  max(workers, 1),
		joined: make(map[any]*task), waiting: make(map[waiterKey]*task), unpassed: make(map[uint64]int),
	}
	p.passed.L = &p.mu
	return p
}

// Submit has job run, or joins it to an equal one that waits or runs; the
// result goes to to.Deliver with token and ticket. It returns conn.ErrBusy, and
// delivers nothing, when the class's queue is full, the client has more than its part of that, or the pool is
// closed. must is for jobs that an answer under way depends on, of which a connection has one at
// most: a full queue takes them all the same.
func (p *Pool) Submit(job conn.Job, must bool, client conn.Client, to Receiver, token uint64, ticket uint32) error {
	w := waiterKey{to, token, ticket}
	key, class := job.Key(), job.Class()
	p.mu.Lock()
	defer p.mu.Unlock()
	if key != nil {
		if t := p.joined[key]; t != nil {
			p.join(t, w)
			return nil
		}
	}
	q := &p.classes[class]
	if p.closed || !must && !q.admits(client) {
		return conn.ErrBusy
	}
	t := &task{job: job, class: class, key: key, must: must, epoch: p.epoch, client: client, queue: q}
	p.join(t, w)
	p.unpassed[p.epoch]++
	if key != nil {
		p.joined[key] = t
	}
	if g, ok := key.(conn.Grouped); ok {
		t.group = g.Group()
	}
	q.push(t)
	p.queued++
	if q.running < p.share(class) {
		p.wake()
	}
	return nil
}

// join adds a waiter to a task.
func (p *Pool) join(t *task, w waiterKey) {
	t.waiters = append(t.waiters, waiter{waiterKey: w})
	t.wanted.Add(1)
	p.waiting[w] = t
	p.weigh(t)
}

// Doubt says of a waiter that it may have gone: its client has closed its side of the connection. A job for which none
// but such wait is done when there is nothing else of its class, and is not wanted any more while there is.
func (p *Pool) Doubt(to Receiver, token uint64, ticket uint32) {
	w := waiterKey{to, token, ticket}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.waiting[w]
	if t == nil {
		return
	}
	for i := range t.waiters {
		if t.waiters[i].waiterKey == w && !t.waiters[i].doubtful {
			t.waiters[i].doubtful = true
			t.doubts++
		}
	}
	p.weigh(t)
}

// weigh puts a task where it belongs when its waiters have changed.
func (p *Pool) weigh(t *task) {
	doubted := t.doubts > 0 && t.doubts == len(t.waiters)
	if t.doubted.Load() == doubted {
		return
	}
	if t.of == nil {
		t.doubted.Store(doubted)
		return
	}
	t.queue.remove(t)
	t.doubted.Store(doubted)
	t.queue.push(t)
}

// Leave takes back what Submit was given: nobody waits for that result any more. It reports whether
// nothing will be delivered; else it was or is about to be. A job for which nobody else waits is dropped, if it
// has not begun, and else asked to end.
func (p *Pool) Leave(to Receiver, token uint64, ticket uint32) bool {
	w := waiterKey{to, token, ticket}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.waiting[w]
	if t == nil {
		return false
	}
	delete(p.waiting, w)
	for i := range t.waiters {
		if t.waiters[i].waiterKey == w {
			if t.waiters[i].doubtful {
				t.doubts--
			}
			last := len(t.waiters) - 1
			t.waiters[i] = t.waiters[last]
			t.waiters = t.waiters[:last]
			break
		}
	}
	if t.wanted.Add(-1) > 0 {
		p.weigh(t)
		return true
	}
	p.unjoin(t) // a running one is about to give up: nobody is to join it
	if t.of != nil {
		p.classes[t.class].remove(t)
		p.queued--
		conn.DropJob(t.job, t.must)
		p.pass(t)
	}
	return true
}

// unjoin has nobody join the task any more.
func (p *Pool) unjoin(t *task) {
	if t.key != nil && p.joined[t.key] == t {
		delete(p.joined, t.key)
	}
}

// share is how many workers may do jobs of the class at a time.
func (p *Pool) share(class conn.JobClass) int {
	if class == conn.JobFile {
		return p.limit
	}
	return ClassShare(p.limit)
}

// ClassShare is how many of a pool's workers do jobs of one class at a time, but for files.
func ClassShare(workers int) int { return max(1, workers/sharePart) }

// wake has one more worker look for a task, if there may be one more.
func (p *Pool) wake() {
	if p.workers < p.limit {
		p.workers++
		p.wg.Go(p.worker)
	}
}

// take takes the next task of the next class that has one and workers left of its share; nil: there is none.
func (p *Pool) take() *task {
	for i := range p.classes {
		class := (p.next + i) % len(p.classes)
		q := &p.classes[class]
		if q.queued == 0 || q.running >= p.share(conn.JobClass(class)) {
			continue
		}
		if t := q.pop(); t != nil {
			p.next = class + 1
			p.queued--
			q.running++
			return t
		}
	}
	return nil
}

// pop takes a task off the queues; nil: there is none, and the worker ends. last is what the worker has just done.
func (p *Pool) pop(last *task) *task {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last != nil {
		p.pass(last)
		p.classes[last.class].done(last)
	}
	var t *task
	if p.workers <= p.limit {
		t = p.take()
	}
	switch {
	case t == nil:
		p.workers--
	case last != nil && (t.class != last.class || last.group != nil) && p.classes[last.class].queued > 0:
		p.wake() // the class was at its share, or the group at work, and nobody was woken for what waits
	}
	return t
}

// worker runs jobs while there are some.
func (p *Pool) worker() {
	var t *task
	for t = p.pop(nil); t != nil; t = p.pop(t) {
		result := t.job.Run(t)
		p.mu.Lock()
		p.unjoin(t) // from here on nobody can join, or leave
		waiters := t.waiters
		for _, w := range waiters {
			delete(p.waiting, w.waiterKey)
		}
		p.mu.Unlock()
		if len(waiters) == 0 {
			result.Release()
		}
		for i := 1; i < len(waiters); i++ {
			result.Retain() // for all of them, before the first can release it
		}
		for _, w := range waiters {
			w.to.Deliver(w.token, w.ticket, result)
		}
	}
}

// pass counts a job that is done, and its result delivered.
func (p *Pool) pass(t *task) {
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
	for len(p.unpassed) > 0 && slices.Min(slices.Collect(maps.Keys(p.unpassed))) <= last {
		p.passed.Wait()
	}
}

// Resize changes the number of workers. Those that are too many end when they
// have finished what they do. It does not make a pool of one that was made with none.
func (p *Pool) Resize(workers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = max(workers, 1)
	for range min(p.limit-p.workers, p.queued) { // for what waits already
		p.wake()
	}
}

// Close lets the workers finish what is queued and ends them.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wg.Wait()
}
