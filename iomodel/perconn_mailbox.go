package iomodel

import (
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/workers"
)

// jobResult is a job's result on its way to the connection.
type jobResult struct {
	ticket uint32
	result conn.Result
}

// wake ends the connection's sleep, or its next one.
func (c *ownedConn) wake() {
	select {
	case c.wakeup <- struct{}{}:
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
	case <-c.wakeup:
	case <-timer.C:
	}
}

// Wake implements [conn.Waker].
func (s *ownedServer) Wake(token uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[token]; c != nil {
		c.wake()
	}
}

// Deliver implements [workers.Receiver].
func (s *ownedServer) Deliver(token uint64, ticket uint32, result conn.Result) {
	s.addCounters(&conn.Counters{JobsDone: 1})
	s.mu.Lock()
	c := s.conns[token]
	if c != nil {
		c.results = append(c.results, jobResult{ticket, result})
	}
	s.mu.Unlock()
	if c == nil {
		result.Release()
		return
	}
	c.wake()
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
	s.mu.Lock()
	results := c.results
	c.results = nil
	s.mu.Unlock()
	for _, r := range results {
		if !c.conn.Resume(r.ticket, r.result, nil) {
			r.result.Release() // it came too late
		}
	}
}

// Wanted implements [conn.Demand] for a job that runs on the connection's thread.
func (c *ownedConn) Wanted() bool { return c.cut.Load() == 0 && !c.server.graceOver() }
