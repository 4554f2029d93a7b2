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
	mu      sync.Mutex
	work    sync.Cond
	queue   []*task // first in, first out, from head
	head    int
	joined  map[any]*task // queued or running, by Job.Key
	workers int
	limit   int
	idle    int
	closed  bool
	wg      sync.WaitGroup
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
}

// NewPool returns a pool of at most that many workers, which are started as they are needed.
func NewPool(workers int) *Pool {
	p := &Pool{limit: max(workers, 1), joined: make(map[any]*task)}
	p.work.L = &p.mu
	return p
}

// Submit has job run, or joins it to an equal one that waits or runs; the
// result goes to to.Deliver with token and ticket. It returns conn.ErrBusy,
// and delivers nothing, when the queue is full; must is for jobs that an
// answer under way depends on, of which a connection has one at most: they are never refused.
func (p *Pool) Submit(job conn.Job, must bool, to Receiver, token uint64, ticket uint32) error {
	w := waiter{to, token, ticket}
	key := job.Key()
	p.mu.Lock()
	defer p.mu.Unlock()
	if key != nil {
		if t := p.joined[key]; t != nil {
			t.waiters = append(t.waiters, w)
			return nil
		}
	}
	if p.closed || !must && len(p.queue)-p.head >= queueMax {
		return conn.ErrBusy
	}
	t := &task{job: job, key: key, waiters: []waiter{w}}
	if key != nil {
		p.joined[key] = t
	}
	p.queue = append(p.queue, t)
	switch {
	case p.idle > 0:
		p.work.Signal()
	case p.workers < p.limit:
		p.workers++
		p.wg.Add(1)
		go p.worker()
	}
	return nil
}

// worker runs jobs until the pool is closed.
func (p *Pool) worker() {
	defer p.wg.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for p.head == len(p.queue) {
			if p.closed {
				return
			}
			p.idle++
			p.work.Wait()
			p.idle--
		}
		t := p.queue[p.head]
		p.queue[p.head] = nil
		if p.head++; p.head > len(p.queue)/2 {
			p.queue, p.head = append(p.queue[:0], p.queue[p.head:]...), 0
		}
		p.mu.Unlock()
		result := t.job.Run()
		p.mu.Lock()
		// From here on nobody can join.
		if t.key != nil {
			delete(p.joined, t.key)
		}
		p.mu.Unlock()
		for range t.waiters[1:] {
			result.Retain() // all of them before the first may be released
		}
		for _, w := range t.waiters {
			w.to.Deliver(w.token, w.ticket, result)
		}
		p.mu.Lock()
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
