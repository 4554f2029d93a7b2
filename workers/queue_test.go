package workers

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
)

// classed is a job of a class that runs a function.
type classed struct {
	work
	class conn.JobClass
	asks  func(conn.Demand)
}

func (c *classed) Class() conn.JobClass { return c.class }

func (c *classed) Run(d conn.Demand) conn.Result {
	if c.asks != nil {
		c.asks(d)
	}
	return find("")
}

// one is a client of its own.
func one(n byte) conn.Client { return conn.Client{15: n} }

// TestClassesHaveSharesOfTheirOwn: jobs of one class that do not end leave workers to those of the others.
func TestClassesHaveSharesOfTheirOwn(t *testing.T) {
	p := NewPool(8)
	r, stuck := newInTray(), newInTray()
	release := make(chan struct{})
	var running atomic.Int64
	for i := range uint64(20) {
		must(t, p.Submit(&classed{class: conn.JobList, asks: func(conn.Demand) { running.Add(1); <-release }}, false,
			one(byte(i)), stuck, i, 0))
	}
	for class := range conn.NumJobClasses {
		if class == conn.JobList {
			continue
		}
		for i := range uint64(10) {
			must(t, p.Submit(&classed{class: class}, false, one(1), r, uint64(class)<<8|i, 0))
		}
	}
	r.wait(t, 10*(int(conn.NumJobClasses)-1))
	if n := running.Load(); n > 8/sharePart {
		t.Errorf("%d workers of 8 are with one class", n)
	}
	close(release)
	stuck.wait(t, 20)
	p.Close()
}

// held is a pool of one worker, which is busy until release is closed.
func held(t *testing.T) (p *Pool, release chan struct{}) {
	p, release = NewPool(1), make(chan struct{})
	running := make(chan struct{})
	must(t, p.Submit(&work{nil, func() conn.Result { close(running); <-release; return find("") }}, false, one(99),
		newInTray(), 0, 0))
	<-running
	return p, release
}

// TestClientsTakeTurns: who has one job is not behind all of another client's.
func TestClientsTakeTurns(t *testing.T) {
	p, release := held(t)
	var order []byte
	r := newInTray()
	submit := func(client byte, token uint64) {
		must(t, p.Submit(&work{nil, func() conn.Result { order = append(order, client); return find("") }}, false,
			one(client), r, token, 0))
	}
	for i := range uint64(5) {
		submit('a', i)
	}
	submit('b', 10)
	submit('c', 11)
	submit('c', 12)
	close(release)
	r.wait(t, 8)
	p.Close()
	if got, want := string(order), "abcacaaa"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
}

// TestQueueHasRoomForOthers: one client takes half of a queue, and the next half of the rest.
func TestQueueHasRoomForOthers(t *testing.T) {
	p, release := held(t)
	r := newInTray()
	token := uint64(0)
	fill := func(client byte) (n int) {
		for {
			token++
			err := p.Submit(&classed{}, false, one(client), r, token, 0)
			if errors.Is(err, conn.ErrBusy) {
				return n
			}
			must(t, err)
			n++
		}
	}
	if a, b := fill('a'), fill('b'); a != queueMax/2 || b != queueMax/4 {
		t.Errorf("one client has %d of %d, the next %d", a, queueMax, b)
	}
	for client := range byte(8) {
		must(t, p.Submit(&classed{}, false, one(client), r, 5000+uint64(client), 0))
	}
	close(release)
	p.Close()
}

// TestJobsThatNobodyWaitsFor are dropped while they are queued, and told so while they run.
func TestJobsThatNobodyWaitsFor(t *testing.T) {
	p, release := held(t)
	r := newInTray()
	ran := func(conn.Demand) { t.Error("a job ran that nobody waits for") }
	must(t, p.Submit(&classed{work: work{key: "x"}, asks: ran}, false, one(1), r, 1, 7))
	must(t, p.Submit(&classed{work: work{key: "x"}}, false, one(2), r, 2, 7)) // joins
	for _, token := range []uint64{1, 2} {
		if !p.Leave(r, token, 7) {
			t.Error("nothing was waited for by", token)
		}
		if p.Leave(r, token, 7) {
			t.Error("it is waited for twice by", token)
		}
	}
	asked, gone := make(chan conn.Demand), make(chan struct{})
	must(t, p.Submit(&classed{work: work{key: "x"}, asks: func(d conn.Demand) { asked <- d; <-gone }}, false, one(1), r,
		3, 7))
	close(release)
	d := <-asked
	if !d.Wanted() {
		t.Error("it is not wanted while somebody waits")
	}
	must(t, p.Submit(&classed{work: work{key: "x"}, asks: ran}, false, one(1), r, 4, 7)) // joins
	p.Leave(r, 3, 7)
	if !d.Wanted() {
		t.Error("it is not wanted while another one waits")
	}
	p.Leave(r, 4, 7)
	if d.Wanted() {
		t.Error("it is wanted though all have left")
	}
	must(t, p.Submit(&classed{work: work{key: "x"}}, false, one(1), r, 5, 7)) // does not join what is about to end
	close(gone)
	r.wait(t, 1)
	p.Flush()
	p.Close()
	if len(r.got) != 1 || r.got[5<<32|7] == nil {
		t.Errorf("delivered: %v", r.got)
	}
	if p.Leave(r, 5, 7) {
		t.Error("what was delivered is taken back")
	}
}

