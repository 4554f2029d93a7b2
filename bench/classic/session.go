package classic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/evhttpd/evhttpd/bench"
	"github.com/evhttpd/evhttpd/bench/machine"
)

// Session is one experiment at work.
type Session struct {
	Options
	// Descriptors is how many this process, and each that it starts, may have open.
	Descriptors int

	began time.Time
	notes []string
	ended error // what ended the rounds early; those before are whole, and Rounds is their number
}

// Defaults settles rounds and duration where the user did not.
func (s *Session) Defaults(rounds int, duration time.Duration) {
	if s.Rounds == 0 {
		s.Rounds = rounds
	}
	if s.Duration == 0 {
		s.Duration = duration
	}
}

// Note keeps a sentence for the report, once.
func (s *Session) Note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.notes, text) {
		s.notes = append(s.notes, text)
	}
}

// Tell says a sentence at once and keeps it.
func (s *Session) Tell(format string, args ...any) {
	if s.Say != nil {
		s.Say(fmt.Sprintf(format, args...))
	}
	s.Note(format, args...)
}

// Each calls measure once a round for each of count cells, in an order of each round's own, so that nobody
// always follows the same one. name is what progress calls a cell. An error, ctx's too, ends it: it is returned if it
// came within the first round, and else kept, so that the rounds that were whole are reported.
func (s *Session) Each(ctx context.Context, count int, name func(cell int) string, measure func(round, cell int) error) error {
	random := rand.New(rand.NewPCG(s.Seed, 0))
	done, all, began := 0, s.Rounds*count, time.Now()
	for round := range s.Rounds {
		for _, cell := range random.Perm(count) {
			if err := context.Cause(ctx); err != nil {
				return s.end(round, err)
			}
			if s.Progress != nil {
				left := s.Duration * time.Duration(all)
				if done > 0 {
					left = time.Since(began) / time.Duration(done) * time.Duration(all-done)
				}
				s.Progress(bench.Step{Done: done, All: all, Round: round + 1, Rounds: s.Rounds, Subject: name(cell), Left: left})
			}
			if err := measure(round, cell); err != nil {
				return s.end(round, fmt.Errorf("round %d, %s: %w", round+1, name(cell), err))
			}
			done++
		}
	}
	return nil
}

// end ends the rounds after so many that were whole.
func (s *Session) end(whole int, err error) error {
	if whole == 0 {
		return err
	}
	s.Note("This is %d of %d rounds, those that were whole when the experiment ended: %v.", whole, s.Rounds, err)
	s.Rounds, s.ended = whole, err
	return nil
}

// Apart keeps this process, the client, off the CPUs of a server of so many loops, if there are enough, and
// returns the CPUs of both (none: they are not pinned) and what undoes it.
func (s *Session) Apart(loops int) (server, client []int, undo func()) {
	// The client's loops, whoever reads the server's counters, and the rest.
	before := runtime.GOMAXPROCS(loops + 2)
	restore := func() { runtime.GOMAXPROCS(before) }
	all := machine.AllowedCPUs()
	server, client, ok := machine.Split(all, machine.Siblings, loops)
	if !ok {
		s.Tell("not pinned: %d CPUs are not enough to keep a server of %d loops and its client apart, so they take time from each other", len(all), loops)
		return nil, nil, restore
	}
	if err := machine.PinProcess(client); err != nil {
		s.Tell("not pinned: %v", err)
		return nil, nil, restore
	}
	return server, client, func() {
		restore()
		// It could be set narrower, so it can be set back.
		_ = machine.PinProcess(all)
	}
}
