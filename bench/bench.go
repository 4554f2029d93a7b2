// Package bench compares IO models, and other servers, on this machine: it runs each in a process
// of its own, under the loads of bench/scenario, in interleaved rounds.
//
// It imports bench/load, bench/machine, bench/results, bench/scenario and bench/server.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/scenario"
	"github.com/evhttpd/evhttpd/bench/server"
)

const (
	// RoundsMax and DurationMax bound what can be asked for.
	RoundsMax   = 1000
	DurationMax = 10 * time.Minute
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
	// threadsMax is the most that the server takes for its blocking model.
	threadsMax = 8192
	// threadsSpare: with all its threads taken, the model would make each answer its connection's last.
	threadsSpare = 16
	loopsMax     = 64
)

// Options say what is compared and how. Binary alone has no default.
type Options struct {
	Binary    string   // an evhttpd
	Version   string   // of it, for the report
	Command   string   // as typed, for the report
	Models    []string // none: all that can run here
	Triggers  []string // of models that have a choice; none: all
	Scenarios []string // none: all
	// Targets are other servers: [NAME=]URL, as load.ParseURL reads it. With a PATH that ends in a
	// slash the files of Root are asked for beneath it, otherwise PATH itself in every cell.
	Targets []string
	// Root is where the files are made that are asked for, and left; empty: in a folder that is removed.
	Root  string
	Quick bool // two cells, in under a minute
	Wrk   bool // have wrk measure too
	// Rounds, Duration (of a measurement), Loops (of a server and of the client); 0: as is usual.
	Rounds   int
	Duration time.Duration
	Loops    int
	Seed     uint64 // of the order within rounds
	// Progress, if set, is called before each measurement; Say with what is to be said at once.
	Progress func(Step)
	Say      func(line string)
}

// Step is one measurement that begins.
type Step struct {
	Done, All     int
	Round, Rounds int
	Subject, Cell string
	// Left is about how long the rest takes, this measurement included.
	Left time.Duration
}

// errMinute is why a quick comparison is shorter than it was meant to be.
var errMinute = errors.New("bench: --quick ends after a minute")

// ErrOptions marks an error in Options.
var ErrOptions = errors.New("bench")

func mistake(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrOptions, fmt.Errorf(format, args...))
}

// comparison is one at work.
type comparison struct {
	Options
	out      *results.Results
	subjects []subject
	cells    []scenario.Cell
	root     string
	bodies   map[string][]byte // by file name
	wrk      string            // its path; empty without
	began    time.Time
	done     int
}

