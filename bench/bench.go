// Package bench compares IO models, and other servers, on this machine: it runs each in a process
// of its own, under the loads of bench/scenario, in interleaved rounds.
//
// It imports bench/experiment, bench/load, bench/machine, bench/results, bench/scenario and bench/server.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/scenario"
	"github.com/evhttpd/evhttpd/bench/server"
)

const (
	// quickBudget is when Quick begins no other round that would not end by then; so it stays below a minute.
	quickBudget = 54 * time.Second
	// quickMax is when Quick ends whatever it is at, on a machine on which the rounds take longer than was foreseen.
	quickMax = 58 * time.Second
	// quickRounds is how many Quick makes if they fit: of 9 the interval of 95 % leaves out
	// the least and the greatest value (see bench/stats), so that one disturbed round does not make it useless.
	quickRounds = 9
	// quickRoundsMin are the fewest of which an interval of 95 % can be had at all.
	quickRoundsMin = 6
	// quickOverhead is about what starting a server and opening connections takes a measurement.
	quickOverhead = 170 * time.Millisecond
	// heat is how long the baseline runs before anything is measured: the first second or so of load on an
	// idle machine was seen at 3.5 times the CPU a request of those after it.
	heat           = 2 * time.Second
	quickWarmUp    = 30 * time.Millisecond
	quickWindowMin = 80 * time.Millisecond
	quickWindowMax = time.Second
	// Defaults of the full comparison.
	roundsDefault   = 7
	durationDefault = time.Second
	warmUpMax       = 500 * time.Millisecond
	loopsMax        = 64
)

// Options say what is compared and how. Binary alone has no default.
type Options struct {
	experiment.Options
	Triggers  []string // of models that have a choice; none: all
	Scenarios []string // none: all
	// Targets are other servers: [NAME=]URL, as load.ParseURL reads it. With a PATH that ends in a
	// slash the files of Root are asked for beneath it, otherwise PATH itself in every cell.
	Targets []string
	// Root is where the files are made that are asked for, and left; empty: in a folder that is removed.
	Root  string
	Quick bool // two cells, in under a minute
	Wrk   bool // have wrk measure too
	Loops int  // of a server and of the client; 0: 1
}

// errMinute is why a quick comparison is shorter than it was meant to be.
var errMinute = errors.New("bench: --quick ends after a minute")

func mistake(format string, args ...any) error { return experiment.Mistake("bench", format, args...) }

// comparison is one at work.
type comparison struct {
	*experiment.Session
	asked    Options
	out      *results.Results
	subjects []subject
	cells    []scenario.Cell
	root     string
	bodies   map[string][]byte // by file name
	wrk      string            // its path; empty without
}

// Run makes the comparison. What cannot work is an error before any time is spent; an experiment.OptionError is a
// mistake in o. An error after that, of ctx or of a server that ended, ends the comparison: the rounds that were
// whole by then, if any, are returned with it. When Run returns, its servers are gone, and so are its files but
// those of Root.
func Run(ctx context.Context, o Options) (r *results.Results, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	session, err := experiment.Begin(o.Options, "bench")
	if err != nil {
		return nil, err
	}
	c := &comparison{Session: session, asked: o, out: &results.Results{Absent: []results.Absent{}}}
	if err := c.pickCells(); err != nil {
		return nil, err
	}
	if err := c.pickSubjects(ctx); err != nil {
		return nil, err
	}
	if err := c.findWrk(); err != nil {
		return nil, err
	}
	if err := c.makeFiles(); err != nil {
		return nil, fmt.Errorf("bench: the files to be served: %w", err)
	}
	if o.Root == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(c.root)) }()
	}
	if err := c.learnTargets(ctx); err != nil {
		return nil, err
	}
	c.setup()
	cpus, undo := c.Pin(o.Loops)
	defer undo()
	c.out.Setup.ServerCPUs, c.out.Setup.ClientCPUs = cpus.Server, cpus.Client
	if text := busyNow(ctx); text != "" {
		c.Warn("%s", text)
	}
	watched := watchOthers()
	err = c.rounds(ctx)
	switch {
	case errors.Is(err, errMinute):
		return nil, fmt.Errorf("%w, and not one round was whole by then: this machine is too slow or too busy for it",
			err)
	case err != nil:
		return nil, err
	}
	c.noteOthers(watched())
	return c.finish()
}

