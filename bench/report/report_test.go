package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/scenario"
)

// subjects of crafted, with their CPU microseconds a request.
var costs = []struct {
	name string
	cpu  float64
}{{"epoll edge", 5}, {"epoll edge (control)", 5}, {"select", 12}, {"goroutine", 7}}

// crafted is a comparison of made-up figures that scatter by a hundredth; factor multiplies those of select.
func crafted(seed uint64, rounds int, factor float64) *results.Results {
	random := rand.New(rand.NewPCG(seed, 0))
	head := experiment.Head{Version: results.Version, Command: "evhttpd bench <x>", Began: time.Unix(1.8e9, 0),
		Machine: machine.Describe(), Notes: []string{"A note & more."}}
	r := &results.Results{Head: head, Setup: results.Setup{Rounds: rounds, Duration: time.Second},
		Absent: []results.Absent{{Name: "kqueue", Reason: "linux has none"}}}
	for i, s := range costs {
		r.Subjects = append(r.Subjects, results.Subject{Name: s.name, Model: strings.Fields(s.name)[0],
			Control: i == 1})
	}
	for _, idle := range []int{0, 1000} {
		cell := scenario.Cell{Scenario: "idle", Name: map[int]string{0: "none", 1000: "many"}[idle], Active: 64,
			Idle: idle, Files: []scenario.File{{Name: "1k.html", Bytes: 1024}}}
		c := results.Cell{Cell: cell, Shows: "This & that.", Source: "A paper."}
		for _, s := range costs {
			row := results.Row{Subject: s.name}
			for round := range rounds {
				v := s.cpu * (1 + 0.01*random.Float64())
				if s.name == "select" {
					v *= factor
				}
				sample := results.Sample{Round: round + 1, Requests: 1000, Rate: 1e6 / v, CPU: new(v * 1000),
					P50: time.Duration(v * 1e4),
					P90: time.Duration(v * 2e4), P99: time.Duration(v * 1e5), P999: time.Duration(v * 2e5),
					Served: 64, Wanted: 64}
				if s.name != "goroutine" {
					sample.Calls = new(2.0)
				}
				row.Samples = append(row.Samples, sample)
			}
			c.Rows = append(c.Rows, row)
		}
		r.Cells = append(r.Cells, c)
	}
	r.Sum()
	return r
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	r := crafted(1, 7, 1)
	r.Cells[1].Rows[3].Samples[0].Served = 60
	r.Sum()
	if err := (Report{r}).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, pattern := range []string{
		`of × \[98 %\]`,
		`(?m)^  epoll edge +5\.0\d \(1\.00×\) +baseline +\d+,\d+`,
		`(?m)^  epoll edge \(control\) .* no difference +\[\d.*\] +\d+,\d+`,
		`(?m)^  select +12\.\d \(2\.4\d×\) +worse +\[2\.\d+, 2\.\d+\] +\d+,\d+`,
		`(?m)^  goroutine +7\.0\d \(1\.4\d×\) +worse +\[1\.\d+, 1\.\d+\] +\d+,\d+`,
		`(?m)^  goroutine +70\d .* – +– +–$`, // memory, calls and switches are not known
		`(?m)^  goroutine .* 60 of 64 served +\d+,\d+`,
		`Under 2 loads, none needed less CPU a request than epoll edge; ` +
			`select and\s+goroutine \(under 1 of them\) needed more\.`,
		`The same model measured twice differed by up to \d\.\d %`,
		`Control: the same model twice differs by up to \d\.\d %`,
		`kqueue is not available here: linux has none`,
		`Loopback hides`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("nothing matches %s in\n%s", pattern, text)
		}
	}
	fits(t, text)
}

