package classic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/text"
)

const (
	acceptSource   = "Brecht, Pariag, Gammo, accept()able Strategies for Improving Web Server Performance, USENIX 2004."
	acceptRounds   = 6
	acceptDuration = 400 * time.Millisecond
	acceptWarmUp   = 150 * time.Millisecond
	// acceptConnections are open at a time: more than the server's own batch of 64, so that queues are deep.
	acceptConnections = 256
)

// acceptBatches are how many connections are accepted before others have their turn; 0: all that wait.
var acceptBatches = []struct {
	Point
	batch int
}{{Point{"64", 64}, 64}, {Point{"1", 1}, 1}, {Point{"10", 10}, 10}, {Point{"all", 1000}, 0}}

// acceptServers are the ways to share the listening sockets out. The first is the baseline.
var acceptServers = []struct {
	Subject
	loops  int
	accept string
}{
	{Subject{Name: "1 loop"}, 1, "auto"},
	{Subject{Name: "1 loop (control)", Control: true}, 1, "auto"},
	{Subject{Name: "2 loops reuseport"}, 2, "reuseport"},
	{Subject{Name: "2 loops shared"}, 2, "shared"},
}

// runAccept measures connections of one request each by how they are accepted.
func runAccept(ctx context.Context, s *Session) (r *Result, err error) {
	s.Defaults(acceptRounds, acceptDuration)
	all := machine.AllowedCPUs()
	one, client, undo := s.Apart(1)
	defer undo()
	root, err := os.MkdirTemp("", "evhttpd-accept-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	if err := os.WriteFile(filepath.Join(root, smallFile), smallBody(), 0o644); err != nil {
		return nil, err
	}
	g := &Grid{Name: "accept", Title: "connections of one request", Axis: "the most accepted at a time", Metrics: []Metric{
		{Key: "rate", Name: "connections/s", Unit: "1/s"}, {Key: "cpu", Name: "µs of the server's CPU a connection", Unit: "µs"},
		{Key: "p99", Name: "p99 in ms", Unit: "ms"}, {Key: "calls", Name: "system calls a connection", Unit: "calls", Alone: true},
		{Key: "client", Name: "share of its CPU that the client used", Unit: "CPUs", Alone: true}}}
	for _, b := range acceptBatches {
		g.Points = append(g.Points, b.Point)
	}
	for _, v := range acceptServers {
		g.Subjects = append(g.Subjects, v.Subject)
	}
	count := len(g.Points) * len(g.Subjects)
	name := func(i int) string {
		return g.Subjects[i/len(g.Points)].Name + ", " + g.Points[i%len(g.Points)].Name + " at a time"
	}
	err = s.Each(ctx, count, name, func(round, i int) error {
		subject, point := i/len(g.Points), i%len(g.Points)
		cpus := one
		if acceptServers[subject].loops > 1 {
			cpus = all
		}
		values, err := s.measureAccept(ctx, root, subject, point, cpus, client)
		if err == nil {
			g.Add(round, point, subject, values)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Note("%d clients, each of which makes a connection for every request (1 KiB) and begins the next when the last has ended. Listening sockets have TCP_DEFER_ACCEPT, "+
		"so that a connection is accepted with its request, and answered within the same turn.", acceptConnections)
	if len(all) < 3 {
		s.Note("Two loops have both CPUs of this machine, and share one of them with the client: beside one loop they show how the loops share, not what a second CPU brings.")
	}
	return &Result{Grids: []*Grid{g}, Charts: []Chart{{"accept.svg", acceptChart(g)}}}, nil
}

func (s *Session) measureAccept(ctx context.Context, root string, subject, point int, cpus, client []int) (values map[string]float64, err error) {
	v := &acceptServers[subject]
	args := []string{"serve", root, "--listen", "127.0.0.1:0", "--loops", fmt.Sprint(v.loops), "--accept", v.accept, "--access-log", "off"}
	o := server.Options{Binary: s.Binary, Args: args, CPUs: cpus, Counters: true}
	if batch := acceptBatches[point].batch; batch != acceptBatches[0].batch { // which is the server's own
		o.Lab = fmt.Sprintf("accept-batch=%d", batch)
	}
	child, err := server.StartWith(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	values, result, err := s.serve(ctx, child, load.Options{
		Roles: []load.Role{{Name: "connections", Addr: load.TCP(child.Addr()), Connections: acceptConnections, CloseEach: true,
			Targets: []load.Target{{Path: "/" + smallFile, Body: smallBody()}}}},
		Duration: s.Duration, WarmUp: acceptWarmUp, CPUs: client})
	if err != nil {
		return nil, err
	}
	role := &result.Roles[0]
	if failed := role.Failed(); failed > 0 {
		s.Note("%s, %s at a time: %s in one of the measurements, the first: %s", v.Name, acceptBatches[point].Name, text.Count(int(failed), "failure"), first(role))
	}
	values["p99"] = millis(role.Latency.P99)
	return values, nil
}

// serve puts a load on a server that tells its counters. Of the load's first role it returns the answers a second
// (rate), and the server's CPU time in µs (cpu) and system calls (calls) of each, and what the client used (client).
func (s *Session) serve(ctx context.Context, child *server.Server, o load.Options) (values map[string]float64, result *load.Result, err error) {
	var from, to reading
	o.OnBegin, o.OnEnd = from.read(child), to.read(child)
	result, err = load.Run(ctx, o)
	if err = errors.Join(err, from.err, to.err); err != nil {
		return nil, nil, err
	}
	values = map[string]float64{"rate": result.Rate(&result.Roles[0].Counts)}
	if len(result.Loops) > 0 && result.Loops[0].Known {
		values["client"] = result.Loops[0].Share
	}
	if from.Requests == nil || to.Requests == nil || *to.Requests <= *from.Requests { // the window was too short to tell
		return values, result, nil
	}
	requests := float64(*to.Requests - *from.Requests)
	values["cpu"] = micros(to.CPU-from.CPU) / requests
	if from.SystemCalls != nil && to.SystemCalls != nil {
		values["calls"] = float64(*to.SystemCalls-*from.SystemCalls) / requests
	}
	return values, result, nil
}

func acceptChart(g *Grid) string {
	var rows []chart.Row
	for i, s := range g.Subjects {
		for p := range g.Points {
			f, ok := g.Figure(p, i, "cpu")
			if !ok || s.Control && p > 0 {
				continue
			}
			row := chart.Row{Name: s.Name + ", " + g.Points[p].Name, Value: f.Median, Low: f.Low, High: f.High, Class: "plain", Text: Number(f.Median) + " µs"}
			switch {
			case i == 0 && p == 0:
				row.Class = "base"
			case s.Control:
				row.Class = "same"
			}
			rows = append(rows, row)
		}
	}
	return chart.Bars("The server's CPU time for a connection of one request", "µs, median and interval; by loops, and by the most connections accepted at a time", rows)
}
