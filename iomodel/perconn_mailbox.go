package iomodel

import (
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/workers"
)

// mailbox is how other goroutines reach a connection that waits for a job or its Source.
type mailbox struct {
	wakeup  chan struct{} // has room for one: waking twice is waking once
	mu      sync.Mutex
	results []jobResult
	gone    bool // the connection has ended, and takes no more results
}

// jobResult is a job's result on its way to the connection.
type jobResult struct {
	ticket uint32
	result conn.Result
}

// deliver leaves a result for the connection. It reports false if that has ended.
func (m *mailbox) deliver(r jobResult) bool {
	m.mu.Lock()
	if m.gone {
		m.mu.Unlock()
		return false
	}
	m.results = append(m.results, r)
	m.mu.Unlock()
	m.wake()
	return true
}

// take returns the results that have come.
func (m *mailbox) take() []jobResult {
	m.mu.Lock()
	defer m.mu.Unlock()
	results := m.results
	m.results = nil
	return results
}

// close refuses further results and releases those that were not taken.
func (m *mailbox) close() {
	m.mu.Lock()
	m.gone = true
	m.mu.Unlock()
	for _, r := range m.results {
		r.result.Release()
	}
}

// wake ends the connection's sleep, or its next one.
func (m *mailbox) wake() {
	select {
	case m.wakeup <- struct{}{}:
	default: // one is there already
	}
}

// sleep waits until the connection is woken, no longer than timeout.
func (c *ownedConn) sleep(timeout time.Duration) {
	if on := c.server.onSleep; on != nil {
		on(c, true)
		defer on(c, false)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-c.mailbox.wakeup:
	case <-timer.C:
	}
}

// Wake implements [conn.Waker].
func (s *ownedServer) Wake(token uint64) {
	if c := s.lookup(token); c != nil {
		c.mailbox.wake()
	}
}

// Deliver implements [workers.Receiver].
func (s *ownedServer) Deliver(token uint64, ticket uint32, result conn.Result) {
	s.addCounters(&conn.Counters{JobsDone: 1})
	if c := s.lookup(token); c == nil || !c.mailbox.deliver(jobResult{ticket, result}) {
		result.Release()
	}
}

// waiting is the connection as the pool knows it.
func (c *ownedConn) waiting() workers.Waiting {
	return workers.Waiting{Conn: &c.conn, To: c.server, Token: c.token}
}

// work does the connection's job, or waits for it to be done, no longer than timeout.
func (c *ownedConn) work(timeout time.Duration) {
	s := c.server
	if s.onThread {
		if job, ticket, _ := c.conn.TakeJob(); job != nil {
			s.addCounters(&conn.Counters{JobsSubmitted: 1, JobsDone: 1})
			c.conn.Resume(ticket, job.Run(c), nil)
		}
		return
	}
	var count conn.Counters
	taken := s.opts.Pool.SubmitFor(c.waiting(), &count)
	s.addCounters(&count)
	if !taken {
		return
	}
	c.sleep(timeout)
	for _, r := range c.mailbox.take() {
		if !c.conn.Resume(r.ticket, r.result, nil) {
			r.result.Release() // it came too late
		}
	}
}

// Wanted implements [conn.Demand] for a job that runs on the connection's thread.
func (c *ownedConn) Wanted() bool { return c.cut.Load() == 0 && !c.server.graceOver() }