// fits checks that no line is wider than a terminal of 80 columns.
func fits(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestTooFewRounds: two rounds are shown with the confidence that they have, and judged by nobody.
func TestTooFewRounds(t *testing.T) {
	var b bytes.Buffer
	if err := (Report{crafted(1, 2, 1)}).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"[50 %]", "too few rounds", "No verdict is given: an interval of 2 rounds has 50 % " +
		"confidence"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for _, never := range []string{"worse", "better", "no difference ", "95 %"} {
		if strings.Contains(text, never) {
			t.Errorf("it says %q:\n%s", never, text)
		}
	}
}

// TestTooNoisy: beside a control that differs from the baseline many times over, and where there was no
// answer, the text says so in words and not in per cent.
func TestTooNoisy(t *testing.T) {
	r := crafted(1, 7, 1)
	for i := range 4 {
		*r.Cells[0].Rows[1].Samples[i].CPU *= 120
	}
	r.Cells[1].Rows[2].Samples[0].Requests = 0
	r.Sum()
	var b bytes.Buffer
	if err := (Report{r}).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for i := range r.Cells {
		r.Cells[i].Rows[1] = crafted(1, 7, 1).Cells[0].Rows[1]
		*r.Cells[i].Rows[1].Samples[3].CPU *= 120
	}
	r.Sum()
	if line := trust(r); !strings.HasPrefix(line, "It was too noisy: under every load") {
		t.Error(line)
	}
	if !strings.Contains(text, "Too noisy to say: the same model twice differs by more than 50 %.") ||
		strings.Count(text, "too noisy to say\n")+strings.Count(text, "too noisy to say ") < 4 {
		t.Errorf("\n%s", text)
	}
	if found := regexp.MustCompile(`\d{3,}\.\d %`).FindString(text); found != "" {
		t.Errorf("it says %s:\n%s", found, text)
	}
}

// TestFolder: the page needs nothing but itself, and every chart is a file too.
func TestFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	if err := experiment.Prepare(folder); err != nil {
		t.Fatal(err)
	}
	if err := (Report{crafted(1, 7, 1)}).WriteFolder(folder); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(folder, pageFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "src=", "@import", "url(", "https://"} {
		if strings.Contains(string(page), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for _, want := range []string{"What the words mean", "Under 2 loads, ", `class="base"></span>baseline`,
		"prefers-color-scheme:dark", "evhttpd bench &lt;x&gt;", "A note &amp; more.", "This &amp; that.", "A " +
			"paper.", "<svg"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	charts, err := filepath.Glob(filepath.Join(folder, "*.svg"))
	if err != nil || len(charts) != 2+2*3 { // two against idle connections, three a cell
		t.Errorf("charts %v, %v", charts, err)
	}
	if n := strings.Count(string(page), "<svg"); n != len(charts) {
		t.Errorf("%d charts in the page, %d files", n, len(charts))
	}
	for _, name := range charts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(bytes.NewReader(text)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
	for _, name := range []string{experiment.JSONFile, experiment.CSVFile, benchstatFile, experiment.TextFile} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := results.Read(filepath.Join(folder, experiment.JSONFile)); err != nil {
		t.Error(err)
	}
}

// TestPrepareRefusesOtherFolders: nothing that is no report is written into, and a report is replaced.
func TestPrepareRefusesOtherFolders(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := experiment.Prepare(folder); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Error(err)
	}
	report := t.TempDir()
	for range 2 {
		if err := experiment.Prepare(report); err != nil {
			t.Fatal(err)
		}
		if err := (Report{crafted(1, 7, 1)}).WriteFolder(report); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPrepareFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := experiment.Prepare(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}

func TestComparison(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after *results.Results
		want          []string
		not           []string
	}{
		{"the same twice", crafted(1, 7, 1), crafted(1, 7, 1), []string{"No difference in"}, []string{"better", "worse",
			"The machines"}},
		{"half the cost of select", crafted(1, 7, 1), crafted(2, 7, 0.5),
			[]string{`(?m)^  select\n.*\n    server CPU a request \(µs\) .* -\d\d\.\d % +0\.001  better$`,
				`(?m)^ +requests/s .* \+\d+\.\d % +0\.001  better$`}, []string{"worse"}},
		{"twice the cost", crafted(1, 7, 1), crafted(2, 7, 2), []string{`(?m)^    server CPU a request .* worse$`},
			[]string{"better"}},
		{"too few rounds", crafted(1, 5, 1), crafted(2, 5, 2), []string{"too few rounds", "needs 6 rounds"},
			[]string{"worse", "better"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteComparison(&b, c.before, c.after); err != nil {
				t.Fatal(err)
			}
			for _, pattern := range c.want {
				if !regexp.MustCompile(pattern).MatchString(b.String()) {
					t.Errorf("nothing matches %s in\n%s", pattern, b.String())
				}
			}
			for _, text := range c.not {
				if strings.Contains(b.String(), text) {
					t.Errorf("it says %q:\n%s", text, b.String())
				}
			}
			fits(t, b.String())
		})
	}
}

func TestComparisonOfDifferentThings(t *testing.T) {
	a, b := crafted(1, 7, 1), crafted(2, 7, 1)
	b.Machine.Kernel = "another"
	b.Cells = b.Cells[:1]
	b.Cells[0].Rows, b.Subjects = b.Cells[0].Rows[:3], b.Subjects[:3]
	var out bytes.Buffer
	if err := WriteComparison(&out, a, b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"differ in: Kernel.", "Only A has idle: many.", "only A has goroutine."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	b.Cells[0].Name = "elsewhere"
	if err := WriteComparison(io.Discard, a, b); err == nil {
		t.Error("two without anything in common are compared")
	}
}
