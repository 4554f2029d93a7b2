package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// classicResults are the parts of an experiment's results.json that the tests look at.
type classicResults struct {
	Classic string
	Grids   []struct {
		Name      string
		Points    []struct{ Name string }
		Subjects  []struct{ Name string }
		Originals []struct {
			Name, Subject string
			Values        []float64
		}
		Metrics []struct{ Key string }
		Figures []struct {
			Point, Subject int
			Metric         string
			Median         float64
		}
	}
}

// runClassic makes a classic for a moment, with at most so many descriptors, and returns what it wrote. It leaves
// nothing behind.
func runClassic(t *testing.T, name string, descriptors int, args ...string) (r classicResults, folder, stdout string) {
	t.Helper()
	folder = t.TempDir()
	temporary := t.TempDir()
	cmd := testkit.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, descriptors),
		binary, "bench", "--classic", name, "--out", folder, "--rounds", "1"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	must(t, cmd.Start())
	stop := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer stop.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	nothingIn(t, temporary)
	text, err := os.ReadFile(filepath.Join(folder, "results.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &r))
	if r.Classic != name {
		t.Errorf("results.json is of %q", r.Classic)
	}
	return r, folder, out.String()
}

// TestClassics makes the experiments of the literature for a moment each: everything is measured that was to be, and
// written. How fast anything is is not asserted.
func TestClassics(t *testing.T) {
	once(t)
	for _, c := range []struct {
		name        string
		descriptors int // fewer make a shorter run
		duration    string
		metric      string // of which there must be a figure everywhere
		points      []string
		charts      []string
		says        []string
	}{
		{"waits", 300, "1ms", "whole", []string{"10", "100"}, []string{"waits.svg"},
			[]string{"table 63-9", "2.6.25", "0.410"}},
		{"pipes", 300, "1ms", "chain", []string{"100", "118"}, []string{"pipes-1.svg", "pipes-100.svg"},
			[]string{"bench.c", "Published"}},
		{"rates", 1024, "5ms", "replies", nil, []string{"rates-requests-0-p99.svg", "rates-connections-409-cpu.svg"},
			[]string{"OLS 2004", "Published", "16.34"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, folder, stdout := runClassic(t, c.name, c.descriptors, "--duration", c.duration)
			for _, name := range append([]string{"results.csv", "table.txt"}, c.charts...) {
				if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, text := range c.says {
				if !strings.Contains(stdout, text) {
					t.Errorf("no %q in\n%s", text, stdout)
				}
			}
			if len(r.Grids) == 0 {
				t.Fatal("nothing was measured")
			}
			for n, g := range r.Grids {
				figures := 0
				for _, f := range g.Figures {
					if f.Metric == c.metric {
						figures++
					}
				}
				if want := len(g.Points) * len(g.Subjects); figures != want || want == 0 {
					t.Errorf("%s: %d figures of %s, want %d", g.Name, figures, c.metric, want)
				}
				for i, p := range c.points {
					if n == 1 && c.name == "waits" { // which descriptor is ready, of the most
						break
					}
					if len(g.Points) != len(c.points) || g.Points[i].Name != p {
						t.Errorf("%s: points %v, want %v", g.Name, g.Points, c.points)
						break
					}
				}
				for _, o := range g.Originals {
					if len(o.Values) != len(g.Points) {
						t.Errorf("%s: %d published figures of %s for %d points", g.Name, len(o.Values), o.Subject,
							len(g.Points))
					}
				}
			}
		})
	}
}

// TestClassicsOfServers does so with the experiments on this server alone.
func TestClassicsOfServers(t *testing.T) {
	once(t)
	testkit.Long(t)
	for _, c := range []struct {
		name   string
		args   []string
		metric string
		figure int // how many of the metric
		charts []string
		says   []string
	}{
		{"cold", []string{"--models", "sigio", "--duration", "10ms"}, "p99", 2, []string{"cold.svg"},
			[]string{"128 KiB", "sigio"}},
		{"accept", []string{"--duration", "20ms"}, "rate", 16, []string{"accept.svg"}, []string{"2 loops shared"}},
		{"idle", []string{"--models", "poll", "--duration", "10ms"}, "kernel", 4, []string{"idle.svg"},
			[]string{"RLIMIT_NOFILE", "both, GB"}},
		{"price", []string{"--duration", "20ms"}, "rate", 14, []string{"price.svg"},
			[]string{"no access log", "strict parsing", "counting a request"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "cold" {
				testkit.Device(t, "/dev/fuse")
			}
			r, folder, stdout := runClassic(t, c.name, 700, c.args...)
			for _, name := range append([]string{"results.csv", "table.txt"}, c.charts...) {
				if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, text := range c.says {
				if !strings.Contains(stdout, text) {
					t.Errorf("no %q in\n%s", text, stdout)
				}
			}
			figures := 0
			for _, f := range r.Grids[0].Figures {
				if f.Metric == c.metric && !strings.HasPrefix(r.Grids[0].Subjects[f.Subject].Name, "nginx") {
					figures++
				}
			}
			if figures != c.figure {
				t.Errorf("%d figures of %s, want %d", figures, c.metric, c.figure)
			}
		})
	}
}

func TestClassicMistakes(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"no such experiment", []string{"--classic", "wait"},
			[]string{`"wait"`, "waits, pipes, rates, cold, accept, idle, price, starve"}},
		{"models of its own", []string{"--classic", "waits", "--models", "epoll", "--quick"},
			[]string{"--models", "--quick", "leave out"}},
		{"no rounds", []string{"--classic", "waits", "--rounds", "0"}, []string{"--rounds"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t, append([]string{"bench"}, c.args...)...)
			oneLine(t, 2, code, stdout, stderr, c.says)
		})
	}
}
