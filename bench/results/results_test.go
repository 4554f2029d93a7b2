package results

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/scenario"
	"github.com/evhttpd/evhttpd/bench/stats"
)

// crafted is a comparison of subjects whose CPU a request is given, round by round, in microseconds.
func crafted(cpu map[string][]float64, order ...string) *Results {
	r := &Results{Head: experiment.Head{Version: Version, Machine: machine.Describe()},
		Setup: Setup{Rounds: len(cpu[order[0]])}}
	c := Cell{Cell: scenario.Cell{Scenario: "small", Name: "small", Active: 64, Files: []scenario.File{{Name: "1k.html",
		Bytes: 1024}}}}
	for i, name := range order {
		r.Subjects = append(r.Subjects, Subject{Name: name, Model: name, Control: i == 1})
		row := Row{Subject: name}
		for n, v := range cpu[name] {
			row.Samples = append(row.Samples, Sample{Round: n + 1, Requests: 1000, Rate: 1e6 / v, CPU: new(v * 1000),
				P50: time.Duration(v * 1e4), P99: time.Duration(v * 1e5), Served: 64, Wanted: 64})
		}
		c.Rows = append(c.Rows, row)
	}
	r.Cells = []Cell{c}
	r.Sum()
	return r
}

func TestVerdicts(t *testing.T) {
	r := crafted(map[string][]float64{
		"epoll":   {5, 5.1, 5.2, 6, 5, 5.1},
		"control": {5.1, 5, 5.3, 5.9, 5.1, 5.1},
		"near":    {5.05, 5.05, 5.25, 5.95, 5.05, 5.1},  // no difference
		"small":   {5.06, 5.16, 5.26, 6.06, 5.06, 5.16}, // always more, by less than the control
		"select":  {10, 10.4, 10.4, 12, 10, 10.1},
		"less":    {4, 4.1, 4.1, 4.8, 4, 4.1},
	}, "epoll", "control", "near", "small", "select", "less")
	want := []stats.Verdict{"", Same, Same, Same, Worse, Better}
	for i, row := range r.Cells[0].Rows {
		if got := row.Figures[CPU].Verdict; got != want[i] {
			t.Errorf("%s: %q, want %q (%+v)", row.Subject, got, want[i], row.Figures[CPU].Ratio)
		}
	}
	// A rate is better when it is more.
	if got := r.Cells[0].Rows[4].Figures[Rate].Verdict; got != Worse {
		t.Errorf("half the rate is %q", got)
	}
	if f := r.Cells[0].Rows[4].Figures[CPU]; f.Ratio.Median < 1.9 || f.Ratio.Median > 2.1 {
		t.Errorf("ratio %+v, want some 2", f.Ratio)
	}
	if _, ok := r.Cells[0].Rows[4].Figures[Calls]; ok {
		t.Error("system calls that nobody counted have a figure")
	}
}

