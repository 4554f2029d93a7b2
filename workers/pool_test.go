package workers

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
)

// work is a job of a function.
type work struct {
	key any
	run func() conn.Result
}

func (w *work) Key() any                    { return w.key }
func (w *work) Class() conn.JobClass        { return conn.JobFile }
func (w *work) Run(conn.Demand) conn.Result { return w.run() }

// inTray collects results.
type inTray struct {
	mu   sync.Mutex
	got  map[uint64]conn.Result
	came chan struct{}
}

func newInTray() *inTray {
	return &inTray{got: map[uint64]conn.Result{}, came: make(chan struct{}, 1<<16)}
}

func (r *inTray) Deliver(token uint64, ticket uint32, result conn.Result) {
	r.mu.Lock()
	r.got[token<<32|uint64(ticket)] = result
	r.mu.Unlock()
	r.came <- struct{}{}
}

// wait returns after n results have come.
func (r *inTray) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(patience)
	for range n {
		select {
		case <-r.came:
		case <-deadline:
			t.Fatal("a result does not come")
		}
	}
}

// TestEqualJobsAreJoined: one Run, a result with a reference for each.
func TestEqualJobsAreJoined(t *testing.T) {
	const waiting = 10
	p := NewPool(2)
	defer p.Close()
	var runs atomic.Int64
	running, release := make(chan struct{}), make(chan struct{})
	result := find("x")
	equal := func() *work {
		return &work{"key", func() conn.Result {
			runs.Add(1)
			close(running)
			<-release
			return result
		}}
	}
	r := newInTray()
	must(t, p.Submit(equal(), false, conn.Client{}, r, 0, 5))
	<-running // the others join one that runs
	for token := range uint64(waiting - 1) {
		must(t, p.Submit(equal(), false, conn.Client{}, r, token+1, 5))
	}
	other := find("y")
	must(t, p.Submit(&work{"other", func() conn.Result { return other }}, false, conn.Client{}, r, 100, 1))
	r.wait(t, 1)
	close(release)
	r.wait(t, waiting)
	if runs.Load() != 1 {
		t.Errorf("%d runs", runs.Load())
	}
	if n := result.refs.Load(); n != waiting {
		t.Errorf("%d references for %d who wait", n, waiting)
	}
	for token := range uint64(waiting) {
		if r.got[token<<32|5] != conn.Result(result) {
			t.Errorf("waiter %d got %v", token, r.got[token<<32|5])
		}
	}
	if other.refs.Load() != 1 || r.got[100<<32|1] != conn.Result(other) {
		t.Error("another key was joined")
	}
	// What has been delivered is joined no more.
	again := find("z")
	must(t, p.Submit(&work{"key", func() conn.Result { return again }}, false, conn.Client{}, r, 200, 1))
	r.wait(t, 1)
	if r.got[200<<32|1] != conn.Result(again) {
		t.Error("a job joined one that was done")
	}
}

// TestQueueIsBounded: 1,024 wait, the next is refused, unless an answer under way needs it.
func TestQueueIsBounded(t *testing.T) {
	p := NewPool(1)
	release := make(chan struct{})
	running := make(chan struct{})
	r := newInTray()
	plain := func() *work { return &work{nil, func() conn.Result { return find("") }} }
	must(t, p.Submit(&work{nil, func() conn.Result { close(running); <-release; return find("") }}, false,
		conn.Client{}, r, 0, 0))
	<-running
	must(t, p.Submit(&work{"joined", func() conn.Result { return find("") }}, false, conn.Client{}, r, 1, 0))
	for token := range uint64(queueMax - 1) {
		must(t, p.Submit(plain(), false, conn.Client{}, r, token+2, 0))
	}
	if err := p.Submit(plain(), false, conn.Client{}, r, 5000, 0); !errors.Is(err, conn.ErrBusy) {
		t.Errorf("the %dth job: %v", queueMax+1, err)
	}
	must(t, p.Submit(&work{key: "joined"}, false, conn.Client{}, r, 5001, 0)) // needs no room
	must(t, p.Submit(plain(), true, conn.Client{}, r, 5002, 0))
	close(release)
	r.wait(t, 1+queueMax+2)
	if r.got[5000<<32] != nil {
		t.Error("a refused job has a result")
	}
	p.Close()
	if err := p.Submit(plain(), true, conn.Client{}, r, 6000, 0); !errors.Is(err, conn.ErrBusy) {
		t.Errorf("after Close: %v", err)
	}
}

// TestNoJobWaitsWhileAWorkerIsFree submits two at once, of which the first
// needs the second, when a worker is about to end: a pool that counted on it would have one wait for ever.
func TestNoJobWaitsWhileAWorkerIsFree(t *testing.T) {
	for range 100 {
		p := NewPool(2)
		r := newInTray()
		must(t, p.Submit(&work{nil, func() conn.Result { return find("") }}, false, conn.Client{}, r, 0, 0))
		r.wait(t, 1)
		met := make(chan struct{})
		must(t, p.Submit(&work{nil, func() conn.Result { <-met; return find("") }}, false, conn.Client{}, r, 1, 0))
		must(t, p.Submit(&work{nil, func() conn.Result { close(met); return find("") }}, false, conn.Client{}, r, 2, 0))
		r.wait(t, 2)
		p.Close()
	}
}

// TestCloseFinishesTheQueue: what was taken is done, in order, by one worker.
func TestCloseFinishesTheQueue(t *testing.T) {
	p := NewPool(1)
	r := newInTray()
	var order []uint64
	for i := range uint64(100) {
		must(t, p.Submit(&work{nil, func() conn.Result { order = append(order, i); return find("") }}, false,
			conn.Client{}, r, i, 0))
	}
	p.Close()
	r.wait(t, 100)
	for i, n := range order {
		if n != uint64(i) {
			t.Fatalf("job %d ran as number %d", n, i)
		}
	}
	p.Close() // again: nothing happens
}
