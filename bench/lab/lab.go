// Package lab has the experiments: those that everyone cites when event mechanisms are compared, made again with this
// project's pollers and server, with the published figures beside its own, and those that show what a design decision
// of the server is for.
//
// A new one is a file with its run function and one entry in the list below.
//
// It imports bench/chart, bench/experiment, bench/load, bench/machine, bench/server, bench/stats, bench/text, conn,
// http1, poller, uring and golang.org/x/sys.
package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
)

// Experiment is one of the laboratory.
type Experiment struct {
	Name   string // as the command takes it
	Shows  string // one sentence
	Source string // who made it first, and where it was published
	Models bool   // it compares all models, or those of Options.Models
	// DurationMax bounds a measurement's length more than experiment.DurationMax does; 0: it does not.
	DurationMax time.Duration
	// rounds and duration are those that stand unless others are asked for: it takes under two minutes with them.
	rounds   int
	duration time.Duration
	// run makes it: it measures in interleaved rounds (experiment.Session.Each), and includes a control. Run fills in
	// Result's general fields.
	run func(ctx context.Context, s *session) (*experiment.Result, error)
}

// list has the experiments in the order in which they are shown.
var list = []Experiment{
	{
		Name:   "waits",
		Shows:  "What one wait costs against the number of descriptors watched, of which one is ready.",
		Source: "Kerrisk, The Linux Programming Interface, 2010, table 63-9.",
		rounds: 9, duration: 150 * time.Millisecond, run: runWaits,
	},
	{
		Name:   "pipes",
		Shows:  "What a chain of events costs against the number of pipes watched, of which few are active.",
		Source: "Provos and Libenzi, libevent's test/bench.c, 2003.",
		rounds: 9, duration: 80 * time.Millisecond, run: runPipes,
	},
	{
		Name: "rates",
		Shows: "What the server answers, and how fast, against the rate of requests, without and with 10,000 idle " +
			"connections.",
		Source: "Gammo, Brecht, Shukla, Pariag, Comparing and Evaluating epoll, select, and poll Event Mechanisms, " +
			"OLS 2004.",
		// Of 9 rounds the interval leaves out the least and the greatest value (bench/stats): one disturbed round of
		// a server that is at its limit would otherwise make every verdict impossible.
		rounds: 9, duration: 70 * time.Millisecond, run: runRates,
	},
	{
		Name:  "cold",
		Shows: "Small cached requests beside large files that are not in memory, which workers read.",
		Source: "nginx, Thread Pools in NGINX Boost Performance 9x! (2015); Pai, Druschel and Zwaenepoel, Flash " +
			"(USENIX ATC 1999).",
		Models: true,
		rounds: 3, duration: 700 * time.Millisecond, run: runCold,
	},
	{
		Name:   "accept",
		Shows:  "Connections of one request by how they are accepted: by one loop or two, over shared sockets or not.",
		Source: "Brecht, Pariag, Gammo, accept()able Strategies for Improving Web Server Performance, USENIX 2004.",
		rounds: 6, duration: 400 * time.Millisecond, run: runAccept,
	},
	{
		Name:   "idle",
		Shows:  "Memory and CPU of connections that do nothing, and which limit comes first.",
		Source: "Kegel, The C10K problem (1999); the C10M figures of later years.",
		Models: true,
		rounds: 1, duration: time.Second, run: runIdle,
	},
	{
		Name: "price",
		Shows: "What a request would cost without its access line, metrics, fairness, fresh answers, strict parsing " +
			"and counting.",
		Source: "the question that every rewrite in the name of speed begs.",
		rounds: 9, duration: 350 * time.Millisecond, run: runPrice,
	},
	{
		Name:        "starve",
		Shows:       "Small requests beside a greedy client, with and without the bound on a connection's turn.",
		Source:      "the question which trigger starves the others.",
		DurationMax: starveMax,
		rounds:      6, duration: time.Second, run: runStarve,
	},
}

// All lists the experiments.
func All() []Experiment { return slices.Clone(list) }

// Names lists their names.
func Names() []string {
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

// Find returns the experiment of that name.
func Find(name string) (*Experiment, error) {
	i := slices.IndexFunc(list, func(e Experiment) bool { return e.Name == name })
	if i < 0 {
		return nil, experiment.Mistake("lab", "there is no experiment %q; there are: %s", name, strings.Join(Names(),
			", "))
	}
	return &list[i], nil
}

// session is an experiment at work.
type session struct{ *experiment.Session }

// each measures every subject of every grid at every point once a round, and adds what it finds. Without values there
// is nothing to be found there.
func (s *session) each(ctx context.Context, measure func(round, grid, subject, point int) (map[string]float64, error),
	grids ...*experiment.Grid) error {
	var cells [][3]int
	for g, grid := range grids {
		for subject := range grid.Subjects {
			for point := range grid.Points {
				cells = append(cells, [3]int{g, subject, point})
			}
		}
	}
	name := func(i int) string {
		g := grids[cells[i][0]]
		name := g.Subjects[cells[i][1]].Name
		if len(grids) > 1 {
			name += ", " + g.Name
		}
		if len(g.Points) > 1 {
			name += ", " + g.Axis + ": " + g.Points[cells[i][2]].Name
		}
		return name
	}
	return s.Each(ctx, 1, len(cells), name, func(round, i int) error {
		grid, subject, point := cells[i][0], cells[i][1], cells[i][2]
		values, err := measure(round, grid, subject, point)
		if err == nil && values != nil {
			grids[grid].Add(round, point, subject, values)
		}
		return err
	})
}

// Run makes the experiment of that name. With an error there may be a result: of the rounds that were whole by then.
func Run(ctx context.Context, name string, o experiment.Options) (*experiment.Result, error) {
	e, err := Find(name)
	if err != nil {
		return nil, err
	}
	if e.DurationMax > 0 && o.Duration > e.DurationMax {
		return nil, experiment.Mistake("lab "+name, "--duration %v: it must be at most %v", o.Duration, e.DurationMax)
	}
	s, err := experiment.Begin(o, "lab "+name)
	if err != nil {
		return nil, err
	}
	s.Defaults(e.rounds, e.duration)
	r, err := e.run(ctx, &session{s})
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	r.Notes = append(s.Head.Notes, r.Notes...)
	s.Head.Notes = r.Notes
	r.Head = s.Finish(experiment.ResultVersion)
	r.Name, r.Shows, r.Source, r.Rounds, r.Duration = e.Name, e.Shows, e.Source, s.Rounds, s.Duration
	if s.Ended == nil {
		return r, nil
	}
	for _, g := range r.Grids {
		g.Keep(s.Rounds)
	}
	return r, fmt.Errorf("lab %s: %w", name, s.Ended)
}