// TestNoVerdict: too few rounds, a control that differs from itself by too much, and a measurement
// without an answer allow none.
func TestNoVerdict(t *testing.T) {
	few := crafted(map[string][]float64{"epoll": {5, 5, 5, 5, 5}, "control": {5, 5, 5, 5, 5}, "select": {50, 50, 50, 50,
		50}}, "epoll", "control", "select")
	noisy := crafted(map[string][]float64{"epoll": {5, 5, 5, 5, 5, 5}, "control": {5, 5, 5, 5, 5, 9}, "select": {50, 50,
		50, 50, 50, 50}}, "epoll", "control", "select")
	silent := crafted(map[string][]float64{"epoll": {5, 5, 5, 5, 5, 5}, "control": {5, 5, 5, 5, 5, 5}, "select": {50,
		50, 50, 50, 50, 50}}, "epoll", "control", "select")
	silent.Cells[0].Rows[2].Samples[3].Requests = 0
	silent.Sum()
	for want, all := range map[stats.Verdict][]*Results{Few: {few}, Noisy: {noisy, silent}} {
		for _, r := range all {
			if got := r.Cells[0].Rows[2].Figures[CPU].Verdict; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	if f := silent.Cells[0].Rows[1].Figures[CPU]; f.Verdict != Same {
		t.Errorf("the control, which answered, is %q", f.Verdict)
	}
}

// TestRatiosWithinRounds: a machine that becomes half as fast in the middle changes no ratio.
func TestRatiosWithinRounds(t *testing.T) {
	r := crafted(map[string][]float64{
		"epoll":   {5, 5, 5, 10, 10, 10},
		"control": {5, 5, 5, 10, 10, 10},
		"more":    {6, 6, 6, 12, 12, 12},
	}, "epoll", "control", "more")
	if f := r.Cells[0].Rows[2].Figures[CPU]; f.Ratio.Low < 1.199 || f.Ratio.High > 1.201 || f.Verdict != Worse {
		t.Errorf("%+v", f)
	}
}

// TestControlSaysNoDifference: subjects that are drawn from one distribution are called
// different about never, since it takes more than the control's own difference.
func TestControlSaysNoDifference(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const runs = 500
	wrong := 0
	for range runs {
		cpu := make(map[string][]float64)
		for _, name := range []string{"epoll", "control", "same"} {
			for range 9 {
				cpu[name] = append(cpu[name], 5*(1+0.1*random.ExpFloat64()))
			}
		}
		r := crafted(cpu, "epoll", "control", "same")
		if f := r.Cells[0].Rows[1].Figures[CPU]; f.Verdict != Same {
			t.Fatalf("the control is %q: %+v", f.Verdict, f.Ratio)
		}
		if r.Cells[0].Rows[2].Figures[CPU].Verdict != Same {
			wrong++
		}
	}
	if wrong > runs*5/100 {
		t.Errorf("equals differ in %d of %d runs", wrong, runs)
	}
}

// TestNotAllServed: a subject that leaves connections out is not compared.
func TestNotAllServed(t *testing.T) {
	r := crafted(map[string][]float64{"epoll": {5, 5}, "control": {5, 5}, "blocking": {9, 9}}, "epoll", "control",
		"blocking")
	r.Cells[0].Rows[2].Samples[1].Served = 60
	r.Sum()
	row := r.Cells[0].Rows[2]
	if row.Whole() || row.Served != 60 || row.Wanted != 64 || row.Figures[CPU].Ratio != nil ||
		row.Figures[CPU].Verdict != "" {
		t.Errorf("%+v", row)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	r := crafted(map[string][]float64{"epoll": {5, 6}, "control": {5, 6}}, "epoll", "control")
	r.Cells[0].Rows[0].Samples[0].Calls = new(2.0)
	r.Sum()
	name := filepath.Join(t.TempDir(), "results.json")
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"system_calls_per_request": null`) {
		t.Error("what is not known is not null")
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Cells, r.Cells) || !reflect.DeepEqual(got.Subjects, r.Subjects) {
		t.Errorf("read\n%+v\nwritten\n%+v", got.Cells, r.Cells)
	}
}

func TestReadRefuses(t *testing.T) {
	folder := t.TempDir()
	for text, says := range map[string]string{
		``:                             "not the results.json",
		`[]`:                           "not the results.json",
		`{"rows": []}`:                 "there is no version in it",
		`{"version": 99, "cells": []}`: "version is 99",
		`{"version": 1, "subjects": [{"name": "a"}], "cells": []}`:                          "no cells",
		`{"version": 1, "subjects": [{"name": "a"}], "cells": [{"name": "c", "rows": []}]}`: "0 rows for 1",
		`{"version": 1, "subjects": [{"name": "a"}], "cells": [{"name": "c", "rows": [` +
			`{"subject": "b", "samples": []}]}]}`: `of "b"`,
	} {
		name := filepath.Join(folder, "x.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(name); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(),
			name) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func TestCSV(t *testing.T) {
	r := crafted(map[string][]float64{"epoll": {5, 6}, "control": {5, 6}}, "epoll", "control")
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(lines) != 1+4 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, name := range lines[0] {
		switch name {
		case "cpu [µs]":
			if lines[1][i] != "5" || lines[2][i] != "6" {
				t.Errorf("CPU: %v, %v", lines[1][i], lines[2][i])
			}
		case "calls [calls]":
			if lines[1][i] != "" {
				t.Errorf("unknown calls are %q", lines[1][i])
			}
		}
	}
}

// TestBenchstat: each line is of the Go benchmark format: a name without spaces, a count, pairs of value and unit.
func TestBenchstat(t *testing.T) {
	r := crafted(map[string][]float64{"epoll edge": {5, 6}, "epoll edge (control)": {5, 6}}, "epoll edge",
		"epoll edge (control)")
	r.Cells[0].Name = "64 active, 0 idle"
	var b bytes.Buffer
	if err := r.WriteBenchstat(&b); err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(b.String()) {
		words := strings.Fields(line)
		if len(words) == 0 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		found++
		if len(words)%2 != 0 || words[1] != "1000" {
			t.Errorf("%q", line)
		}
		for i := 2; i < len(words); i += 2 {
			var v float64
			if _, err := fmt.Sscan(words[i], &v); err != nil {
				t.Errorf("%q in %q", words[i], line)
			}
		}
	}
	if found != 4 || !strings.Contains(b.String(), "BenchmarkServe/cell=64_active,0_idle/subject=epoll_edge_control "+
		"1000 5000 cpu-ns/op") {
		t.Errorf("%d lines in\n%s", found, b.String())
	}
}
