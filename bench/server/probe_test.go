package server

import (
	"os"
	"testing"
	"time"
)

func count(n int64) *int64 { return &n }

// TestPerRequest: CPU time goes by the rate, what the server counts by the requests that it counted with it, and what
// is not known is left out.
func TestPerRequest(t *testing.T) {
	at := time.Now()
	p := &Probe{
		from: reading{at: at, cpu: time.Second, cpuKnown: true, Counters: Counters{Requests: count(100),
			SystemCalls: count(1000), Waits: count(10), Events: count(20)}},
		to: reading{at: at.Add(2 * time.Second), cpu: 2 * time.Second, cpuKnown: true, Counters: Counters{
			Requests: count(300), SystemCalls: count(1400), Waits: count(110), Events: count(320)}},
	}
	got := p.PerRequest(50)
	for key, want := range map[string]float64{CPU: 1e7, Calls: 2, Waits: 0.5, Events: 3} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
	for _, key := range []string{Again, Voluntary, Involuntary} {
		if v, known := got[key]; known {
			t.Errorf("%s, which is not known: %v", key, v)
		}
	}
	if share, known := p.Share(); share != 0.5 || !known {
		t.Errorf("share %v, %v", share, known)
	}
	if all := p.PerRequest(0); len(all) > 0 {
		t.Errorf("without a request: %v", all)
	}
}

// TestProbeOfCounters: where another process's CPU time is not told, it is the server's own count; a program that does
// not count has none then.
func TestProbeOfCounters(t *testing.T) {
	t.Setenv(conduct, "counts")
	s, err := StartWith(t.Context(), Options{Binary: os.Args[0], Counters: true})
	if err != nil {
		t.Fatal(err)
	}
	p := Watch(s)
	p.pids = nil
	p.Begin()
	p.End()
	if err := p.Err(); err != nil || p.to.cpu-p.from.cpu != 1 || !p.to.cpuKnown || p.to.Requests == nil {
		t.Errorf("%v, from %+v to %+v", err, p.from, p.to)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	other := WatchProcesses(nil)
	other.Begin()
	other.End()
	if share, known := other.Share(); known || other.Err() != nil {
		t.Errorf("nothing uses %v of a CPU: %v", share, other.Err())
	}
}