// TestLeaveFrees: a job for an answer under way holds its file, which somebody has to let go of.
func TestLeaveFrees(t *testing.T) {
	p, release := held(t)
	own := &ownResult{}
	must(t, p.Submit(own, true, one(1), newInTray(), 1, 1))
	tray := newInTray()
	must(t, p.Submit(own, true, one(1), tray, 2, 1))
	p.Leave(tray, 2, 1)
	if own.released.Load() != 1 {
		t.Error("released", own.released.Load(), "times")
	}
	close(release)
	p.Close()
}

// ownResult is a job that is its own result.
type ownResult struct{ released atomic.Int64 }

func (*ownResult) Key() any                      { return nil }
func (*ownResult) Class() conn.JobClass          { return conn.JobFile }
func (o *ownResult) Run(conn.Demand) conn.Result { return o }
func (o *ownResult) Retain()                     {}
func (o *ownResult) Release()                    { o.released.Add(1) }

// TestPoolLosesNothing: whatever comes and leaves, every job that is waited for is done, also by fewer workers.
func TestPoolLosesNothing(t *testing.T) {
	p := NewPool(6)
	r := newInTray()
	seed := rand.New(rand.NewPCG(1, 2))
	expected := 0
	for token := range uint64(3000) {
		class := conn.JobClass(seed.IntN(int(conn.NumJobClasses)))
		err := p.Submit(&classed{class: class, work: work{key: grouped{seed.IntN(3), int(token)}}}, true,
			one(byte(seed.IntN(5))), r, token, 1)
		must(t, err)
		expected++
		if gone := token - uint64(seed.IntN(20)); seed.IntN(3) == 0 && gone <= token && p.Leave(r, gone, 1) {
			expected--
		}
		if seed.IntN(100) == 0 {
			p.Resize(1 + seed.IntN(8))
		}
	}
	r.wait(t, expected)
	p.Flush()
	p.Close()
	if len(r.got) != expected {
		t.Errorf("%d results, want %d", len(r.got), expected)
	}
}

// TestDoubtedJobs: those who may have gone get what nobody else needs a worker for.
func TestDoubtedJobs(t *testing.T) {
	p, release := held(t)
	r := newInTray()
	var order []uint64
	submit := func(token uint64, key any) {
		run := func(conn.Demand) { order = append(order, token) }
		must(t, p.Submit(&classed{work: work{key: key}, asks: run}, false, one(1), r, token, 1))
	}
	for token := range uint64(3) {
		submit(token, nil)
	}
	submit(3, "joined")
	submit(4, "joined")
	for _, token := range []uint64{0, 1, 3} {
		p.Doubt(r, token, 1)
		p.Doubt(r, token, 1) // says no more
	}
	p.Doubt(r, 99, 1) // nobody
	submit(5, nil)
	close(release)
	r.wait(t, 6)
	p.Close()
	if want := []uint64{2, 3, 5, 0, 1}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

// TestDoubtedJobThatRuns is wanted as long as no other waits for its worker.
func TestDoubtedJobThatRuns(t *testing.T) {
	p := NewPool(1)
	r := newInTray()
	asked, end := make(chan conn.Demand), make(chan struct{})
	must(t, p.Submit(&classed{class: conn.JobList, work: work{key: "x"},
		asks: func(d conn.Demand) { asked <- d; <-end }}, false, one(1), r, 1, 1))
	d := <-asked
	p.Doubt(r, 1, 1)
	if !d.Wanted() {
		t.Error("it is not wanted though nobody else waits for the worker")
	}
	must(t, p.Submit(&classed{class: conn.JobList}, false, one(2), r, 2, 1))
	if d.Wanted() {
		t.Error("it is wanted though another one waits")
	}
	must(t, p.Submit(&classed{class: conn.JobList, work: work{key: "x"}}, false, one(2), r, 3, 1)) // joins
	if !d.Wanted() {
		t.Error("it is not wanted though one waits for certain")
	}
	p.Leave(r, 3, 1)
	if d.Wanted() {
		t.Error("it is wanted when that one has left")
	}
	close(end)
	r.wait(t, 2)
	p.Close()
}

// grouped is a key of a group.
type grouped struct{ group, key int }

func (g grouped) Group() any { return g.group }

// TestGroups: jobs of one group run one at a time, in order, and hold no workers from others meanwhile.
func TestGroups(t *testing.T) {
	p := NewPool(8) // two for a class
	r, stuck := newInTray(), newInTray()
	release, began := make(chan struct{}), make(chan struct{})
	var order []int
	for i := range 10 {
		must(t, p.Submit(&classed{class: conn.JobList, work: work{key: grouped{1, i}}, asks: func(conn.Demand) {
			if i == 0 {
				close(began)
				<-release
			}
			order = append(order, i) // without a lock: there is only one at a time
		}}, false, one(1), stuck, uint64(i), 1))
	}
	<-began
	for i := range 10 {
		must(t, p.Submit(&classed{class: conn.JobList, work: work{key: grouped{2, i}}}, false, one(1), r, uint64(i), 1))
	}
	r.wait(t, 10)
	close(release)
	stuck.wait(t, 10)
	p.Close()
	if !slices.IsSorted(order) || len(order) != 10 {
		t.Errorf("order %v", order)
	}
}