// Run makes the comparison. What cannot work is an error before any time is spent; one
// that ErrOptions marks is a mistake in o. An error after that, of ctx or of a server that ended,
// ends the comparison: the rounds that were whole by then, if any, are returned with it. When Run
// returns, its servers are gone, and so are its files but those of Root.
func Run(ctx context.Context, o Options) (r *results.Results, err error) {
	c := &comparison{Options: o, began: time.Now()}
	if err := c.checkNumbers(); err != nil {
		return nil, err
	}
	c.out = &results.Results{Version: results.Version, Command: o.Command, Began: c.began, Absent: []results.Absent{}, Notes: []string{}}
	limit, err := machine.RaiseDescriptors()
	if err != nil {
		return nil, err
	}
	c.out.Machine = machine.Describe()
	if o.Version != "" {
		c.out.Machine.Versions["evhttpd"] = o.Version
	}
	if err := c.pickCells(limit); err != nil {
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
	defer c.pin()()
	if text := busyNow(ctx); text != "" {
		c.say(text)
	}
	othersWorked := watchOthers()
	failed := c.rounds(ctx)
	switch whole := failed == nil || c.keepWhole(failed); {
	case !whole && errors.Is(failed, errMinute):
		return nil, fmt.Errorf("%w, and not one round was whole by then: this machine is too slow or too busy for it", failed)
	case !whole:
		return nil, failed
	case errors.Is(failed, errMinute):
		failed = nil // it is as long as it was meant to be
	}
	if text := othersWorked(len(c.Targets) > 0); text != "" {
		c.note(text)
	}
	c.out.Took = time.Since(c.began)
	c.out.Sum()
	c.remark()
	return c.out, failed
}

func (c *comparison) checkNumbers() error {
	switch {
	case c.Rounds < 0 || c.Rounds > RoundsMax:
		return mistake("--rounds %d: there must be 1 to %d", c.Rounds, RoundsMax)
	case c.Duration < 0 || c.Duration > DurationMax:
		return mistake("--duration %v: it must be more than 0 and at most %v", c.Duration, DurationMax)
	case c.Loops < 0 || c.Loops > loopsMax:
		return mistake("--loops %d: there must be 1 to %d", c.Loops, loopsMax)
	case c.Quick && len(c.Scenarios) > 0:
		return mistake("--quick has its own two cells: leave out --scenarios, or --quick")
	}
	c.Loops = max(c.Loops, 1)
	return nil
}

// pickCells chooses the loads, as far as the limit of descriptors allows them.
func (c *comparison) pickCells(descriptors uint64) error {
	// A server keeps a tenth for other uses; the client needs some beside its connections.
	connectionsMax := int(min(descriptors, 1<<24))*9/10 - 64
	picked := []scenario.Scenario{scenario.Quick(connectionsMax)}
	if !c.Quick {
		var err error
		if picked, err = scenario.Pick(c.Scenarios); err != nil {
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
		return fmt.Errorf("bench: the limit of %d descriptors is too low for any cell: raise it with ulimit -n %d", descriptors, max(need, 1024))
	case left > 0:
		c.say(fmt.Sprintf("the limit of %d descriptors leaves out %d of %d cells, those with up to %d connections: ulimit -n %d lets them in",
			descriptors, left, left+len(c.cells), most, need))
	}
	return nil
}

// say tells the user at once and the report's readers later.
func (c *comparison) say(text string) {
	if c.Say != nil {
		c.Say(text)
	}
	c.note(text)
}

// note keeps a sentence for the report.
func (c *comparison) note(text string) {
	if !slices.Contains(c.out.Notes, text) {
		c.out.Notes = append(c.out.Notes, text)
	}
}

// setup settles the rounds' number and length.
func (c *comparison) setup() {
	s := &c.out.Setup
	s.Rounds, s.Duration, s.Loops, s.Seed = c.Rounds, c.Duration, c.Loops, c.Seed
	if s.Rounds == 0 {
		s.Rounds = roundsDefault
		if c.Quick {
			s.Rounds = quickRounds
		}
	}
	measurements := time.Duration(s.Rounds * len(c.cells) * len(c.subjects))
	switch {
	case c.Quick && s.Duration == 0:
		s.Duration = min(max(quickBudget/measurements-quickOverhead-quickWarmUp, quickWindowMin), quickWindowMax)
	case s.Duration == 0:
		s.Duration = durationDefault
	}
	s.WarmUp = min(s.Duration/2, warmUpMax)
	if c.Quick {
		s.WarmUp = min(s.WarmUp, quickWarmUp)
	}
	for i := range c.subjects {
		c.out.Subjects = append(c.out.Subjects, c.subjects[i].Subject)
	}
	for i := range c.out.Cells {
		for n := range c.subjects {
			c.out.Cells[i].Rows = append(c.out.Cells[i].Rows, results.Row{Subject: c.subjects[n].Name})
		}
	}
}

// pin keeps this process, the client, off the server's CPUs, if there are enough, and returns what undoes that.
func (c *comparison) pin() (undo func()) {
	// The client's loops, whoever reads the server's counters, and the rest.
	before := runtime.GOMAXPROCS(c.Loops + 2)
	all := machine.AllowedCPUs()
	server, client, ok := machine.Split(all, machine.Siblings, c.Loops)
	restore := func() { runtime.GOMAXPROCS(before) }
	if !ok {
		c.say(fmt.Sprintf("not pinned: %d CPUs are not enough to keep a server of %d loops and its client apart, so they take time from each other", len(all), c.Loops))
		return restore
	}
	if err := machine.PinProcess(client); err != nil {
		c.say(fmt.Sprintf("not pinned: %v", err))
		return restore
	}
	if slices.ContainsFunc(server, func(cpu int) bool {
		return slices.ContainsFunc(machine.Siblings(cpu), func(s int) bool { return slices.Contains(client, s) })
	}) {
		c.note("Server and client share a core (two hardware threads), so each slows the other down.")
	}
	c.out.Setup.ServerCPUs, c.out.Setup.ClientCPUs = server, client
	return func() {
		restore()
		// It could be set narrower, so it can be set back.
		_ = machine.PinProcess(all)
	}
}

// rounds measures everything once a round, in an order of each round's own, so that
// nobody always follows the same one.
func (c *comparison) rounds(ctx context.Context) (err error) {
	if c.Quick && c.Rounds == 0 && c.Duration == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, c.began.Add(quickMax), errMinute)
		defer cancel()
		defer func() {
			if err != nil && errors.Is(context.Cause(ctx), errMinute) {
				err = errMinute // and not what it interrupted
			}
		}()
	}
	random := rand.New(rand.NewPCG(c.Seed, 0))
	if err := c.heatUp(ctx); err != nil {
		return err
	}
	for round := range c.out.Setup.Rounds {
		if c.Quick && c.Rounds == 0 && round >= quickRoundsMin {
			if took := time.Since(c.began); took+took/time.Duration(round) > quickBudget {
				c.out.Setup.Rounds = round
				return nil
			}
		}
		for _, group := range c.groups() {
			for _, i := range random.Perm(len(c.subjects)) {
				if err := c.session(ctx, round, i, group); err != nil {
					return fmt.Errorf("bench: round %d, %s: %w", round+1, c.subjects[i].Name, err)
				}
			}
		}
	}
	return nil
}

