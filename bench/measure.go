package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/evhttpd/evhttpd/bench/load"
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
	if c.root = c.asked.Root; c.root == "" {
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

// serve measures one subject under some cells, one after the other, on one process.
func (c *comparison) serve(ctx context.Context, round, i int, cells []int) (err error) {
	s := &c.subjects[i]
	probe, addr := server.WatchProcesses(s.pids), s.addr
	if s.URL == "" {
		child, err := server.Start(ctx, server.Options{Binary: c.Binary, Args: c.args(s, cells),
			CPUs: c.out.Setup.ServerCPUs, Counters: true})
		if err != nil {
			return err
		}
		defer func() {
			// Why a measurement failed is often said by how the server ended. Quick has no time to end 5,000
			// connections in order.
			end := child.Stop
			if c.asked.Quick {
				end = child.Kill
			}
			err = errors.Join(err, end())
		}()
		probe, addr = server.Watch(child), load.TCP(child.Addr())
	}
	for _, cell := range cells {
		sample, err := c.measure(ctx, s, &c.cells[cell], addr, probe)
		title := c.out.Cells[cell].Title()
		if err != nil {
			return fmt.Errorf("%s: %w", title, err)
		}
		if sample.Failed > 0 {
			c.Note("%s, %s: %d failures in round %d, the first: %s", title, s.Name, sample.Failed, round+1,
				sample.Failure)
		}
		sample.Round = round + 1
		row := &c.out.Cells[cell].Rows[i]
		row.Samples = append(row.Samples, sample)
	}
	return nil
}

// args has the subject's model serve as many connections as the cells have.
func (c *comparison) args(s *subject, cells []int) []string {
	connections := 0
	for _, cell := range cells {
		connections = max(connections, c.cells[cell].Connections())
	}
	v := server.Variant{Model: s.Model, Trigger: s.Trigger}
	return v.Args(c.root, c.asked.Loops, connections)
}

// measure puts one load on one server.
func (c *comparison) measure(ctx context.Context, s *subject, cell *scenario.Cell, addr load.Addr,
	probe *server.Probe) (results.Sample, error) {
	before, known := probe.Resident()
	setup := &c.out.Setup
	result, err := load.Run(ctx, load.Options{
		Roles:    cell.Roles(addr, func(f scenario.File) load.Target { return c.target(s, f) }),
		Duration: setup.Duration,
		WarmUp:   setup.WarmUp,
		Ramp:     rampMax,
		Drain:    drain(cell),
		Timeout:  answerMax,
		Loops:    min(c.asked.Loops, cell.Active), // a loop without a connection would only cost a thread
		CPUs:     setup.ClientCPUs,
		OnBegin:  probe.Begin,
		OnEnd:    probe.End,
	})
	if err != nil {
		return results.Sample{}, err
	}
	if err := probe.Err(); err != nil {
		return results.Sample{}, err
	}
	sample := sampleOf(result, cell)
	if sample.Served == 0 {
		return sample, fmt.Errorf("not one answer (%s)", cmp.Or(sample.Failure,
			fmt.Sprintf("and no failure: %d requests were sent, and nothing came within %v",
				sentBy(result), (result.Window+drain(cell)).Round(time.Millisecond))))
	}
	if s.URL != "" {
		if text := closing(result, cell); text != "" {
			c.Note("%s%s", s.Name, text)
		}
		if sample.Failed > 0 {
			if err := addr.Try(ctx); err != nil {
				return sample, fmt.Errorf("it has ended: %w (%s)", err, sample.Failure)
			}
		}
	}
	fill(&sample, probe)
	if connections := cell.Connections(); connections >= memoryConnections && known {
		if after, known := probe.ResidentAtEnd(); known {
			sample.Memory = new(float64(max(after-before, 0)) / float64(connections))
		}
	}
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
	active := &r.Roles[0]
	switch {
	case cell.CloseEach || active.Opened-int64(cell.Active) < active.Answered/2:
		return ""
	case active.Resent > 0:
		return " closes the connection behind nearly every answer: its figures contain the connections, and requests " +
			"that were pipelined behind are sent again."
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
		s.Failure = cmp.Or(s.Failure, cmp.Or(role.First[:]...))
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
		if l.Known && (s.ClientShare == nil || *s.ClientShare < l.Share) {
			s.ClientShare = &l.Share
		}
	}
	return s
}

// fill completes a sample with the server's figures.
func fill(s *results.Sample, probe *server.Probe) {
	used := probe.PerRequest(s.Rate)
	for key, to := range map[string]**float64{server.CPU: &s.CPU, server.Voluntary: &s.Voluntary,
		server.Involuntary: &s.Involuntary, server.Calls: &s.Calls, server.Again: &s.Again, server.Waits: &s.Waits,
		server.Events: &s.Events} {
		if v, known := used[key]; known {
			*to = &v
		}
	}
	if share, known := probe.Share(); known {
		s.ServerShare = &share
	}
}
