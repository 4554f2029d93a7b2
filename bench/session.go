package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/scenario"
	"github.com/evhttpd/evhttpd/bench/server"
)

const (
	// memoryConnections are the fewest by which growth of the server's memory is
	// divided: with fewer it is not the connections' but the program's.
	memoryConnections = 500
	// rampMax bounds the time in which connections are opened: a model that cannot serve them all is not waited for.
	rampMax = 20 * time.Second
	// answerMax is how long an answer may bring no byte.
	answerMax = 20 * time.Second
)

// makeFiles makes the files that are asked for.
func (c *comparison) makeFiles() (err error) {
	if c.root = c.Root; c.root == "" {
		if c.root, err = os.MkdirTemp("", "evhttpd-bench-"); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, os.RemoveAll(c.root))
			}
		}()
	} else if err = os.MkdirAll(c.root, 0o755); err != nil {
		return err
	}
	c.bodies = make(map[string][]byte)
	for _, f := range c.files() {
		body := content(f.Bytes)
		c.bodies[f.Name] = body
		if err = os.WriteFile(filepath.Join(c.root, f.Name), body, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// content is text that repeats nowhere, so that no answer is right by chance, and is the same in each run.
func content(size int) []byte {
	random := rand.New(rand.NewPCG(uint64(size), 1))
	body := make([]byte, size)
	for i := range body {
		body[i] = byte('!' + random.IntN(94))
	}
	return body
}

// session measures one subject under some cells, one after the other, on one process.
func (c *comparison) session(ctx context.Context, round, i int, cells []int) (err error) {
	s := &c.subjects[i]
	p := &probe{pids: s.pids}
	addr := s.addr
	if s.URL == "" {
		child, err := server.StartWith(ctx, server.Options{Binary: c.Binary, Args: c.serverArgs(s, cells), CPUs: c.out.Setup.ServerCPUs, Counters: true})
		if err != nil {
			return err
		}
		defer func() {
			// Why a measurement failed is often said by how the server ended. Quick has no time for 5,000 farewells.
			end := child.Stop
			if c.Quick {
				end = child.Kill
			}
			err = errors.Join(err, end())
		}()
		p.child, p.pids, addr = child, []int{child.Pid()}, load.TCP(child.Addr())
	}
	for _, cell := range cells {
		c.step(round, i, cell)
		sample, err := c.measure(ctx, s, &c.cells[cell], addr, p)
		if err != nil {
			return fmt.Errorf("%s: %w", c.out.Cells[cell].Title(), err)
		}
		if sample.Failed > 0 {
			c.note(fmt.Sprintf("%s, %s: %d failures in round %d, the first: %s", c.out.Cells[cell].Title(), s.Name, sample.Failed, round+1, sample.Failure))
		}
		sample.Round = round + 1
		row := &c.out.Cells[cell].Rows[i]
		row.Samples = append(row.Samples, sample)
		c.done++
	}
	return nil
}

func (c *comparison) serverArgs(s *subject, cells []int) []string {
	args := []string{"serve", c.root, "--listen", "127.0.0.1:0", "--io-model", s.Model, "--trigger", s.Trigger,
		"--loops", strconv.Itoa(c.Loops), "--access-log", "off"}
	if s.Model == "blocking" {
		connections := 0
		for _, cell := range cells {
			connections = max(connections, c.cells[cell].Connections())
		}
		args = append(args, "--threads", strconv.Itoa(min(connections+threadsSpare, threadsMax)))
	}
	return args
}

// measure puts one load on one server.
func (c *comparison) measure(ctx context.Context, s *subject, cell *scenario.Cell, addr load.Addr,
	p *probe) (results.Sample, error) {
	p.reset()
	setup := &c.out.Setup
	result, err := load.Run(ctx, load.Options{
		Roles:    cell.Roles(addr, func(f scenario.File) load.Target { return c.target(s, f) }),
		Duration: setup.Duration,
		WarmUp:   setup.WarmUp,
		Ramp:     rampMax,
		Drain:    drain(cell),
		Timeout:  answerMax,
		Loops:    min(c.Loops, cell.Active), // a loop without a connection would only cost a thread
		CPUs:     setup.ClientCPUs,
		OnBegin:  p.begin,
		OnEnd:    p.end,
	})
	if err != nil {
		return results.Sample{}, err
	}
	if err := p.failure(); err != nil {
		return results.Sample{}, err
	}
	sample := sampleOf(result, cell)
	if sample.Served == 0 {
		return sample, fmt.Errorf("not one answer (%s)", orElse(sample.Failure,
			fmt.Sprintf("and no failure: %d requests were sent, and nothing came within %v",
				sentBy(result), (result.Window+drain(cell)).Round(time.Millisecond))))
	}
	if s.URL != "" {
		if text := closing(result, cell); text != "" {
			c.note(s.Name + text)
		}
		if sample.Failed > 0 {
			if err := addr.Try(ctx); err != nil {
				return sample, fmt.Errorf("it has ended: %w (%s)", err, sample.Failure)
			}
		}
	}
	p.fill(&sample, cell)
	if tcp, ok := addr.TCP(); ok && c.wrk != "" && cell.WrkCan() {
		if sample.Wrk, err = c.runWrk(ctx, s, cell, tcp); err != nil {
			return sample, err
		}
	}
	return sample, nil
}

// closing is a sentence on what the figures contain of a server that closes its connections behind answers. It is
// empty for a server that keeps them.
func closing(r *load.Result, cell *scenario.Cell) string {
	var opened, answered, resent int64
	for i := range r.Roles {
		if r.Roles[i].Name == scenario.Active {
			opened, answered, resent = r.Roles[i].Opened, r.Roles[i].Answered, r.Roles[i].Resent
		}
	}
	switch {
	case cell.CloseEach || opened-int64(cell.Active) < answered/2:
		return ""
	case resent > 0:
		return " closes the connection behind nearly every answer: its figures contain the connections, and requests that " +
			"were pipelined behind are sent again."
	default:
		return " closes the connection behind nearly every answer: its figures contain the connections."
	}
}

// sentBy is how many requests a run made.
func sentBy(r *load.Result) int64 {
	var sent int64
	for i := range r.Roles {
		sent += r.Roles[i].Requests
	}
	return sent
}

// drain is how long late answers are waited for: of an open loop they count.
func drain(cell *scenario.Cell) time.Duration {
	if cell.Rate > 0 {
		return 2 * time.Second
	}
	return time.Second
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// target is a file as it is asked for and must be answered.
func (c *comparison) target(s *subject, f scenario.File) load.Target {
	if s.URL != "" {
		return s.targets[f.Name]
	}
	return load.Target{Path: "/" + f.Name, Body: c.bodies[f.Name]}
}

// sampleOf takes from a result what does not come from the server.
func sampleOf(r *load.Result, cell *scenario.Cell) results.Sample {
	s := results.Sample{Window: r.Window, Wanted: int64(cell.Connections()), Saturated: r.Saturated()}
	for i := range r.Roles {
		role := &r.Roles[i]
		s.Bytes += role.Bytes
		s.Failed += role.Failed()
		for _, text := range role.First {
			if s.Failure == "" {
				s.Failure = text
			}
		}
		switch role.Name {
		case scenario.Active:
			s.Served += role.Served
			l := &role.Latency
			s.Requests, s.Rate = role.Completed, r.Rate(&role.Counts)
			s.P50, s.P90, s.P99, s.P999, s.Max = l.P50, l.P90, l.P99, l.P999, l.Max
		case scenario.Slow:
			// None has its whole file within a measurement: it is served if it was let in and nothing failed.
			s.Served += max(min(role.Opened, int64(cell.Slow))-role.Failed(), 0)
		default:
			s.Served += role.Served
		}
	}
	for _, l := range r.Loops {
		s.ClientShare = results.Figure{Value: max(s.ClientShare.Value, l.Share), Known: l.Known}
	}
	return s
}

// reading is what a server's processes had used at a time.
type reading struct {
	at                     time.Time
	cpu                    time.Duration
	cpuKnown               bool
	voluntary, involuntary int64
	switchesKnown          bool
	memory                 int64
	memoryKnown            bool
	counters               server.Counters
}

// probe reads a server's figures where the measured window begins and ends.
type probe struct {
	child       *server.Server // nil: another server
	pids        []int
	before      int64 // memory before the first connection
	beforeKnown bool
	from, to    reading
	err         error
}

func (p *probe) reset() {
	*p = probe{child: p.child, pids: p.pids}
	p.before, p.beforeKnown = p.memory()
}

func (p *probe) begin()         { p.from = p.read() }
func (p *probe) end()           { p.to = p.read() }
func (p *probe) failure() error { return p.err }

func (p *probe) read() reading {
	var r reading
	if p.child != nil {
		var err error
		if r.counters, err = p.child.Counters(); err != nil {
			p.err = errors.Join(p.err, err)
		}
		r.cpu, r.cpuKnown = r.counters.CPU, true
		r.voluntary, r.involuntary, r.switchesKnown = r.counters.Voluntary, r.counters.Involuntary, true
	} else {
		r.voluntary, r.involuntary, r.switchesKnown = p.switches()
	}
	if cpu, ok := p.cpu(); ok {
		r.cpu, r.cpuKnown = cpu, true
	}
	r.at = time.Now()
	r.memory, r.memoryKnown = p.memory()
	return r
}

// cpu, memory and switches are of all processes of the server together.
func (p *probe) cpu() (sum time.Duration, known bool) {
	for _, pid := range p.pids {
		one, ok := machine.CPUTime(pid)
		if !ok {
			return 0, false
		}
		sum += one
	}
	return sum, len(p.pids) > 0
}

func (p *probe) memory() (sum int64, known bool) {
	for _, pid := range p.pids {
		one, ok := machine.Resident(pid)
		if !ok {
			return 0, false
		}
		sum += one
	}
	return sum, len(p.pids) > 0
}

func (p *probe) switches() (voluntary, involuntary int64, known bool) {
	for _, pid := range p.pids {
		v, i, ok := machine.Switches(pid)
		if !ok {
			return 0, 0, false
		}
		voluntary, involuntary = voluntary+v, involuntary+i
	}
	return voluntary, involuntary, len(p.pids) > 0
}

// fill completes a sample with the server's figures. The readings are taken when
// the client gives up its CPU for a moment, a little off the window's ends, so what was used
// is divided by the requests that the rate makes in the time between them.
func (p *probe) fill(s *results.Sample, cell *scenario.Cell) {
	between := p.to.at.Sub(p.from.at).Seconds()
	requests := s.Rate * between
	if requests <= 0 {
		return
	}
	per := func(count int64, known bool) results.Figure {
		return results.Figure{Value: float64(count) / requests, Known: known}
	}
	used := p.to.cpu - p.from.cpu
	known := p.from.cpuKnown && p.to.cpuKnown
	s.CPU = per(int64(used), known)
	s.ServerShare = results.Figure{Value: used.Seconds() / between, Known: known}
	known = p.from.switchesKnown && p.to.switchesKnown
	s.Voluntary, s.Involuntary = per(p.to.voluntary-p.from.voluntary, known), per(p.to.involuntary-p.from.involuntary, known)
	if connections := cell.Connections(); connections >= memoryConnections && p.beforeKnown && p.to.memoryKnown {
		s.Memory = results.Known(float64(max(p.to.memory-p.before, 0)) / float64(connections))
	}
	a, b := &p.from.counters, &p.to.counters
	s.Calls, s.Again, s.Waits = p.counted(a.SystemCalls, b.SystemCalls, per), p.counted(a.Again, b.Again, per), p.counted(a.Waits, b.Waits, per)
	if a.Events != nil && b.Events != nil && s.Waits.Known && *b.Waits > *a.Waits {
		s.Events = results.Known(float64(*b.Events-*a.Events) / float64(*b.Waits-*a.Waits))
	}
}

// counted is the growth of a counter, if there is one.
func (p *probe) counted(a, b *int64, per func(int64, bool) results.Figure) results.Figure {
	if a == nil || b == nil {
		return results.Figure{}
	}
	return per(*b-*a, true)
}
