package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/text"
)

const acceptWarmUp = 150 * time.Millisecond

// acceptClients are how many connections are made at a time: up to more than the server's own batch of 64, so that
// queues are deep.
var acceptClients = []int{256, 1, 16, 64}

// acceptServers are the ways to share the listening sockets out. The first is the baseline.
var acceptServers = []struct {
	experiment.Subject
	loops  int
	accept string
}{
	{experiment.Subject{Name: "1 loop"}, 1, "auto"},
	{experiment.Subject{Name: "1 loop (control)", Control: true}, 1, "auto"},
	{experiment.Subject{Name: "2 loops reuseport"}, 2, "reuseport"},
	{experiment.Subject{Name: "2 loops shared"}, 2, "shared"},
}

// runAccept measures connections of one request each by how they are accepted.
func runAccept(ctx context.Context, s *session) (*experiment.Result, error) {
	all := machine.AllowedCPUs()
	g := &experiment.Grid{Name: "accept", Title: "connections of one request", Axis: "clients at a time",
		Points: experiment.Counted(acceptClients...),
		Metrics: []experiment.Metric{
			{Key: "rate", Name: "connections/s", Unit: "1/s"},
			{Key: "cpu", Name: "µs of the server's CPU a connection", Unit: "µs"},
			{Key: "p99", Name: "p99 in µs", Unit: "µs"},
			{Key: "calls", Name: "system calls a connection", Unit: "calls", Unpaired: true},
			{Key: "client", Name: "share of its CPU that the client used", Unit: "CPUs", Unpaired: true}}}
	for _, v := range acceptServers {
		g.Subjects = append(g.Subjects, v.Subject)
	}
	err := s.serving(func(root string, cpus experiment.CPUs) error {
		return s.each(ctx, func(_, _, subject, point int) (map[string]float64, error) {
			of := cpus
			if acceptServers[subject].loops > 1 {
				of.Server = all
			}
			return s.accept(ctx, root, subject, acceptClients[point], of)
		}, g)
	})
	if err != nil {
		return nil, err
	}
	s.Note("Each client makes a connection for every request (1 KiB) and begins the next when the last has ended. " +
		"Listening sockets have TCP_DEFER_ACCEPT, so that a connection is accepted with its request, and answered " +
		"within the same turn.")
	if len(all) < 3 {
		s.Note("Two loops have both CPUs of this machine, and share one of them with the client: beside one loop " +
			"they show how the loops share, not what a second CPU brings.")
	}
	return &experiment.Result{Grids: []*experiment.Grid{g},
		Charts: []experiment.Chart{{File: "accept.svg", SVG: acceptChart(g)}}}, nil
}

func (s *session) accept(ctx context.Context, root string, subject, clients int, cpus experiment.CPUs) (
	values map[string]float64, err error) {
	v := &acceptServers[subject]
	args := (&server.Variant{Model: "auto", Trigger: "auto"}).Args(root, v.loops, clients)
	child, err := s.start(ctx, cpus, append(args, "--accept", v.accept)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	values, result, err := s.loaded(ctx, child, load.Options{
		Roles: []load.Role{{Name: "connections", Addr: load.TCP(child.Addr()), Connections: clients, CloseEach: true,
			Targets: []load.Target{small}}},
		WarmUp: acceptWarmUp, CPUs: cpus.Client})
	if err != nil {
		return nil, err
	}
	s.noteFailures(fmt.Sprintf("%s, %d at a time", v.Name, clients), &result.Roles[0])
	return values, nil
}

func acceptChart(g *experiment.Grid) string {
	var rows []chart.Row
	for i, s := range g.Subjects {
		for p, point := range g.Points {
			f, ok := g.Figure(p, i, "cpu")
			if !ok || s.Control && p > 0 {
				continue
			}
			row := chart.Row{Name: s.Name + ", " + point.Name, Value: f.Median, Low: f.Low, High: f.High,
				Class: "plain",
				Text:  text.Number(f.Median) + " µs"}
			switch {
			case i == 0 && p == 0:
				row.Class = "base"
			case s.Control:
				row.Class = "same"
			}
			rows = append(rows, row)
		}
	}
	return chart.Bars("The server's CPU time for a connection of one request",
		"µs, median and interval; by loops, and by clients at a time", rows)
}
