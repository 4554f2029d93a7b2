//go:build unix

package reactor

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/workers"
)

// results makes jobs' results and knows them all.
type results struct {
	mu   sync.Mutex
	made []*found
	runs atomic.Int64
}

func (r *results) find(body string) conn.Result {
	f := find(body)
	r.runs.Add(1)
	r.mu.Lock()
	r.made = append(r.made, f)
	r.mu.Unlock()
	return f
}

// released waits until nobody holds any of the results.
func (r *results) released(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var held int64
		r.mu.Lock()
		for _, f := range r.made {
			held += f.refs.Load()
		}
		r.mu.Unlock()
		if held == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d references are held", held)
		}
	}
}

// bin takes results that nobody needs, and counts them off.
type bin struct{ sync.WaitGroup }

func (b *bin) Deliver(_ uint64, _ uint32, result conn.Result) {
	result.Release()
	b.Done()
}

// withJobs has jobs wait for release and find their path.
func withJobs(r *results, release <-chan struct{}) option {
	return withAnswers(func(a *answers) {
		a.job = func(path string) conn.Result { <-release; return r.find(path) }
	})
}

// TestDeferredAnswersComeInOrder: a deferred request holds those behind it
// back, and results that come on many connections all arrive.
func TestDeferredAnswersComeInOrder(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		release := make(chan struct{})
		s := start(t, v, withJobs(&r, release))
		var clients []*client
		for i := range 20 {
			c := s.dial()
			c.send(get("/small") + get(fmt.Sprint("/each/", i)) + get("/small") + get(fmt.Sprint("/defer/", i)) +
				getClose("/small"))
			clients = append(clients, c)
		}
		s.deferred(20)
		close(release)
		for i, c := range clients {
			c.expect(200)
			if a := c.expect(200); a.text != fmt.Sprint("/each/", i) {
				t.Errorf("the answer is %q", a.text)
			}
			c.expect(200)
			if a := c.expect(200); a.text != fmt.Sprint("/defer/", i) {
				t.Errorf("the answer is %q", a.text)
			}
			c.expect(200)
			c.expectEnd(false)
		}
		r.released(t)
	})
}

// TestJoinedRequests: connections that wait for the same get the one result.
func TestJoinedRequests(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		release := make(chan struct{})
		s := start(t, v, withJobs(&r, release))
		var clients []*client
		for range 10 {
			clients = append(clients, s.dial().send(get("/defer/same")))
		}
		s.deferred(len(clients))
		clients[3].reset() // one who is gone when it comes
		close(release)
		for i, c := range clients {
			if i != 3 {
				c.expect(200)
			}
		}
		r.released(t)
		if r.runs.Load() != 1 {
			t.Errorf("%d runs", r.runs.Load())
		}
	})
}

// TestFullQueueIs503AtOnce: with Retry-After, and the connection stays; a
// page of a file that is being sent is fetched all the same.
func TestFullQueueIs503AtOnce(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		release := make(chan struct{})
		pool := workers.NewPool(1)
		t.Cleanup(pool.Close)
		s := start(t, v, withJobs(&r, release), withOptions(func(o *Options) { o.Pool = pool }))
		began := make(chan struct{}, 1)
		stuck := &answers{job: func(path string) conn.Result { began <- struct{}{}; <-release; return r.find(path) }}
		var others bin
		others.Add(1)
		must(t, pool.Submit(&job{stuck, "", nil}, false, conn.Client{}, &others, 0, 0))
		<-began // the worker is busy
		for pool.Submit(&job{s.answers, "", nil}, false, conn.Client{}, &others, 0, 0) == nil {
			others.Add(1)
		}
		cold := s.dial().send(get("/cold"))
		s.deferred(1)
		c := s.dial().send(get("/each/2"))
		if a := c.expect(503); a.fields.Get("Retry-After") == "" || a.close {
			t.Errorf("Retry-After %q, close %v", a.fields.Get("Retry-After"), a.close)
		}
		c.send(get("/small")).expect(200)
		close(release)
		if a := cold.expect(200); a.body != int64(len(huge)) {
			t.Errorf("%d bytes of the file came", a.body)
		}
		c.send(get("/each/3")).expect(200)
		others.Wait()
		r.released(t)
	})
}

