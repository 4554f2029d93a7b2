package server

import (
	"errors"
	"maps"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
)

// Probe reads what a server uses where the measured window begins and ends: its processes from outside, and what it
// counts itself from its control plane.
type Probe struct {
	server   *Server // nil: another program, which counts nothing
	pids     []int
	from, to reading
	resident int64 // at the window's end
	known    bool  // resident is
	err      error
}

// reading is what a server had used at a time, by key. What is not known is not in it.
type reading struct {
	at   time.Time
	used map[string]float64
}

// Watch returns a probe of a server.
func Watch(s *Server) *Probe { return &Probe{server: s, pids: []int{s.Pid()}} }

// WatchProcesses returns a probe of another program, by its processes. Of none nothing is known.
func WatchProcesses(pids []int) *Probe { return &Probe{pids: pids} }

// Begin is to be called when the window begins. It asks for the counters first, so that the answer's cost is not in
// the CPU time of the window.
func (p *Probe) Begin() {
	counted := p.counters()
	p.from = p.read()
	p.from.complete(counted)
}

// End is to be called when the window ends. It asks for the counters last.
func (p *Probe) End() {
	p.to = p.read()
	p.resident, p.known = p.Resident()
	p.to.complete(p.counters())
}

// complete adds what the server counts itself: its CPU time too, where that of another process is not told (not
// Linux).
func (r *reading) complete(counted map[string]float64) {
	maps.Copy(counted, r.used)
	r.used = counted
}

func (p *Probe) counters() map[string]float64 {
	if !p.server.counts() {
		return make(map[string]float64)
	}
	counted, err := p.server.Counters()
	p.err = errors.Join(p.err, err)
	return counted
}

// read takes the CPU time and, of another program, the context switches.
func (p *Probe) read() reading {
	used := make(map[string]float64)
	if !p.server.counts() {
		if voluntary, involuntary, known := p.switches(); known {
			used[Voluntary], used[Involuntary] = float64(voluntary), float64(involuntary)
		}
	}
	if cpu, known := sum(p.pids, machine.CPUTime); known {
		used[CPU] = float64(cpu)
	}
	return reading{time.Now(), used}
}

func (p *Probe) switches() (voluntary, involuntary int64, known bool) {
	for _, pid := range p.pids {
		v, i, ok := machine.Switches(pid)
		if !ok {
			return 0, 0, false
		}
		voluntary, involuntary = voluntary+v, involuntary+i
	}
	return voluntary, involuntary, len(p.pids) > 0
}

// sum is what a figure of all processes adds up to, if it is told of each.
func sum[N int64 | time.Duration](pids []int, of func(pid int) (N, bool)) (all N, known bool) {
	for _, pid := range pids {
		one, ok := of(pid)
		if !ok {
			return 0, false
		}
		all += one
	}
	return all, len(pids) > 0
}

// Resident is the memory of all processes together, now.
func (p *Probe) Resident() (bytes int64, known bool) { return sum(p.pids, machine.Resident) }

// ResidentAtEnd is what Resident was when the window ended.
func (p *Probe) ResidentAtEnd() (bytes int64, known bool) { return p.resident, p.known }

// Err is what went wrong with a reading.
func (p *Probe) Err() error { return p.err }

// used is by how much a figure grew between both readings, if both have it.
func (p *Probe) used(key string) (n float64, known bool) {
	from, before := p.from.used[key]
	to, after := p.to.used[key]
	return to - from, before && after
}

// Share is the CPU time between both readings by the time between them, if it is known.
func (p *Probe) Share() (share float64, known bool) {
	between := p.to.at.Sub(p.from.at)
	cpu, known := p.used(CPU)
	return cpu / float64(between), known && between > 0
}

// PerRequest is what a request took, as far as it is known, at so many requests a second; Events are a wait's. The
// readings are taken when the client gives up its CPU for a moment, a little off the window's ends: CPU time is divided
// by the requests that the rate makes in the time between them, and what the server counts by the requests that it
// counts with it.
func (p *Probe) PerRequest(rate float64) map[string]float64 {
	all := make(map[string]float64)
	requests := rate * p.to.at.Sub(p.from.at).Seconds()
	if requests <= 0 {
		return all
	}
	divide := func(key string, by float64) {
		if n, known := p.used(key); known && by > 0 {
			all[key] = n / by
		}
	}
	divide(CPU, requests)
	if counted, known := p.used(answers); known && counted > 0 {
		requests = counted
	}
	for _, key := range []string{Voluntary, Involuntary, Calls, Again, Waits} {
		divide(key, requests)
	}
	waits, _ := p.used(Waits)
	divide(Events, waits)
	return all
}