// finish takes the figures from the samples of the rounds that were whole.
func (c *comparison) finish() (*results.Results, error) {
	c.out.Setup.Rounds = c.Rounds
	c.out.Keep(c.Rounds)
	c.out.Sum()
	c.remark()
	c.out.Head = c.Finish(results.Version)
	if errors.Is(c.Ended, errMinute) {
		return c.out, nil // it is as long as it was meant to be
	}
	return c.out, c.Ended
}

// check refuses what cannot be, and settles the number of loops.
func (o *Options) check() error {
	switch {
	case o.Loops < 0 || o.Loops > loopsMax:
		return mistake("--loops %d: there must be 1 to %d", o.Loops, loopsMax)
	case o.Quick && len(o.Scenarios) > 0:
		return mistake("--quick has its own two cells: leave out --scenarios, or --quick")
	}
	o.Loops = max(o.Loops, 1)
	return nil
}

// pickCells chooses the loads, as far as the limit of descriptors allows them.
func (c *comparison) pickCells() error {
	// A server keeps a tenth for other uses; the client needs some beside its connections.
	connectionsMax := c.Descriptors*9/10 - 64
	picked := []scenario.Scenario{scenario.Quick(connectionsMax)}
	if !c.asked.Quick {
		var err error
		if picked, err = scenario.Pick(c.asked.Scenarios); err != nil {
			return mistake("--scenarios: %w", err)
		}
	}
	left, most := 0, 0
	for _, s := range picked {
		for _, cell := range s.Cells {
			if cell.Connections() > connectionsMax {
				left, most = left+1, max(most, cell.Connections())
				continue
			}
			c.cells = append(c.cells, cell)
			c.out.Cells = append(c.out.Cells, results.Cell{Cell: cell, Shows: s.Shows, Source: s.Source})
		}
	}
	need := (most+64)*10/9 + 1
	switch {
	case len(c.cells) == 0:
		return fmt.Errorf("bench: the limit of %d descriptors is too low for any cell: raise it with ulimit -n %d",
			c.Descriptors, max(need, 1024))
	case left > 0:
		c.Warn("the limit of %d descriptors leaves out %d of %d cells, those with up to %d connections: ulimit -n %d "+
			"lets them in", c.Descriptors, left, left+len(c.cells), most, need)
	}
	return nil
}

// setup settles the rounds' number and length.
func (c *comparison) setup() {
	quick := c.asked.Quick
	measurements := time.Duration(cmp.Or(c.asked.Rounds, quickRounds) * len(c.cells) * len(c.subjects))
	if quick {
		length := quickBudget/measurements - quickOverhead - quickWarmUp
		c.Defaults(quickRounds, min(max(length, quickWindowMin), quickWindowMax))
	} else {
		c.Defaults(roundsDefault, durationDefault)
	}
	warmUp := min(c.Duration/2, warmUpMax)
	if quick {
		warmUp = min(warmUp, quickWarmUp)
	}
	if quick && c.asked.Rounds == 0 {
		c.Budget, c.RoundsMin = quickBudget, quickRoundsMin
	}
	groups := c.groups()
	c.Expected = time.Duration(len(groups[0])) * (c.Duration + warmUp + quickOverhead)
	c.out.Setup = results.Setup{Rounds: c.Rounds, Duration: c.Duration, WarmUp: warmUp, Loops: c.asked.Loops,
		Seed: c.Seed}
	for i := range c.subjects {
		c.out.Subjects = append(c.out.Subjects, c.subjects[i].Subject)
	}
	for i := range c.out.Cells {
		for n := range c.subjects {
			c.out.Cells[i].Rows = append(c.out.Cells[i].Rows, results.Row{Subject: c.subjects[n].Name})
		}
	}
}

