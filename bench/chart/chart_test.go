package chart

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wellFormed reads a chart as XML and returns how many of each element it has.
func wellFormed(t *testing.T, svg string) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return counts
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			counts[e.Name.Local]++
		}
		if text, ok := token.(xml.StartElement); ok {
			for _, a := range text.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s has %s=%q", text.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

func TestBars(t *testing.T) {
	svg := Bars("CPU <a> & b", "note", []Row{
		{Name: "epoll", Value: 5, Low: 4, High: 6, Class: "base", Text: "5"},
		{Name: "wide", Value: 5, Low: 0, High: math.Inf(1), Class: "same", Text: "5"},
		{Name: "unknown"},
	})
	counts := wellFormed(t, File(svg))
	if counts["rect"] != 3 || counts["style"] != 1 || counts["path"] != 2 { // page and two bars
		t.Errorf("%v in\n%s", counts, svg)
	}
	wellFormed(t, Bars("empty", "", nil))
}

// TestBarsBelowZero: a negative value has its bar, and an interval both of its ends, on either side of 0.
func TestBarsBelowZero(t *testing.T) {
	svg := Bars("saved", "", []Row{{Name: "a", Value: -2, Low: -4, High: 1, Class: "same", Text: "-2"},
		{Name: "b", Value: 8, Low: 6, High: 9, Class: "better", Text: "8"}})
	wellFormed(t, svg)
	var x, length, from, to float64
	bar, whisker := regexp.MustCompile(`class="same" x="([\d.]+)".* width="([\d.]+)"`),
		regexp.MustCompile(`class="whisker" fill="none" d="M([\d.]+) [\d.]+H([\d.]+)`)
	for _, m := range []struct {
		found []string
		into  []*float64
	}{{bar.FindStringSubmatch(svg), []*float64{&x, &length}}, {whisker.FindStringSubmatch(svg), []*float64{&from,
		&to}}} {
		if len(m.found) != 3 {
			t.Fatalf("%q in\n%s", m.found, svg)
		}
		for i, into := range m.into {
			if _, err := fmt.Sscan(m.found[i+1], into); err != nil {
				t.Fatal(err)
			}
		}
	}
	zero := x + length // where the bar of a negative value ends
	if scale := length / 2; math.Abs(from-(zero-4*scale)) > 0.2 || math.Abs(to-(zero+scale)) > 0.2 {
		t.Errorf("the bar is %v to %v, its interval %v to %v", x, zero, from, to)
	}
}

// TestIntervalsBeyondTheAxis: an end behind the axis is no cap, as if the interval ended there.
func TestIntervalsBeyondTheAxis(t *testing.T) {
	const cap, arrow = "v8", "l5 4l-5 4"
	within := Bars("", "", []Row{{Name: "a", Value: 5, Low: 4, High: 6, Text: "5"}})
	beyond := Bars("", "", []Row{{Name: "a", Value: 5, Low: 4, High: 600, Text: "5"}})
	if strings.Count(within, cap) != 2 || strings.Contains(within, arrow) {
		t.Errorf("within:\n%s", within)
	}
	if strings.Count(beyond, cap) != 1 || !strings.Contains(beyond, arrow) {
		t.Errorf("beyond:\n%s", beyond)
	}
}

func TestDotRowsLeaveOutTheUnknown(t *testing.T) {
	svg := DotRows("latency", "", []string{"p50", "p99"}, []Dots{{"a", []float64{10, 1000}}, {"b", []float64{0, 5}},
		{"c", []float64{0, 0}}})
	if counts := wellFormed(t, svg); counts["circle"] != 3+2 { // and the legend
		t.Errorf("%v in\n%s", counts, svg)
	}
	wellFormed(t, DotRows("empty", "", nil, nil))
}

// TestLinesHaveZero: no connections have a place on a logarithmic axis too.
func TestLinesHaveZero(t *testing.T) {
	svg := Lines("cost", "", "idle", []Line{{Name: "a", Points: []Point{{0, 5}, {100, 6}, {10000, 900}}},
		{Name: "b", Points: []Point{{0, 5}, {100, 5}}, Dashed: true}, {Name: "none"}})
	if counts := wellFormed(t, svg); counts["polyline"] != 2 || counts["circle"] != 5 || !strings.Contains(svg,
		">0</text>") || strings.Count(svg, `"line dashed"`) != 1 {
		t.Errorf("%v in\n%s", counts, svg)
	}
	wellFormed(t, Lines("empty", "", "", nil))
}

// TestDecades: each power of ten lies equally far from the next.
func TestDecades(t *testing.T) {
	a := decades(extent{low: 1, high: 100000})
	want := []float64{1, 10, 100, 1000, 10000, 100000}
	if len(a.ticks) != len(want) {
		t.Fatalf("%v", a.ticks)
	}
	for i := range want {
		if math.Abs(a.ticks[i]/want[i]-1) > 1e-9 {
			t.Errorf("tick %d is %v", i, a.ticks[i])
		}
		if i > 0 && math.Abs(a.at(want[i])-a.at(want[i-1])-(a.at(10)-a.at(1))) > 1e-9 {
			t.Errorf("%v is not as far from the one before", want[i])
		}
	}
	if few := decades(extent{low: 10, high: 80}).ticks; len(few) < 3 {
		t.Errorf("within a decade: %v", few)
	}
}

func TestLinearTicksAreFewAndRound(t *testing.T) {
	for _, most := range []float64{0.003, 1, 7.3, 99, 100, 12345, 9e6} {
		for _, least := range []float64{0, -most / 3, -2 * most} {
			a := linear(least, most)
			if n := len(a.ticks); n < 3 || n > 9 || !slices.Contains(a.ticks, 0) || a.low > least || a.top < most {
				t.Errorf("%v to %v: %+v", least, most, a)
			}
		}
	}
	for _, most := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if n := len(linear(0, most).ticks); n < 2 || n > 8 {
			t.Errorf("%v: %v", most, linear(0, most).ticks)
		}
	}
}

func TestSpreadKeepsLabelsApart(t *testing.T) {
	labels := []label{{name: "a", y: 50}, {name: "b", y: 49}, {name: "c", y: 51}, {name: "d", y: 100}}
	spread(labels, 0, 100)
	for i := 1; i < len(labels); i++ {
		if labels[i].y-labels[i-1].y < 14.9 {
			t.Errorf("%+v", labels)
		}
	}
	if labels[0].name != "b" || labels[3].y > 100 {
		t.Errorf("%+v", labels)
	}
}