// keepWhole leaves the rounds in which everything was measured before err, and reports whether there are any.
func (c *comparison) keepWhole(err error) bool {
	whole := c.out.Setup.Rounds
	for i := range c.out.Cells {
		for n := range c.out.Cells[i].Rows {
			whole = min(whole, len(c.out.Cells[i].Rows[n].Samples))
		}
	}
	if whole == 0 {
		return false
	}
	for i := range c.out.Cells {
		for n := range c.out.Cells[i].Rows {
			row := &c.out.Cells[i].Rows[n]
			row.Samples = row.Samples[:whole]
		}
	}
	c.note(fmt.Sprintf("This is %d of %d rounds, those that were whole when the comparison ended: %v.", whole, c.out.Setup.Rounds, err))
	c.out.Setup.Rounds = whole
	return true
}

// heatUp has the baseline serve the first cell for a while, for nothing but to have the machine awake.
func (c *comparison) heatUp(ctx context.Context) error {
	s := &c.subjects[0]
	child, err := server.StartWith(ctx, server.Options{Binary: c.Binary, Args: c.serverArgs(s, []int{0}), CPUs: c.out.Setup.ServerCPUs})
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	_, err = load.Run(ctx, load.Options{
		Roles:    c.cells[0].Roles(load.TCP(child.Addr()), func(f scenario.File) load.Target { return c.target(s, f) })[:1],
		Duration: min(heat, 4*c.out.Setup.Duration*time.Duration(c.out.Setup.Rounds)), // a short comparison has a short one
		CPUs:     c.out.Setup.ClientCPUs,
	})
	return errors.Join(err, child.Stop())
}

// groups are the cells that one process serves one after the other: each alone,
// so that none inherits another's memory; of Quick, which has no time for so many starts, all.
func (c *comparison) groups() [][]int {
	if c.Quick {
		all := make([]int, len(c.cells))
		for i := range all {
			all[i] = i
		}
		return [][]int{all}
	}
	var groups [][]int
	for i := range c.cells {
		groups = append(groups, []int{i})
	}
	return groups
}

// step tells that a measurement begins.
func (c *comparison) step(round, subject, cell int) {
	if c.Progress == nil {
		return
	}
	s := &c.out.Setup
	all := s.Rounds * len(c.cells) * len(c.subjects)
	each := s.Duration + s.WarmUp + quickOverhead
	if c.done > 0 {
		each = time.Since(c.began) / time.Duration(c.done)
	}
	c.Progress(Step{Done: c.done, All: all, Round: round + 1, Rounds: s.Rounds,
		Subject: c.subjects[subject].Name, Cell: c.out.Cells[cell].Title(), Left: each * time.Duration(all-c.done)})
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
				c.note(fmt.Sprintf("%s, %s: %d of %d connections were served; it is not compared.", cell.Title(), row.Subject, row.Served, row.Wanted))
			}
		}
		if len(saturated) > 0 {
			c.note(fmt.Sprintf("%s: the client used its CPU up beside %s: requests/s may be the client's limit there; CPU a request is not affected.",
				cell.Title(), list(saturated, "servers")))
		}
	}
	if len(silent) > 0 {
		c.note(fmt.Sprintf("Too noisy to say, since there was not one answer within one of the measurements: %s.", list(silent, "rows")))
	}
	m := &c.out.Machine
	if m.Governor != "" && m.Governor != "performance" {
		c.note(fmt.Sprintf("The CPU's governor is %s: its clock changes with the load. `cpupower frequency-set -g performance` keeps it.", m.Governor))
	}
}

func list(names []string, of string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%d %s, %s among them", len(names), of, names[0])
	}
	text := names[0]
	for _, n := range names[1:] {
		text += ", " + n
	}
	return text
}

// Scenarios lists the names that Options.Scenarios may have.
func Scenarios() []string { return scenario.Names() }
