package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// labCases are the subjects of `lab starve`, in order.
var labCases = []string{"quiet", "quiet (control)", "level, no budget", "level, budget", "edge, no budget",
	"edge, budget"}

// lab runs `lab starve` on a temporary folder of its own, and checks that nothing is left in it.
func lab(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	code, stdout, stderr := command(t, append([]string{"lab", "starve", "--duration", "300ms", "--rounds", "1"},
		args...)...)
	if code != 0 || withoutProgress(stderr) != "" {
		t.Fatalf("exit code %d, on stderr %q", code, stderr)
	}
	nothingIn(t, folder)
	return stdout
}

func nothingIn(t *testing.T, folder string) {
	t.Helper()
	left, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		t.Errorf("%s is left behind", entry.Name())
	}
}

// TestLabStarve: every case is measured, with every answer checked by the
// client, and shown. How long anything took is not asserted.
func TestLabStarve(t *testing.T) {
	once(t)
	text := lab(t)
	for i, name := range labCases {
		want := 2 // among the figures, and with its ratio to the first
		if i == 0 {
			want = 1
		}
		if n := strings.Count(text, "\n"+name+"  "); n != want {
			t.Errorf("%d rows %q, want %d, in\n%s", n, name, want, text)
		}
	}
	if !strings.Contains(text, "The budget divides the small requests' p99 by") {
		t.Errorf("no explanation in\n%s", text)
	}
}

func TestLabStarveJSON(t *testing.T) {
	once(t)
	var r classicResults
	if err := json.Unmarshal([]byte(lab(t, "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Grids) != 1 || len(r.Grids[0].Subjects) != len(labCases) {
		t.Fatalf("%+v, want one grid with %d subjects", r, len(labCases))
	}
	rows := make([]map[string]float64, len(labCases))
	for i := range rows {
		rows[i] = make(map[string]float64)
	}
	for _, f := range r.Grids[0].Figures {
		rows[f.Subject][f.Metric] = f.Median
	}
	for i, row := range rows {
		if r.Grids[0].Subjects[i].Name != labCases[i] || row["p50"] <= 0 || row["p50"] > row["p99"] ||
			row["p99"] > row["max"] {
			t.Errorf("row %d, %s, is %+v", i, labCases[i], row)
		}
		if greedy := i > 1; greedy != (row["greedy"] > 0) {
			t.Errorf("%s: the greedy client got %v answers/s", labCases[i], row["greedy"])
		}
	}
}

// TestLabInterrupted: a Ctrl-C in the middle ends the command and its server, and leaves nothing.
func TestLabInterrupted(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	cmd := testkit.Command(binary, "lab", "starve", "--duration", "30s", "--rounds", "100")
	var stderr transcript
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	root := filepath.Join(folder, "evhttpd-lab-*")
	eventually(t, func() error { return servesBelow(root) })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	says := withoutProgress(stderr.String())
	if cmd.ProcessState.ExitCode() != 1 || strings.Count(says, "\n") != 1 || !strings.Contains(says, "interrupt") {
		t.Errorf("%v, on stderr %q", err, stderr.String())
	}
	nothingIn(t, folder)
	if err := servesBelow(root); err == nil {
		t.Error("its server still runs")
	}
}

// servesBelow returns nil if some process serves a folder of that pattern.
func servesBelow(root string) error {
	out, err := testkit.Command("ps", "-A", "-o", "args").Output()
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		for _, word := range strings.Fields(line) {
			if match, err := filepath.Match(root, word); err == nil && match {
				return nil
			}
		}
	}
	return syscall.ESRCH
}

// TestLabErrors: what cannot be measured is said in one line before any time is spent.
func TestLabErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no such experiment", []string{"lab", "strave"}, 2, []string{"strave", "lab --help"}},
		{"no duration", []string{"lab", "starve", "--duration", "0s"}, 2, []string{"--duration", "more than 0"}},
		{"an hour a case", []string{"lab", "starve", "--duration", "1h"}, 2, []string{"1h0m0s", "30s"}},
		{"no rounds", []string{"lab", "starve", "--rounds", "0"}, 2, []string{"--rounds", "more than 0"}},
		{"unknown flag", []string{"lab", "starve", "--loops", "2"}, 2, []string{"--loops"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t, c.args...)
			oneLine(t, c.code, code, stdout, stderr, c.says)
		})
	}
	t.Run("too few descriptors", func(t *testing.T) {
		tool(t, "sh")
		cmd := testkit.Command("sh", "-c", `ulimit -n 24; exec "$0" lab starve --duration 100ms --rounds 1`, binary)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		oneLine(t, 1, cmd.ProcessState.ExitCode(), stdout.String(), withoutProgress(stderr.String()),
			[]string{"descriptors", "24", "ulimit -n"})
	})
}

func oneLine(t *testing.T, want, code int, stdout, stderr string, says []string) {
	t.Helper()
	if code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
	if stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("want one line on stderr and none on stdout, got %q and %q", stderr, stdout)
	}
	for _, part := range says {
		if !strings.Contains(stderr, part) {
			t.Errorf("does not name %q: %q", part, stderr)
		}
	}
}

// TestTurnErrors: the bounds on a turn are read strictly.
func TestTurnErrors(t *testing.T) {
	root := t.TempDir()
	for _, c := range []struct {
		flag, value string
		says        string
	}{
		{"--turn-requests", "many", "number from 0"},
		{"--turn-requests", "-1", "number from 0"},
		{"--turn-bytes", "256kb", "KiB"},
		{"--turn-bytes", "9999999999GiB", "largest"},
	} {
		t.Run(c.flag+" "+c.value, func(t *testing.T) {
			code, stdout, stderr := command(t, "serve", root, "--listen", "127.0.0.1:0", c.flag, c.value)
			oneLine(t, 2, code, stdout, stderr, []string{c.flag, c.value, c.says})
		})
	}
}

// TestTurnUnbounded: without a bound on its turn, or with the smallest, a
// connection gets the same answers in the same order.
func TestTurnUnbounded(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		for _, turn := range []string{"0", "1"} {
			root := t.TempDir()
			write(t, root, "a", []byte(hello))
			s := start(t, v, root, "--turn-requests", turn, "--turn-bytes", turn)
			const requests = 200
			got := string(s.exchange(t, strings.Repeat("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", requests-1)+
				"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
			if n := strings.Count(got, "HTTP/1.1 200 OK\r\n"); n != requests || strings.Count(got, hello) != requests {
				t.Errorf("turns of %s: %d answers to %d requests", turn, n, requests)
			}
		}
	})
}
