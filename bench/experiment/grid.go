package experiment

import (
	"slices"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/text"
)

// Grid holds what was measured of every subject at every point, once a round.
type Grid struct {
	Name   string  `json:"name"` // in the CSV, and of a grid's charts
	Title  string  `json:"title"`
	Axis   string  `json:"axis"` // what the points differ by
	Points []Point `json:"points"`
	// Subjects are compared with the first. One of them is its control: the first once more.
	Subjects  []Subject  `json:"subjects"`
	Metrics   []Metric   `json:"metrics"`
	Originals []Original `json:"originals,omitempty"`
	// Wide has the metrics as columns of one table: the grid has one point.
	Wide    bool     `json:"-"`
	Samples []Sample `json:"samples"`
	// Figures are summed up from the samples when results are written.
	Figures []Figure `json:"figures"`
}

// Point is one place on a grid's axis.
type Point struct {
	Name string  `json:"name"`
	X    float64 `json:"x"`
}

// Subject is one that is compared.
type Subject struct {
	Name    string `json:"name"`
	Control bool   `json:"control,omitempty"`
}

// Metric is something that is measured.
type Metric struct {
	Key  string `json:"key"`
	Name string `json:"name"` // as it follows the grid's title, with its unit
	Unit string `json:"unit"`
	// Unpaired metrics are not compared with the first subject's.
	Unpaired bool `json:"alone,omitempty"`
}

// Original is what was published of a subject: a value for each point, 0 where there is none.
type Original struct {
	Name    string    `json:"name"`
	Subject string    `json:"subject"` // beneath whose row it stands
	Metric  string    `json:"metric"`
	Values  []float64 `json:"values"`
}

// Sample is one measurement; what is not known is not in Values, which go by the metrics' keys.
type Sample struct {
	Round   int                `json:"round"`
	Point   int                `json:"point"`
	Subject int                `json:"subject"`
	Values  map[string]float64 `json:"values"`
}

// Figure is what the rounds say of a metric.
type Figure struct {
	Point   int    `json:"point"`
	Subject int    `json:"subject"`
	Metric  string `json:"metric"`
	Judged         // beside the first subject
}

// Counted returns counts as points: 1000 is named 1,000.
func Counted(counts ...int) (points []Point) {
	for _, n := range counts {
		points = append(points, Point{Name: text.Thousands(n), X: float64(n)})
	}
	return points
}

// Add keeps a sample.
func (g *Grid) Add(round, point, subject int, values map[string]float64) {
	g.Samples = append(g.Samples, Sample{Round: round + 1, Point: point, Subject: subject, Values: values})
}

// Keep drops the samples of all rounds but the first so many.
func (g *Grid) Keep(rounds int) {
	g.Samples = slices.DeleteFunc(g.Samples, func(s Sample) bool { return s.Round > rounds })
}

// Figure is what the rounds say of a metric; false without a sample of it.
func (g *Grid) Figure(point, subject int, metric string) (f Figure, ok bool) {
	series := g.series(point, subject, metric)
	if len(series) == 0 {
		return f, false
	}
	var baseline, control Series
	if subject > 0 && slices.ContainsFunc(g.Metrics, func(m Metric) bool { return m.Key == metric && !m.Unpaired }) {
		baseline = g.series(point, 0, metric)
		i := slices.IndexFunc(g.Subjects, func(s Subject) bool { return s.Control })
		if i >= 0 && i != subject {
			control = g.series(point, i, metric)
		}
	}
	return Figure{point, subject, metric, series.Judge(baseline, control)}, true
}

// series is what was measured of a metric of one subject at one point.
func (g *Grid) series(point, subject int, metric string) Series {
	series := make(Series)
	for _, s := range g.Samples {
		if v, has := s.Values[metric]; has && s.Point == point && s.Subject == subject {
			series[s.Round] = v
		}
	}
	return series
}

// Line is a subject's medians against the points, for a chart with logarithmic axes.
func (g *Grid) Line(name string, subject int, metric string) chart.Line {
	line := chart.Line{Name: name}
	for p, point := range g.Points {
		if f, ok := g.Figure(p, subject, metric); ok && f.Median > 0 {
			line.Points = append(line.Points, chart.Point{X: point.X, Y: f.Median})
		}
	}
	return line
}

// Lines are those of all subjects but the control.
func (g *Grid) Lines(metric string) (lines []chart.Line) {
	for i, s := range g.Subjects {
		if !s.Control {
			lines = append(lines, g.Line(s.Name, i, metric))
		}
	}
	return lines
}

// Sum fills Figures in.
func (g *Grid) Sum() {
	g.Figures = []Figure{}
	for point := range g.Points {
		for subject := range g.Subjects {
			for _, m := range g.Metrics {
				if f, ok := g.Figure(point, subject, m.Key); ok {
					g.Figures = append(g.Figures, f)
				}
			}
		}
	}
}
