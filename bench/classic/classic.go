// Package classic makes the experiments again that everyone cites when event mechanisms are compared,
// with this project's pollers and server, and puts the published figures beside its own.
//
// A new one is a file with its Run function and one line in list.go.
//
// It imports bench (for its Step), bench/chart, bench/load, bench/machine, bench/server, bench/stats, bench/text,
// conn, http1, internal/uring, poller and golang.org/x/sys.
package classic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench"
	"github.com/evhttpd/evhttpd/bench/machine"
)

// Classic is one experiment.
type Classic struct {
	Name   string // as --classic takes it
	Shows  string // one sentence
	Source string // who made it first, and where it was published
	Models bool   // it compares all models, or those of Options.Models
	// Run makes it. It takes under two minutes with a zero Rounds and Duration, measures in interleaved
	// rounds (see [Session.Each]), and includes a control. Result's general fields are filled in by [Run].
	Run func(ctx context.Context, s *Session) (*Result, error)
}

// Options say how an experiment is made.
type Options struct {
	Binary  string // an evhttpd, for those that need a server
	Version string // of it, for the report
	Command string // as typed, for the report
	// Rounds and Duration (of one measurement); 0: what the experiment takes by itself.
	Rounds   int
	Duration time.Duration
	Seed     uint64 // of the order within rounds, and of what is chosen at random
	// Models are the names of those that are compared, where a classic compares models (Classic.Models); none: all.
	Models []string
	// Progress, if set, is called before each measurement; Say with what is to be said at once.
	Progress func(bench.Step)
	Say      func(line string)
}

// ErrOptions marks an error in Options or a name.
var ErrOptions = errors.New("bench --classic")

func mistake(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrOptions, fmt.Errorf(format, args...))
}

// All lists the experiments.
func All() []Classic { return slices.Clone(classics) }

// Names lists their names.
func Names() []string {
	var names []string
	for _, c := range classics {
		names = append(names, c.Name)
	}
	return names
}

// Run makes the experiment of that name. With an error there may be a result: of the rounds that were whole by then.
func Run(ctx context.Context, name string, o Options) (*Result, error) {
	i := slices.IndexFunc(classics, func(c Classic) bool { return c.Name == name })
	switch {
	case i < 0:
		return nil, mistake("there is no %q; there are: %s", name, strings.Join(Names(), ", "))
	case o.Rounds < 0 || o.Rounds > bench.RoundsMax:
		return nil, mistake("--rounds %d: there must be 1 to %d", o.Rounds, bench.RoundsMax)
	case o.Duration < 0 || o.Duration > bench.DurationMax:
		return nil, mistake("--duration %v: it must be more than 0 and at most %v", o.Duration, bench.DurationMax)
	}
	limit, err := machine.RaiseDescriptors()
	if err != nil {
		return nil, err
	}
	s := &Session{Options: o, Descriptors: int(min(limit, 1<<24)), began: time.Now()}
	fingerprint := machine.Describe()
	if o.Version != "" {
		fingerprint.Versions["evhttpd"] = o.Version
	}
	c := &classics[i]
	r, err := c.Run(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("bench --classic %s: %w", name, err)
	}
	r.Version, r.Name, r.Shows, r.Source, r.Command = resultVersion, c.Name, c.Shows, c.Source, o.Command
	r.Began, r.Took, r.Machine, r.Rounds, r.Duration = s.began, time.Since(s.began), fingerprint, s.Rounds, s.Duration
	r.Notes = append(s.notes, r.Notes...)
	if s.ended != nil {
		for _, g := range r.Grids {
			g.keep(s.Rounds)
		}
		return r, fmt.Errorf("bench --classic %s: %w", name, s.ended)
	}
	return r, nil
}
