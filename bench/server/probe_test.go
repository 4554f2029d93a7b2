package server

import (
	"math"
	"os"
	"testing"
	"time"
)

// TestPerRequest: CPU time goes by the rate, what the server counts by the requests that it counted with it, and what
// is not known is left out.
func TestPerRequest(t *testing.T) {
	at := time.Now()
	p := &Probe{
		from: reading{at, map[string]float64{CPU: 1e9, answers: 100, Calls: 1000, Waits: 10, Events: 20}},
		to: reading{at.Add(2 * time.Second), map[string]float64{CPU: 2e9, answers: 300, Calls: 1400, Waits: 110,
			Events: 320}},
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
	s, err := Start(t.Context(), Options{Binary: os.Args[0], Counters: true})
	if err != nil {
		t.Fatal(err)
	}
	p := Watch(s)
	p.pids = nil
	p.Begin()
	p.End()
	cpu, known := p.used(CPU)
	_, counted := p.to.used[answers]
	if err := p.Err(); err != nil || math.Round(cpu) != 1 || !known || !counted {
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
