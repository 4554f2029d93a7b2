package faults_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/test/faults"
)

const (
	// hitsMin is how many calls have to fail before a fault ends, if it is to happen to more than one.
	hitsMin = 3
	// lastsMin is how long it lasts at least.
	lastsMin = 50 * time.Millisecond
	// hitMax is how long a call is waited for.
	hitMax = 5 * time.Second
	// recoveryMax is how long a server may take to answer everything right when the fault has ended, on a machine that
	// does something else beside. What was measured is told; a second is what is promised.
	recoveryMax = 10 * time.Second
)

// cell is one row with one error and mode, in one model.
type cell struct {
	*row
	errno unix.Errno
	mode  mode
}

func (c cell) String() string {
	what := unix.ErrnoName(c.errno)
	switch c.way {
	case faults.Short:
		what = "short"
	case faults.Delay:
		what = "delay"
	}
	kinds := ""
	for _, k := range c.on {
		kinds += " " + string(k)
	}
	return fmt.Sprintf("%s%s %s %s", c.name, kinds, what, c.mode.name)
}

// cells are what is tried in a model, in the order of the rows.
func cells(v variant, whole bool) (all []cell) {
	for i := range rows {
		r := &rows[i]
		if !r.runs(v) || r.alike && !whole && !v.OwnCode() {
			continue
		}
		errs, modes := r.errnos, r.modes
		if r.way != faults.Fail {
			errs = []unix.Errno{0}
		}
		if !whole {
			errs, modes = errs[:1], modes[:1]
		}
		for _, e := range errs {
			for _, m := range modes {
				all = append(all, cell{r, e, m})
			}
		}
	}
	return all
}

// outcome is what a cell has shown.
type outcome struct {
	hits       uint64        // calls that failed
	recovery   time.Duration // from the fault's end to the end of the first round of probes that were all right
	answers    int64         // that were right, 200 and 404
	cut        int64         // connections that ended before their answers
	failed     int64         // answers 403 and 5xx
	refused    int64         // answers of /readyz that were not 200
	events     []event
	suppressed int // events that were left out
	wrong      []error
}

// TestFaults is the matrix of calls that fail while clients are served.
func TestFaults(t *testing.T) {
	able(t)
	for _, v := range chosen(t) {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, v)
			for _, c := range cells(v, whole()) {
				if only := os.Getenv(rowEnv); only != "" && !strings.Contains(c.String(), only) {
					continue
				}
				if !s.alive() {
					s = start(t, v)
				}
				o := s.try(t, c)
				for _, err := range c.judge(s, &o) {
					t.Errorf("%v: %v", c, err)
				}
				tally.add(v, c, &o)
				if t.Failed() && !s.alive() {
					t.Logf("the server has ended:\n%s", tail(s.stderr.String()))
				}
			}
			s.everyCallHasARow(t)
		})
	}
}

// judge says what is wrong with what a cell has shown.
func (c cell) judge(s *server, o *outcome) (wrong []error) {
	wrong = append(wrong, o.wrong...)
	if o.hits == 0 {
		wrong = append(wrong, errors.New("the call was not made"))
	}
	// A single refusal may be made up for: by the descriptor that is held back, say.
	passes := c.deaf && c.mode.times > 0
	switch {
	case c.blind, passes:
	case c.deaf && o.refused == 0:
		wrong = append(wrong, errors.New("nobody is accepted, and /readyz says that the server is ready"))
	case !c.deaf && o.refused > 0:
		wrong = append(wrong, fmt.Errorf("/readyz says %d times that the server is not ready", o.refused))
	}
	var said []string
	for _, e := range o.events {
		if (e.Level == "warn" || e.Level == "error") && !strings.Contains(e.line, "left out") {
			said = append(said, e.line)
		}
	}
	switch {
	case c.counted != "" && c.said != "" && !c.names([]string{s.stderr.String()}):
		wrong = append(wrong, fmt.Errorf("no event has %q", c.said))
	case c.counted != "" || c.blind && c.said == "": // a scrape that its client does not take may be told of
	case c.said == "" && len(said) > 0:
		wrong = append(wrong, fmt.Errorf("it is said: %s", said[0]))
	case c.said == "" && o.suppressed > 0:
		wrong = append(wrong, fmt.Errorf("%d events were left out", o.suppressed))
	case c.said != "" && !passes && !c.names(said) && (o.suppressed == 0 || !c.names([]string{s.stderr.String()})):
		wrong = append(wrong, fmt.Errorf("no event has %q, but %q", c.said, said))
	}
	return wrong
}

// names reports whether a line says what the cell's row wants.
func (c cell) names(lines []string) bool {
	for _, line := range lines {
		for text := range strings.SplitSeq(c.said, "|") {
			if strings.Contains(line, text) {
				return true
			}
		}
	}
	return false
}

