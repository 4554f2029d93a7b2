package workers

import (
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
)

// gate is a job that waits to be let through; it is its own result.
type gate struct {
	began, through chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) Key() any                    { return nil }
func (g *gate) Class() conn.JobClass        { return conn.JobFile }
func (g *gate) Run(conn.Demand) conn.Result { close(g.began); <-g.through; return g }
func (g *gate) Retain()                     {}
func (g *gate) Release()                    {}

// delivered takes results.
type delivered struct{ sync.WaitGroup }

func (d *delivered) Deliver(uint64, uint32, conn.Result) { d.Done() }

func (d *delivered) submit(t *testing.T, p *Pool, g *gate) {
	t.Helper()
	d.Add(1)
	if err := p.Submit(g, false, conn.Client{}, d, 1, 1); err != nil {
		t.Fatal(err)
	}
}

// TestPoolFlush waits for the jobs before it, run or queued, and for no other.
func TestPoolFlush(t *testing.T) {
	p := NewPool(1)
	var to delivered
	first, second, later := newGate(), newGate(), newGate()
	to.submit(t, p, first)
	to.submit(t, p, second)
	<-first.began
	flushed := make(chan struct{})
	go func() { p.Flush(); close(flushed) }()
	close(first.through)
	<-second.began
	select {
	case <-flushed:
		t.Error("it does not wait for what was queued")
	default:
	}
	for { // until Flush has begun, a job is one of those before it
		p.mu.Lock()
		begun := p.epoch > 0
		p.mu.Unlock()
		if begun {
			break
		}
	}
	to.submit(t, p, later)
	close(second.through)
	<-flushed
	<-later.began
	close(later.through)
	to.Wait()
	p.Flush() // there is nothing
	p.Close()
}

// TestPoolResize: more workers take up what waits, fewer end when they have
// finished, and nothing is left undone.
func TestPoolResize(t *testing.T) {
	p := NewPool(1)
	var to delivered
	gates := make([]*gate, 4)
	for i := range gates {
		gates[i] = newGate()
		to.submit(t, p, gates[i])
	}
	<-gates[0].began
	p.Resize(4)
	for _, g := range gates {
		<-g.began // all at a time
	}
	p.Resize(2)
	for _, g := range gates {
		close(g.through)
	}
	to.Wait()
	for {
		p.mu.Lock()
		workers := p.workers
		p.mu.Unlock()
		if workers <= 2 {
			break
		}
	}
	p.Resize(1)
	last := newGate()
	close(last.through)
	to.submit(t, p, last)
	to.Wait()
	p.Close()
}
