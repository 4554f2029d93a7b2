package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
)

// Head is what the results of every measurement begin with.
type Head struct {
	Version int                 `json:"version"` // of the results' form
	Command string              `json:"command"`
	Began   time.Time           `json:"began"`
	Took    time.Duration       `json:"took_ns"`
	Machine machine.Fingerprint `json:"machine"`
	// Notes are what a reader must know of this run, in whole sentences.
	Notes []string `json:"notes"`
}

// Session is a measurement at work.
type Session struct {
	Options
	Head Head
	// Descriptors is how many this process, and each that it starts, may have open.
	Descriptors int
	// Expected is about how long one measurement takes, until one has been made; 0: Duration.
	Expected time.Duration
	// Budget, if any, is the time since Head.Began beyond which no other round begins once there are RoundsMin.
	Budget    time.Duration
	RoundsMin int
	// Ended is what ended the rounds early. Those before are whole, and Rounds is their number.
	Ended error
}

// Begin checks the options, looks at the machine and raises this process's limit of descriptors.
func Begin(o Options, command string) (*Session, error) {
	if err := o.Check(command); err != nil {
		return nil, err
	}
	s := &Session{Options: o, Head: Head{Command: o.Command, Began: time.Now(), Notes: []string{}}}
	limit, err := machine.RaiseDescriptors()
	if err != nil {
		return nil, err
	}
	s.Descriptors = int(min(limit, 1<<24))
	s.Head.Machine = machine.Describe()
	if o.Version != "" {
		s.Head.Machine.Versions["evhttpd"] = o.Version
	}
	return s, nil
}

// Finish returns the head of the results, whose form has that version.
func (s *Session) Finish(version int) Head {
	s.Head.Version, s.Head.Took = version, time.Since(s.Head.Began)
	return s.Head
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
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.Head.Notes, text) {
		s.Head.Notes = append(s.Head.Notes, text)
	}
}

// Warn prints a sentence at once and keeps it for the report.
func (s *Session) Warn(format string, args ...any) {
	if s.Print != nil {
		s.Print(fmt.Sprintf(format, args...))
	}
	s.Note(format, args...)
}

// Each calls measure once a round for each cell of groups of count cells each. The order within a group is each
// round's own, so that no cell always follows the same one; that of the groups stays: what is compared within a group
// is measured at nearly the same time. name is what progress calls a cell. An error, ctx's too, ends it: it is returned
// if it came within the first round, and otherwise kept in Ended, so that the rounds that were whole are reported.
func (s *Session) Each(ctx context.Context, groups, count int, name func(cell int) string,
	measure func(round, cell int) error) error {
	random := rand.New(rand.NewPCG(s.Seed, 0))
	done, began := 0, time.Now()
	for round := 0; round < s.Rounds; round++ {
		if s.exhausted(round) {
			s.Rounds = round
			return nil
		}
		for group := range groups {
			for _, cell := range random.Perm(count) {
				cell += group * count
				if err := context.Cause(ctx); err != nil {
					return s.end(round, err)
				}
				s.tell(Progress{Done: done, All: s.Rounds * groups * count, Round: round + 1, What: name(cell)}, began)
				if err := measure(round, cell); err != nil {
					return s.end(round, fmt.Errorf("round %d, %s: %w", round+1, name(cell), err))
				}
				done++
			}
		}
	}
	return nil
}

// exhausted reports whether another round would not end within the budget, after so many.
func (s *Session) exhausted(rounds int) bool {
	if s.Budget == 0 || rounds < max(s.RoundsMin, 1) {
		return false
	}
	took := time.Since(s.Head.Began)
	return took+took/time.Duration(rounds) > s.Budget
}

// tell reports progress since the rounds began.
func (s *Session) tell(p Progress, began time.Time) {
	if s.Progress == nil {
		return
	}
	each := s.Expected
	switch {
	case p.Done > 0:
		each = time.Since(began) / time.Duration(p.Done)
	case each == 0:
		each = s.Duration
	}
	p.Rounds, p.Left = s.Rounds, each*time.Duration(p.All-p.Done)
	s.Progress(p)
}

// end ends the rounds after so many that were whole.
func (s *Session) end(whole int, err error) error {
	if whole == 0 {
		return err
	}
	s.Note("This is %d of %d rounds, those that were whole when the measurement ended: %v.", whole, s.Rounds, err)
	s.Rounds, s.Ended = whole, err
	return nil
}

// CPUs are those of the server that is measured and of its client; none: they are not pinned.
type CPUs struct{ Server, Client []int }

// Pin keeps this process, the client, off the CPUs of a server of so many loops, if there are enough, and
// returns the CPUs of both and what undoes it.
func (s *Session) Pin(loops int) (cpus CPUs, undo func()) {
	// The client's loops, the goroutine that reads the server's counters, and the rest.
	before := runtime.GOMAXPROCS(loops + 2)
	restore := func() { runtime.GOMAXPROCS(before) }
	all := machine.AllowedCPUs()
	server, client, ok := machine.Split(all, machine.Siblings, loops)
	if !ok {
		s.Warn("not pinned: %d CPUs are not enough to keep a server of %d loops and its client apart, so they take "+
			"time from each other", len(all), loops)
		return cpus, restore
	}
	if err := machine.PinProcess(client); err != nil {
		s.Warn("not pinned: %v", err)
		return cpus, restore
	}
	if slices.ContainsFunc(server, func(cpu int) bool {
		return slices.ContainsFunc(machine.Siblings(cpu), func(c int) bool { return slices.Contains(client, c) })
	}) {
		s.Note("Server and client share a core (two hardware threads), so each slows the other down.")
	}
	return CPUs{server, client}, func() {
		restore()
		// It could be set narrower, so it can be set back.
		_ = machine.PinProcess(all)
	}
}