// try has a cell's calls fail under load, and looks at what is left.
func (s *server) try(t *testing.T, c cell) (o outcome) {
	t.Helper()
	from := len(s.stderr.String())
	suppressed, err := s.metric(suppressedEvents)
	testkit.Must(t, err)
	counted := 0
	if c.counted != "" {
		counted, err = s.metric(c.counted)
		testkit.Must(t, err)
	}
	s.refused.Store(0)
	settled := s.watchReadiness()
	l := s.load()
	f := c.fault(c.errno, c.mode)
	s.super.Set(f)
	began := time.Now()
	for s.alive() && time.Since(began) < hitMax {
		enough := f.Hits() >= hitsMin || c.mode.times > 0 && f.Hits() >= c.mode.times
		if enough && time.Since(began) > lastsMin && (!c.deaf || s.refused.Load() > 0) {
			break
		}
		if c.act != nil {
			c.act(s)
		}
		time.Sleep(time.Millisecond)
	}
	s.super.Set(nil)
	ended := time.Now()
	if c.blind {
		// net/http takes an error of a read for the connection's end, and tells that to the requests that come later
		// by the same one too (handleReadError in net/http/server.go): a reset that bytes follow is none.
		s.admin.CloseIdleConnections()
	}
	o.hits = f.Hits()
	for s.alive() {
		err := s.probe()
		o.recovery = time.Since(ended)
		if err == nil {
			break
		}
		if o.recovery > recoveryMax {
			o.wrong = append(o.wrong, fmt.Errorf("it does not recover: %w", err))
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	o.wrong = append(o.wrong, l.stop()...)
	settled()
	o.answers, o.cut, o.failed = l.answers.Load(), l.cut.Load(), l.failed.Load()
	o.refused = s.refused.Load()
	if err := s.rested(); err != nil {
		o.wrong = append(o.wrong, err)
	}
	if n, err := s.metric(suppressedEvents); err == nil {
		o.suppressed = n - suppressed
	}
	if c.counted != "" {
		if n, err := s.metric(c.counted); err == nil && n == counted {
			o.wrong = append(o.wrong, fmt.Errorf("%s has not grown", c.counted))
		}
	}
	o.events = s.events(from)
	return o
}

// rested waits until the server holds no more than before.
func (s *server) rested() (err error) {
	for end := time.Now().Add(recoveryMax); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !s.alive() {
			return errors.New("the server has ended")
		}
		var now census
		if now, err = s.count(); err == nil {
			if err = now.more(s.base); err == nil {
				return nil
			}
		}
	}
	return err
}

// suppressedEvents counts the events that are not told because others like them were.
const suppressedEvents = "evhttpd_events_suppressed_total"

// rowEnv chooses the cells whose names have that text, to look at one of them.
const rowEnv = "EVHTTPD_FAULTS_ROW"

// whole reports whether each error and mode is wanted, as in make faults.
func whole() bool { return os.Getenv("EVHTTPD_TEST") == "faults" }

// chosen are the ways to run the server that a test is for: all but in the short form of the tests.
func chosen(t *testing.T) []variant {
	if whole() {
		return variants
	}
	return testkit.Chosen(t, variants)
}

// able skips where calls cannot be asked for.
func able(t *testing.T) {
	t.Helper()
	if testkit.Race {
		testkit.Skip(t, "a run without the race detector, which says no more here and costs ten times as much")
	}
	testkit.Root(t) // pidfd_getfd(2) and process_vm_readv(2) of the server
	if err := faults.Available(); err != nil {
		t.Log(err)
		testkit.Skip(t, "seccomp with a listener")
	}
}

// everyCallHasARow fails for a call that the server has made and the matrix does not know.
func (s *server) everyCallHasARow(t *testing.T) {
	t.Helper()
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	tally.mu.Lock()
	defer tally.mu.Unlock()
	for number := range s.calls.made {
		if !known(number) && !named[number] {
			named[number] = true
			t.Errorf("the server makes system call %d, which has no row in the matrix and is no exception", number)
		}
	}
}

// named are the calls without a row that were told of.
var named = make(map[int]bool)

// known reports whether there is a row of a call.
func known(number int) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return r.call == number }) ||
		slices.ContainsFunc(changes, func(c change) bool { return c.call == number })
}

// results are counts for the table of docs/reliability.md.
type results struct {
	mu      sync.Mutex
	rows    []result
	changes []changed
}

// result is a cell that was tried.
type result struct {
	v variant
	c cell
	o outcome
}

var tally results

func (r *results) add(v variant, c cell, o *outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, result{v, c, *o})
}

// changed is a change that was tried.
type changed struct {
	v    variant
	when string
	c    change
	hits uint64
}

func (r *results) addChange(v variant, when string, c change, f *faults.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, changed{v, when, c, f.Hits()})
}
