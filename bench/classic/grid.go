package classic

import (
	"slices"

	"github.com/evhttpd/evhttpd/bench/stats"
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
	Samples   []Sample   `json:"samples"`
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
	// Alone: it is not compared with the first subject's.
	Alone bool `json:"alone,omitempty"`
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
	stats.Estimate
	// Ratio is to the first subject's figure of the same round; nil where there is none.
	Ratio *stats.Estimate `json:"ratio,omitempty"`
	// Verdict is what may be said of Ratio; empty: nothing.
	Verdict stats.Verdict `json:"verdict,omitempty"`
}

// Counted returns count as a point: 1000 is named 1,000.
func Counted(count int) Point { return Point{Name: text.Thousands(count), X: float64(count)} }

// Add keeps a sample.
func (g *Grid) Add(round, point, subject int, values map[string]float64) {
	g.Samples = append(g.Samples, Sample{Round: round + 1, Point: point, Subject: subject, Values: values})
}

// keep drops the samples of all rounds but the first so many.
func (g *Grid) keep(rounds int) {
	g.Samples = slices.DeleteFunc(g.Samples, func(s Sample) bool { return s.Round > rounds })
}

// Figure is what the rounds say of a metric; false without a sample of it.
func (g *Grid) Figure(point, subject int, metric string) (f Figure, ok bool) {
	var values []float64
	for _, s := range g.Samples {
		if v, has := s.Values[metric]; has && s.Point == point && s.Subject == subject {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return f, false
	}
	f = Figure{Point: point, Subject: subject, Metric: metric, Estimate: stats.Of(values)}
	if g.alone(metric) || subject == 0 {
		return f, true
	}
	if f.Ratio = g.ratio(point, subject, metric); f.Ratio != nil && !g.Subjects[subject].Control {
		f.Verdict = g.verdict(point, metric, f.Ratio)
	}
	return f, true
}

func (g *Grid) alone(metric string) bool {
	for _, m := range g.Metrics {
		if m.Key == metric {
			return m.Alone
		}
	}
	return true
}

// ratio is of two measurements of the same round each, so that a machine that becomes slower in between changes
// figures and no ratios.
func (g *Grid) ratio(point, subject int, metric string) *stats.Estimate {
	base := make(map[int]float64)
	for _, s := range g.Samples {
		if v := s.Values[metric]; s.Point == point && s.Subject == 0 && v > 0 {
			base[s.Round] = v
		}
	}
	var ratios []float64
	for _, s := range g.Samples {
		if v, has := s.Values[metric]; has && v > 0 && s.Point == point && s.Subject == subject && base[s.Round] > 0 {
			ratios = append(ratios, v/base[s.Round])
		}
	}
	if len(ratios) == 0 {
		return nil
	}
	e := stats.Of(ratios)
	return &e
}

// verdict calls nothing a difference that is not greater than what the control differs by at the same point.
func (g *Grid) verdict(point int, metric string, ratio *stats.Estimate) stats.Verdict {
	for subject := range g.Subjects {
		if !g.Subjects[subject].Control {
			continue
		}
		if control := g.ratio(point, subject, metric); control != nil {
			return ratio.Beside(control.Band())
		}
		return ""
	}
	return "" // without a control nothing can be said
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
