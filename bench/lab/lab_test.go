package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/evhttpd/evhttpd/bench/load"
)

func TestOptionsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		says string
	}{
		{"no duration", Options{Rounds: 1}, "duration"},
		{"negative duration", Options{Rounds: 1, Duration: -time.Second}, "-1s"},
		{"longer than a latency is counted", Options{Rounds: 1, Duration: DurationMax + 1}, DurationMax.String()},
		{"no rounds", Options{Duration: time.Second}, "0 rounds"},
		{"too many rounds", Options{Duration: time.Second, Rounds: RoundsMax + 1}, "100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := Starve(t.Context(), c.o)
			if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), c.says) || report != nil {
				t.Errorf("%v, %+v; want an error of the options that says %q", err, report, c.says)
			}
		})
	}
}

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
			report, err := Starve(t.Context(), Options{Binary: c.binary, Duration: time.Second, Rounds: 1})
			if err == nil || report != nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "round 1, quiet") {
				t.Errorf("%v, %+v", err, report)
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
	h := hdrhistogram.New(1000, int64(time.Minute), 3)
	for _, d := range small {
		if err := h.RecordValue(int64(d)); err != nil {
			panic(err)
		}
	}
	r := &load.Result{Window: time.Second, Roles: []load.RoleResult{
		{Name: roleSmall, Counts: load.Counts{Completed: int64(len(small))}, Latency: load.Latency{Count: int64(len(small)), Histogram: h}},
		{Name: roleGreedy, Counts: load.Counts{Completed: 70_000}},
		{Name: roleDownload, Counts: load.Counts{Bytes: 3e6}},
	}}
	return r
}

// filled is a report of two rounds, whose second is slower.
func filled() *Report {
	r := newReport(Cases(), &Options{Duration: time.Second, Rounds: 2})
	for round := range 2 {
		for i, c := range r.Rows {
			took := time.Duration(1+round) * time.Millisecond
			if !c.Budget {
				took *= 100
			}
			r.add(i, result(took, took))
		}
	}
	r.sum()
	return r
}

func TestReport(t *testing.T) {
	r := filled()
	if len(r.Rows) != 5 || r.Rows[0].Greedy {
		t.Fatalf("%d rows, the first %+v; want the quiet one and four more", len(r.Rows), r.Rows[0].Case)
	}
	near := func(got, want float64) bool { return got > want*0.99 && got < want*1.01 }
	for i := range r.Rows {
		row := &r.Rows[i]
		unit := 1e6
		if !row.Budget {
			unit = 1e8
		}
		if !near(float64(row.Small.P50), unit) || !near(float64(row.Small.P99), 2*unit) || !near(float64(row.Small.Max), 2*unit) {
			t.Errorf("%s: %+v is not what both rounds have together", row.Name, row.Small)
		}
		if row.SmallRate != 2 || row.GreedyRate != 70_000 || row.DownloadRate != 3e6 {
			t.Errorf("%s: rates %v, %v, %v", row.Name, row.SmallRate, row.GreedyRate, row.DownloadRate)
		}
		if len(row.Rounds) != 2 {
			t.Errorf("%s: %d rounds", row.Name, len(row.Rounds))
		}
	}
	if !near(r.EdgeCure, 100) || !near(r.LevelCure, 100) {
		t.Errorf("the budget divides by %v and %v, not by 100", r.EdgeCure, r.LevelCure)
	}
}

func TestReportAsText(t *testing.T) {
	r := filled()
	r.Rows[3].Never, r.Saturated = 1, true
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, part := range []string{"by 100 with the edge", "64 requests or 256 KiB", "edge, no budget: 1 request had no answer", "its CPU up", "2 rounds of 1s"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	for _, c := range Cases() {
		if strings.Count(text, "\n"+c.Name+" ") != 1 {
			t.Errorf("no row %q in\n%s", c.Name, text)
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	r := filled()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	decoder := json.NewDecoder(&b)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&back); err != nil {
		t.Fatal(err)
	}
	if len(back.Rows) != len(r.Rows) || back.Rows[4].Case != r.Rows[4].Case || back.Rows[4].Small != r.Rows[4].Small || back.EdgeCure != r.EdgeCure {
		t.Errorf("came back as %+v", back)
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
		if err == nil || !strings.Contains(err.Error(), roleGreedy) || !strings.Contains(err.Error(), "3 × "+f.String()) || !strings.Contains(err.Error(), "the first one") {
			t.Errorf("%v: %v", f, err)
		}
	}
}
