package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// benchSample and benchResults are the parts of results.json that the tests look at.
type benchSample struct {
	Requests, Served, Wanted, Failed int64
	Failure                          string
	CPU                              *float64 `json:"server_cpu_ns_per_request"`
	Calls                            *float64 `json:"system_calls_per_request"`
	Wrk                              *float64 `json:"wrk_requests_per_second"`
}

type benchResults struct {
	Subjects []struct {
		Name, Model string
		Control     bool
	}
	Cells []struct {
		Scenario, Name string
		Rows           []struct {
			Subject string
			Samples []benchSample
		}
	}
}

// runBench runs `bench` with at most so many descriptors, and returns what it wrote.
func runBench(t *testing.T, descriptors int, limit time.Duration, args ...string) (r benchResults, stdout,
	stderr string) {
	t.Helper()
	folder, temporary := t.TempDir(), t.TempDir()
	cmd := testkit.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, descriptors), binary,
		"bench", "--out", folder}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer stop.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	nothingIn(t, temporary)
	text, err := os.ReadFile(filepath.Join(folder, "results.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &r))
	return r, out.String(), errs.String()
}

// progressLine is what a comparison says at the beginning of a round.
var progressLine = regexp.MustCompile(`^evhttpd: round \d+ of \d+, \S+ left\n$`)

// withoutProgress takes out of standard error the lines that a comparison writes for nobody at a terminal: how far
// it is, and that it is not alone on the machine.
func withoutProgress(stderr string) string {
	rest := ""
	for line := range strings.Lines(stderr) {
		if !progressLine.MatchString(line) && !strings.HasPrefix(line, "evhttpd: This machine is busy: ") {
			rest += line
		}
	}
	return rest
}

// TestBenchSmoke runs every model under every scenario for a moment, or under three in its short form: all
// answers are right, and all connections are served, or the table says how many were.
// How fast anything is is not asserted. The cells of 10,000 idle connections are left to machines that
// are not shared: the limit of descriptors leaves them out, in one line.
func TestBenchSmoke(t *testing.T) {
	once(t)
	args := []string{"--rounds", "1", "--duration", "40ms"}
	if !testkit.All() {
		args = append(args, "--scenarios", "small,churn,slow")
	}
	r, stdout, stderr := runBench(t, 2048, 10*time.Minute, args...)
	if len(args) == 4 && (strings.Count(stderr, "\n") < 1 || !strings.Contains(stderr, "leaves out 3 of 20 cells")) {
		t.Errorf("on stderr %q, want a line of 3 cells left out", stderr)
	}
	if !strings.Contains(stdout, "Loopback hides") || !r.Subjects[1].Control {
		t.Errorf("no footer or no control in\n%s", stdout)
	}
	for i, s := range r.Subjects {
		var requests int64
		for _, c := range r.Cells {
			sample := c.Rows[i].Samples[0]
			requests += sample.Requests
			if c.Rows[i].Subject != s.Name || sample.Failed != 0 {
				t.Errorf("%s, %s: %+v", s.Name, c.Name, sample)
			}
			// Where there are too few threads, or no time to start them, the table says how many were served.
			said := s.Model == "blocking" &&
				strings.Contains(stdout, fmt.Sprintf("%d of %d served", sample.Served, sample.Wanted))
			if sample.Served != sample.Wanted && !said {
				t.Errorf("%s, %s: %+v", s.Name, c.Name, sample)
			}
			if known := sample.Calls != nil; sample.Requests > 0 && known == (s.Model == "goroutine" ||
				s.Model == "netpoll") {
				t.Errorf("%s, %s: system calls are known: %v", s.Name, c.Name, known)
			}
		}
		if requests == 0 {
			t.Errorf("%s answered nothing", s.Name)
		}
	}
	for _, v := range variants() {
		name := v.Model
		if v.Model == "epoll" || v.Model == "kqueue" {
			name += " " + v.Trigger
		}
		if v.Model == "io_uring" {
			if why, err := refused(); err != nil || why != "" {
				continue
			}
		}
		if !strings.Contains(stdout, "\n  "+name+" ") {
			t.Errorf("no row %q in\n%s", name, stdout)
		}
	}
}

// TestBenchTarget: another server stands in the same table, and its answers are checked.
func TestBenchTarget(t *testing.T) {
	once(t)
	root := t.TempDir()
	other := httptest.NewServer(http.FileServer(http.Dir(root)))
	defer other.Close()
	r, stdout, _ := runBench(t, 1024, 2*time.Minute, "--models", "epoll", "--triggers", "edge", "--scenarios", "small",
		"--rounds", "1", "--duration", "40ms",
		"--root", root, "--target", "nethttp="+other.URL+"/")
	last := r.Subjects[len(r.Subjects)-1]
	if last.Name != "nethttp" || last.Model != "" || !strings.Contains(stdout, "\n  nethttp ") {
		t.Errorf("%+v in\n%s", r.Subjects, stdout)
	}
	s := r.Cells[0].Rows[len(r.Subjects)-1].Samples[0]
	if s.Failed != 0 || s.Served != 64 || s.Calls != nil {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(filepath.Join(root, "1k.html")); err != nil {
		t.Error("the files of --root are not left:", err)
	}
}

// TestBenchWrk: wrk's figure stands beside ours, of each load that it can make.
func TestBenchWrk(t *testing.T) {
	once(t)
	tool(t, "wrk")
	r, stdout, _ := runBench(t, 1024, 2*time.Minute, "--models", "epoll", "--triggers", "edge", "--scenarios",
		"small,pipelined,churn,steady", "--rounds", "1", "--duration", "40ms", "--wrk")
	for _, c := range r.Cells {
		for _, row := range c.Rows {
			s := row.Samples[0]
			if want := c.Scenario != "steady"; (s.Wrk != nil) != want || want && *s.Wrk <= 0 {
				t.Errorf("%s, %s: wrk's figure is %v", c.Name, row.Subject, s.Wrk)
			}
		}
	}
	if !strings.Contains(stdout, "wrk") {
		t.Errorf("no column of wrk's in\n%s", stdout)
	}
}

// TestBenchCompareSame: results beside themselves are no difference.
func TestBenchCompareSame(t *testing.T) {
	once(t)
	folder := t.TempDir()
	code, _, stderr := command(t, "bench", "--models", "epoll", "--triggers", "edge", "--scenarios", "small",
		"--rounds", "6", "--duration", "20ms", "--out", folder)
	if code != 0 {
		t.Fatal(stderr)
	}
	name := filepath.Join(folder, "results.json")
	code, stdout, stderr := command(t, "bench", "compare", name, name)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "No difference in") {
		t.Errorf("exit code %d, %q\n%s", code, stderr, stdout)
	}
}

// TestBenchErrors: what cannot be measured is said in one line before any time is spent.
func TestBenchErrors(t *testing.T) {
	root := t.TempDir()
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	file := filepath.Join(root, "file")
	write(t, root, "file", []byte("x"))
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no such model", []string{"--models", "epol"}, 2, []string{"epol", "available here", "epoll"}},
		{"no such trigger", []string{"--triggers", "both"}, 2, []string{"both", "edge, level"}},
		{"no such scenario", []string{"--scenarios", "huge"}, 2, []string{"huge", "large"}},
		{"no rounds", []string{"--rounds", "0"}, 2, []string{"--rounds"}},
		{"a TLS target", []string{"--target", "https://127.0.0.1/"}, 2, []string{"TLS", "http://"}},
		{"no URL", []string{"--target", "127.0.0.1:80"}, 2, []string{"http://HOST", "unix:/SOCKET"}},
		{"a target that refuses", []string{"--target", closed.URL + "/", "--scenarios", "small"}, 1,
			[]string{"refused"}},
		{"a target without the files", []string{"--target", "x=" + empty.URL + "/", "--scenarios", "small"}, 1,
			[]string{"x", "404", "--root"}},
		{"--out is a file", []string{"--out", file}, 1, []string{"--out", file}},
		{"results that are none", []string{"compare", file, file}, 2, []string{file, "results.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t, append([]string{"bench"}, c.args...)...)
			oneLine(t, c.code, code, stdout, stderr, c.says)
		})
	}
	for name, script := range map[string]string{
		"too few descriptors": `ulimit -n 64; exec "$0" bench --quick`,
		"no wrk":              `PATH=/nowhere; exec "$0" bench --quick --wrk`,
	} {
		t.Run(name, func(t *testing.T) {
			cmd := testkit.Command("/bin/sh", "-c", script, binary)
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) {
				t.Fatal(err)
			}
			says := map[string][]string{"too few descriptors": {"64 descriptors", "ulimit -n"},
				"no wrk": {"wrk", "PATH"}}[name]
			oneLine(t, 1, exit.ExitCode(), stdout.String(), withoutProgress(stderr.String()), says)
		})
	}
}