// TestClosedPoolRefuses: a file that is being sent ends there, since its
// length was announced; a request is answered 503.
func TestClosedPoolRefuses(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		pool := workers.NewPool(1)
		s := start(t, v, withOptions(func(o *Options) { o.Pool = pool }))
		pool.Close()
		s.dial().send(get("/each/1")).expect(503)
		c := s.dial().send(get("/cold"))
		if a, err := c.read(); err == nil && a.body == int64(len(huge)) {
			t.Errorf("all of a file came without a worker: %+v", a)
		}
	})
}

// TestLateResultIsReleased: after the deadline's 503 the result belongs to nobody.
func TestLateResultIsReleased(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		release := make(chan struct{})
		s := start(t, v, withJobs(&r, release), withConfig(func(c *conn.Config) { c.Deferred = time.Millisecond }))
		c := s.dial().send(get("/defer/1"))
		if a := c.expect(503); a.fields.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		close(release)
		// It may not have begun by then, and is dropped.
		s.until("the job is done", func(l *Loop) bool { return l.local.Counters.JobsInFlight() == 0 })
		r.released(t)
	})
}

// TestResetWhileDeferred: the result of a connection that is gone is released,
// also when the slot has another owner.
func TestResetWhileDeferred(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		release := make(chan struct{})
		s := start(t, v, withJobs(&r, release))
		c := s.dial()
		c.send(get("/small")).expect(200)
		c.send(get("/defer/1"))
		s.deferred(1)
		c.reset()
		s.on(0, func(l *Loop) { // as a timer would
			l.slab.each(l.close)
		})
		other := s.dial()
		other.send(get("/defer/2")) // has the slot now
		s.deferred(1)
		close(release)
		if a := other.expect(200); a.text != "/defer/2" {
			t.Errorf("a connection got its predecessor's result: %q", a.text)
		}
		r.released(t)
	})
}

// TestResultsAfterTheEnd: a loop that has ended releases what still comes.
func TestResultsAfterTheEnd(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		var r results
		release := make(chan struct{})
		s := start(t, v, withJobs(&r, release))
		s.dial().send(get("/defer/1"))
		s.deferred(1)
		s.Drain(0)
		if e := s.end(); e.Cut != 1 || e.Idle != 0 || e.Err != nil {
			t.Errorf("ended with %+v", e)
		}
		close(release)
		s.opts.Pool.Close()
		r.released(t)
	})
}

// TestResultWithinTheEnd: a result that waits in the inbox when the loop ends is released.
func TestResultWithinTheEnd(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := prepare(t, v, 1)
		result := find("x")
		l := s.loops[0]
		l.Deliver(1<<32, 1, result)
		l.end(nil)
		if n := result.refs.Load(); n != 0 {
			t.Errorf("%d references are left", n)
		}
	})
}

// TestSourceIsWoken: a Source that has nothing parks its connection; Wake,
// from another goroutine, steps it; a wake-up for one that is gone does nothing.
func TestSourceIsWoken(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		const parts, partSize = 8, 1000
		var ready atomic.Bool
		var sent int
		s := start(t, v, withAnswers(func(a *answers) {
			a.source = func(p []byte) (int, error) {
				if !ready.Swap(false) {
					return 0, conn.ErrAgain
				}
				sent++
				return len(p[:partSize]), nil
			}
		}))
		c := s.dial().send(get("/source"))
		for i := range parts {
			s.wants(conn.WantSource, conn.PhaseSending)
			s.on(0, func(*Loop) {
				if sent != i {
					t.Errorf("%d parts were sent after %d wake-ups", sent, i)
				}
			})
			ready.Store(true)
			(*s.answers.lastWake.Load())()
			s.until("the part is sent", func(*Loop) bool { return sent == i+1 })
		}
		if n, err := io.CopyN(io.Discard, c.r, parts*partSize); err != nil {
			t.Errorf("%d bytes came: %v", n, err)
		}
		s.on(0, func(l *Loop) { l.slab.each(l.close) })
		(*s.answers.lastWake.Load())()
		s.dial().send(get("/small")).expect(200)
		if n := s.answers.sources.Load(); n != 0 {
			t.Errorf("%d sources are open", n)
		}
	})
}
