package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
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

func TestDotRowsLeaveOutTheUnknown(t *testing.T) {
	svg := DotRows("latency", "", []string{"p50", "p99"}, []Dots{{"a", []float64{10, 1000}}, {"b", []float64{0, 5}}, {"c", []float64{0, 0}}})
	if counts := wellFormed(t, svg); counts["circle"] != 3+2 { // and the legend
		t.Errorf("%v in\n%s", counts, svg)
	}
	wellFormed(t, DotRows("empty", "", nil, nil))
}

// TestLinesHaveZero: no connections have a place on a logarithmic axis too.
func TestLinesHaveZero(t *testing.T) {
	svg := Lines("cost", "", "idle", []Line{{Name: "a", Points: []Point{{0, 5}, {100, 6}, {10000, 900}}}, {Name: "b", Points: []Point{{0, 5}, {100, 5}}, Dashed: true}, {Name: "none"}})
	if counts := wellFormed(t, svg); counts["polyline"] != 2 || counts["circle"] != 5 || !strings.Contains(svg, ">0</text>") || strings.Count(svg, `"line dashed"`) != 1 {
		t.Errorf("%v in\n%s", counts, svg)
	}
	wellFormed(t, Lines("empty", "", "", nil))
}

// TestDecades: each power of ten lies equally far from the next.
func TestDecades(t *testing.T) {
	a := decades(1, 100000)
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
	if few := decades(10, 80).ticks; len(few) < 3 {
		t.Errorf("within a decade: %v", few)
	}
}

func TestLinearTicksAreFewAndRound(t *testing.T) {
	for _, most := range []float64{0.003, 1, 7.3, 99, 100, 12345, 9e6} {
		if n := len(linear(most).ticks); n < 3 || n > 8 {
			t.Errorf("%v: %v", most, linear(most).ticks)
		}
	}
	for _, most := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if n := len(linear(most).ticks); n < 2 || n > 8 {
			t.Errorf("%v: %v", most, linear(most).ticks)
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
