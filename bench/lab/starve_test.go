package lab

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
)

// TestStarveLeavesNothing: whatever goes wrong with the server, the error says
// in which case, and neither a process nor a file is left.
func TestStarveLeavesNothing(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct{ name, binary, says string }{
		{"a binary that is not there", none, none},
		{"a binary that is no server", "/bin/false", "before it served"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			t.Setenv("TMPDIR", folder)
			r, err := Run(t.Context(), "starve", experiment.Options{Binary: c.binary, Duration: time.Second, Rounds: 1,
				Seed: 1})
			named := false
			for _, of := range starveCases {
				named = named || err != nil && strings.Contains(err.Error(), "round 1, "+of.Name+": ")
			}
			if err == nil || r != nil || !strings.Contains(err.Error(), c.says) || !named {
				t.Errorf("%v, %+v", err, r)
			}
			left, err := os.ReadDir(folder)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
				t.Errorf("process %d is left (%v)", pid, err)
			}
		})
	}
}

// result is a run in which the small requests took these times, each as often.
func result(small ...time.Duration) *load.Result {
	r := &load.Result{Window: time.Second, Roles: []load.RoleResult{
		{Name: "small", Counts: load.Counts{Completed: int64(len(small))},
			Latency: load.Latency{Count: int64(len(small)), P50: small[0], P99: small[0], Max: small[0]}},
		{Name: "greedy", Counts: load.Counts{Completed: 70_000}},
		{Name: "download", Counts: load.Counts{Bytes: 3e6}},
	}}
	return r
}

// TestStarveFigures: two rounds, whose second is slower, with a hundred times of that without a budget.
func TestStarveFigures(t *testing.T) {
	g := newStarveGrid()
	for round := range 2 {
		for i, c := range starveCases {
			took := time.Duration(1+round) * time.Millisecond
			if !c.budget {
				took *= 100
			}
			r := result(took, took)
			if !c.greedy {
				r.Roles = r.Roles[:1]
			}
			g.Add(round, 0, i, starveValues(r))
		}
	}
	near := func(got, want float64) bool { return got > want*0.99 && got < want*1.01 }
	for i, c := range starveCases {
		unit := 1.0
		if !c.budget {
			unit = 100
		}
		for metric, want := range map[string]float64{"p50": 1.5 * unit, "p99": 1.5 * unit, "max": 1.5 * unit, "rate": 2,
			"greedy": 70_000, "download": 3} {
			f, ok := g.Figure(0, i, metric)
			if greedy := metric == "greedy" || metric == "download"; ok != (c.greedy || !greedy) || ok &&
				!near(f.Median, want) {
				t.Errorf("%s, %s: %+v, %v; want %v", c.Name, metric, f, ok, want)
			}
		}
	}
	if a, b := starveCure(g, "edge"), starveCure(g, "level"); !near(a, 100) || !near(b, 100) {
		t.Errorf("the budget divides by %v and %v, not by 100", a, b)
	}
	for _, part := range []string{"by 100 with the edge", "64 requests or 256 KiB"} {
		if text := strings.Join(strings.Fields(starveText(g)), " "); !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}

// TestStarvedRequestsAreNamed: what makes the times other than the server's is in the notes.
func TestStarvedRequestsAreNamed(t *testing.T) {
	s := &session{&experiment.Session{}}
	r := result(time.Millisecond)
	s.noteStarved("quiet", r)
	if len(s.Head.Notes) > 0 {
		t.Errorf("%q", s.Head.Notes)
	}
	r.Roles[0].Unanswered, r.Loops = 1, []load.LoopResult{{Known: true, Share: 1}}
	s.noteStarved("edge, no budget", r)
	notes := strings.Join(s.Head.Notes, " ")
	for _, part := range []string{"edge, no budget: 1 request had no answer", "its CPU up"} {
		if !strings.Contains(notes, part) {
			t.Errorf("%q is missing in %s", part, notes)
		}
	}
}

// TestFailuresAreErrors: whatever went wrong but waiting is named with its role and its first occurrence.
func TestFailuresAreErrors(t *testing.T) {
	if err := failures(result(time.Millisecond)); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	for f := range load.NumFailures {
		r := result(time.Millisecond)
		r.Roles[1].Failures[f], r.Roles[1].First[f] = 3, "the first one"
		err := failures(r)
		if err == nil || !strings.Contains(err.Error(), "greedy") || !strings.Contains(err.Error(),
			"3 × "+f.String()) || !strings.Contains(err.Error(), "the first one") {
			t.Errorf("%v: %v", f, err)
		}
	}
}
