package load

import (
	"sync"
	"testing"
	"time"
)

// staller answers on one connection, but for one request lets time pass first.
// It notes when each answer left.
type staller struct {
	mu      sync.Mutex
	answers []time.Time
}

func (s *staller) serve(at int, stall time.Duration) func(*peer) {
	return each(func(n int) string {
		if n == at {
			<-time.After(stall) // what is measured, not a wait for something
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers = append(s.answers, time.Now())
		return okAnswer
	})
}

// TestOpenLoopLatenciesContainTheStall compares the client's histogram with a
// model of it: answer k cannot have arrived before the server sent it, and was due k intervals
// after the start, whatever became of the answers before. So no percentile may lie
// below the model's. A closed loop, which does not ask while the server
// stalls, sees the same stall once.
func TestOpenLoopLatenciesContainTheStall(t *testing.T) {
	const (
		requests = 100
		rate     = 200.0
		stallAt  = 20
		stall    = 400 * time.Millisecond
	)
	measure := func(rate float64) (*Result, *staller) {
		s := &staller{}
		addr := server(t, s.serve(stallAt, stall))
		r := mustRun(t, quick(Options{Roles: []Role{{Addr: addr, Connections: 1, Rate: rate, Requests: requests,
			Targets: []Target{okTarget}}}}))
		if c := &r.Roles[0]; c.Answered != requests || c.Latency.Count != requests {
			t.Fatalf("%+v with %d latencies, %q", c.Counts, c.Latency.Count, c.First)
		}
		return r, s
	}
	r, s := measure(rate)
	open := r.Roles[0].Latency
	model := newLatency()
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, at := range s.answers {
		due := r.Began.Add(time.Duration(float64(k) / rate * float64(time.Second)))
		model.record(int64(at.Sub(due)))
	}
	for _, p := range []float64{1, 10, 25, 50, 75, 90, 99, 99.9, 100} {
		got := time.Duration(open.Histogram.ValueAtPercentile(p))
		if want := time.Duration(model.Histogram.ValueAtPercentile(p)); got < want {
			t.Errorf("p%v is %v, and by the server's own times at least %v", p, got, want)
		}
	}
	if open.P50 < stall/3 {
		t.Errorf("half of the requests were due while the server stalled for %v, and p50 is %v", stall, open.P50)
	}
	r, _ = measure(0)
	if closed := r.Roles[0].Latency; closed.P50 > open.P50 || closed.Max < stall {
		t.Errorf("a closed loop's p50 is %v and max %v, beside an open loop's p50 of %v", closed.P50, closed.Max,
			open.P50)
	}
}

// TestWhatIsNeverAnsweredCounts: an open loop's requests that were due in the window and got
// no answer, or could not even be sent, are in its latencies with the time they waited.
func TestWhatIsNeverAnsweredCounts(t *testing.T) {
	const answered, rate = 10, 200.0
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	addr := server(t, each(func(n int) string {
		if n == answered {
			<-released
		}
		return okAnswer
	}))
	const window, drain = 500 * time.Millisecond, 100 * time.Millisecond
	r := mustRun(t, Options{Duration: window, Drain: drain, Roles: []Role{
		{Addr: addr, Connections: 1, Rate: rate, Targets: []Target{okTarget}},
	}}).Roles[0]
	due := int64(rate * window.Seconds())
	if r.Answered != answered || r.Unanswered != 1 || r.Unsent != due-answered-1 || r.Latency.Count != due {
		t.Errorf("%+v with %d latencies, of %d due", r.Counts, r.Latency.Count, due)
	}
	if first := window + drain - time.Duration(float64(answered)/rate*float64(time.Second)); r.Latency.Max < first {
		t.Errorf("the first one without an answer waited for %v, and the maximum is %v", first, r.Latency.Max)
	}
}
