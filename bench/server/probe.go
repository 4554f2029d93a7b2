package server

import (
	"errors"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
)

// What Probe.PerRequest tells of.
const (
	CPU         = "cpu" // nanoseconds
	Calls       = "calls"
	Again       = "again"
	Waits       = "waits"
	Events      = "events" // a wait, not a request
	Voluntary   = "voluntary"
	Involuntary = "involuntary"
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

// reading is what a server's processes had used at a time.
type reading struct {
	at       time.Time
	cpu      time.Duration
	cpuKnown bool
	Counters
}

// Watch returns a probe of a server.
func Watch(s *Server) *Probe { return &Probe{server: s, pids: []int{s.Pid()}} }

// WatchProcesses returns a probe of another program, by its processes. Of none nothing is known.
func WatchProcesses(pids []int) *Probe { return &Probe{pids: pids} }

// Begin is to be called when the window begins. It asks for the counters first, so that the answer's cost is not in
// the CPU time of the window.
func (p *Probe) Begin() {
	counters := p.counters()
	p.from = p.read(counters)
	p.complete(&p.from)
}

// End is to be called when the window ends. It asks for the counters last.
func (p *Probe) End() {
	p.to = p.read(Counters{})
	p.resident, p.known = p.Resident()
	p.to.Counters = p.counters()
	p.complete(&p.to)
}

// complete takes the CPU time that the server counts itself where that of another process is not told (not Linux).
func (p *Probe) complete(r *reading) {
	if !r.cpuKnown && p.server.counts() {
		r.cpu, r.cpuKnown = r.CPU, true
	}
}

func (p *Probe) counters() (c Counters) {
	if p.server.counts() {
		var err error
		c, err = p.server.Counters()
		p.err = errors.Join(p.err, err)
	}
	return c
}

// read takes the CPU time and, of another program, the context switches.
func (p *Probe) read(c Counters) reading {
	r := reading{Counters: c}
	if !p.server.counts() {
		r.Voluntary, r.Involuntary, r.SwitchesKnown = p.switches()
	}
	for _, pid := range p.pids {
		one, ok := machine.CPUTime(pid)
		if r.cpu, r.cpuKnown = r.cpu+one, ok; !ok {
			break
		}
	}
	r.at = time.Now()
	return r
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

// Resident is the memory of all processes together, now.
func (p *Probe) Resident() (sum int64, known bool) {
	for _, pid := range p.pids {
		one, ok := machine.Resident(pid)
		if !ok {
			return 0, false
		}
		sum += one
	}
	return sum, len(p.pids) > 0
}

// ResidentAtEnd is what Resident was when the window ended.
func (p *Probe) ResidentAtEnd() (sum int64, known bool) { return p.resident, p.known }

// Err is what went wrong with a reading.
func (p *Probe) Err() error { return p.err }

// Share is the CPU time between both readings by the time between them, if it is known.
func (p *Probe) Share() (share float64, known bool) {
	between := p.to.at.Sub(p.from.at)
	return (p.to.cpu - p.from.cpu).Seconds() / between.Seconds(), p.from.cpuKnown && p.to.cpuKnown && between > 0
}

// PerRequest is what a request took, as far as it is known, at so many requests a second. The readings are taken when
// the client gives up its CPU for a moment, a little off the window's ends: CPU time is divided by the requests
// that the rate makes in the time between them, and what the server counts by the requests that it counts with it.
func (p *Probe) PerRequest(rate float64) map[string]float64 {
	all := make(map[string]float64)
	requests := rate * p.to.at.Sub(p.from.at).Seconds()
	if requests <= 0 {
		return all
	}
	if p.from.cpuKnown && p.to.cpuKnown {
		all[CPU] = float64(p.to.cpu-p.from.cpu) / requests
	}
	a, b := &p.from.Counters, &p.to.Counters
	if a.Requests != nil && b.Requests != nil && *b.Requests > *a.Requests {
		requests = float64(*b.Requests - *a.Requests)
	}
	if a.SwitchesKnown && b.SwitchesKnown {
		all[Voluntary] = float64(b.Voluntary-a.Voluntary) / requests
		all[Involuntary] = float64(b.Involuntary-a.Involuntary) / requests
	}
	for key, of := range map[string][2]*int64{
		Calls: {a.SystemCalls, b.SystemCalls}, Again: {a.Again, b.Again}, Waits: {a.Waits, b.Waits},
	} {
		if of[0] != nil && of[1] != nil {
			all[key] = float64(*of[1]-*of[0]) / requests
		}
	}
	if a.Events != nil && b.Events != nil && all[Waits] > 0 {
		all[Events] = float64(*b.Events-*a.Events) / float64(*b.Waits-*a.Waits)
	}
	return all
}