// rounds measures everything once a round.
func (c *comparison) rounds(ctx context.Context) error {
	if c.asked.Quick && c.asked.Rounds == 0 && c.asked.Duration == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, c.Head.Began.Add(quickMax), errMinute)
		defer cancel()
	}
	ended := func(err error) error { // by the minute, and not by what it interrupted
		if err != nil && errors.Is(context.Cause(ctx), errMinute) {
			return errMinute
		}
		return err
	}
	if err := c.heatUp(ctx); err != nil {
		return ended(err)
	}
	groups, count := c.groups(), len(c.subjects)
	name := func(i int) string {
		name := c.subjects[i%count].Name
		if len(groups) > 1 {
			name += ", " + c.out.Cells[groups[i/count][0]].Title()
		}
		return name
	}
	err := c.Each(ctx, len(groups), count, name, func(round, i int) error {
		return ended(c.serve(ctx, round, i%count, groups[i/count]))
	})
	if err != nil && !errors.Is(err, errMinute) {
		return fmt.Errorf("bench: %w", err)
	}
	return err
}

// heatUp has the baseline serve the first cell for a while, for nothing but to have the machine awake.
func (c *comparison) heatUp(ctx context.Context) error {
	s := &c.subjects[0]
	child, err := server.Start(ctx, server.Options{Binary: c.Binary, Args: c.args(s, []int{0}),
		CPUs: c.out.Setup.ServerCPUs})
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	_, err = load.Run(ctx, load.Options{
		Roles: c.cells[0].Roles(load.TCP(child.Addr()),
			func(f scenario.File) load.Target { return c.target(s, f) })[:1],
		// A short comparison has a short one.
		Duration: min(heat, 4*c.Duration*time.Duration(c.Rounds)),
		CPUs:     c.out.Setup.ClientCPUs,
	})
	return errors.Join(err, child.Stop())
}

// groups are the cells that one process serves one after the other: each alone,
// so that none inherits another's memory; of Quick, which has no time for so many starts, all.
func (c *comparison) groups() [][]int {
	var groups [][]int
	for i := range c.cells {
		groups = append(groups, []int{i})
	}
	if c.asked.Quick {
		return [][]int{slices.Concat(groups...)}
	}
	return groups
}

// remark notes what the figures show of their own worth.
func (c *comparison) remark() {
	var silent []string
	for i := range c.out.Cells {
		cell := &c.out.Cells[i]
		var saturated []string
		for n := range cell.Rows {
			row := &cell.Rows[n]
			if row.Saturated {
				saturated = append(saturated, row.Subject)
			}
			if row.Unanswered > 0 {
				silent = append(silent, cell.Title()+", "+row.Subject)
			}
			if !row.Whole() {
				c.Note("%s, %s: %d of %d connections were served; it is not compared.", cell.Title(), row.Subject,
					row.Served,
					row.Wanted)
			}
		}
		if len(saturated) > 0 {
			c.Note("%s: the client used its CPU up beside %s: requests/s may be the client's limit there; CPU a "+
				"request is not affected.", cell.Title(), list(saturated, "servers"))
		}
	}
	if len(silent) > 0 {
		c.Note("Too noisy to say, since there was not one answer within one of the measurements: %s.", list(silent,
			"rows"))
	}
	if governor := c.Head.Machine.Governor; governor != "" && governor != "performance" {
		c.Note("The CPU's governor is %s: its clock changes with the load. `cpupower frequency-set -g performance` "+
			"keeps it.",
			governor)
	}
}

func list(names []string, of string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%d %s, %s among them", len(names), of, names[0])
	}
	return strings.Join(names, ", ")
}

// Scenarios lists the names that Options.Scenarios may have.
func Scenarios() []string { return scenario.Names() }
