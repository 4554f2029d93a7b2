package experiment

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

// sampled is a grid of one point whose control differs by 5 % at most; "more" is twice, "less" half of the baseline,
// "near" within the control's band, and "unsteady" on both sides of 1.
func sampled() *Grid {
	g := &Grid{Name: "g", Title: "Time", Axis: "things", Points: Counted(1000),
		Subjects: []Subject{{Name: "base"}, {Name: "base (control)", Control: true}, {Name: "more"}, {Name: "less"},
			{Name: "near"}, {Name: "unsteady"}},
		Metrics:   []Metric{{Key: "m", Name: "m in s", Unit: "s"}, {Key: "a", Name: "a", Unit: "1", Unpaired: true}},
		Originals: []Original{{Name: "1970", Subject: "more", Metric: "m", Values: []float64{7}}}}
	for round := range 8 {
		// The machine becomes slower from round to round; ratios do not.
		base := 1 + float64(round)/2
		wobble := 1 + 0.05*float64(round%3-1)
		for subject, factor := range []float64{1, wobble, 2, 0.5, 1 + (wobble-1)/2 + 0.01, []float64{0.5, 2}[round%2]} {
			g.Add(round, 0, subject, map[string]float64{"m": base * factor, "a": 3})
		}
	}
	return g
}

func TestVerdictsNeedMoreThanTheControlsDifference(t *testing.T) {
	g := sampled()
	for subject, want := range []stats.Verdict{"", "", stats.More, stats.Less, stats.Same, stats.Same} {
		f, ok := g.Figure(0, subject, "m")
		if !ok || f.Verdict != want || f.N != 8 {
			t.Errorf("%s: %+v, want verdict %q", g.Subjects[subject].Name, f, want)
		}
		if (f.Ratio == nil) != (subject == 0) {
			t.Errorf("%s: ratio %v", g.Subjects[subject].Name, f.Ratio)
		}
	}
	if f, _ := g.Figure(0, 2, "m"); f.Ratio.Low != 2 || f.Ratio.High != 2 {
		t.Errorf("a ratio within rounds is %+v, want 2 whatever the machine did", *f.Ratio)
	}
	if f, ok := g.Figure(0, 2, "a"); !ok || f.Ratio != nil || f.Verdict != "" {
		t.Errorf("a metric that is not compared: %+v", f)
	}
	if _, ok := g.Figure(0, 2, "other"); ok {
		t.Error("a metric without a sample has a figure")
	}
}

func TestWithoutAControlNothingIsADifference(t *testing.T) {
	g := sampled()
	g.Subjects[1].Control = false
	if f, _ := g.Figure(0, 2, "m"); f.Verdict != "" {
		t.Errorf("verdict %q", f.Verdict)
	}
}

// TestWrittenFitsTheTerminal: no line of what a command prints last is wider than a terminal.
func TestWrittenFitsTheTerminal(t *testing.T) {
	said := Written("/tmp/report", []Chart{{File: "first.svg"}, {File: "second.svg"}},
		"index.html (open it in a browser)", JSONFile, CSVFile, TextFile, "benchstat.txt")
	for line := range strings.Lines(said) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > text.Width {
			t.Errorf("%d columns, want at most %d: %q", n, text.Width, line)
		}
	}
	if strings.Count(said, "\n") == 0 || strings.HasSuffix(said, "\n") {
		t.Errorf("%q: want several lines, the last one without its end", said)
	}
}

// TestFolder writes everything and reads it again.
func TestFolder(t *testing.T) {
	head := Head{Version: ResultVersion, Command: "evhttpd lab g", Notes: []string{strings.Repeat("A long note. ", 30)}}
	r := &Result{Head: head, Name: "g", Shows: "It shows.", Source: "Somebody, 1970.",
		Rounds: 8, Duration: time.Second, Grids: []*Grid{sampled()},
		Tables: []Table{{Title: "Published", Head: []string{"", "x"}, Rows: [][]string{{"call", "9"}}}},
		Charts: []Chart{{File: "g.svg", SVG: chart.Lines("t", "n", "x", nil)}}}
	folder := t.TempDir()
	if err := r.WriteFolder(folder); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		if !strings.Contains(r.Written(folder), name) {
			t.Errorf("%q does not name %s", r.Written(folder), name)
		}
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var again Result
	if err := json.Unmarshal(read("results.json"), &again); err != nil {
		t.Fatal(err)
	}
	if n := len(again.Grids[0].Figures); n != 12 {
		t.Errorf("%d figures in results.json, want 12: 6 subjects, 2 metrics", n)
	}
	lines, err := csv.NewReader(bytes.NewReader(read("results.csv"))).ReadAll()
	if err != nil || len(lines) != 1+8*6*2 {
		t.Errorf("%d lines of CSV, want a head and 96: %v", len(lines), err)
	}
	table := string(read("table.txt"))
	for _, want := range []string{"Somebody, 1970.", "Time, m in s, by things", "  1970", "= 1.0", "2.00 [2.00 2.00]",
		"Published", "A long note."} {
		if !strings.Contains(table, want) {
			t.Errorf("table.txt lacks %q:\n%s", want, table)
		}
	}
	for _, line := range strings.Split(table, "\n") {
		if n := utf8.RuneCountInString(line); n > text.Width {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
	if svg := string(read("g.svg")); !strings.Contains(svg, "prefers-color-scheme:dark") {
		t.Errorf("the chart does not follow the reader's mode: %.200s", svg)
	}
}
