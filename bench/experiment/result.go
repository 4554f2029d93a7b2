package experiment

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"
)

// ResultVersion is that of the form of an experiment's results.json.
const ResultVersion = 1

// Result is what an experiment found.
type Result struct {
	Head
	Name     string        `json:"classic"`
	Shows    string        `json:"shows"`
	Source   string        `json:"source"`
	Rounds   int           `json:"rounds"`
	Duration time.Duration `json:"duration_ns"` // of one measurement
	Grids    []*Grid       `json:"grids"`
	// Tables are further ones, made by the experiment itself.
	Tables []Table `json:"tables,omitempty"`
	Charts []Chart `json:"-"`
}

// Table is text in columns; the first is flush left, the others right.
type Table struct {
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// WriteFolder writes everything into a folder that there is: files of these names are replaced.
func (r *Result) WriteFolder(folder string) error {
	return WriteFolder(folder, r.Charts, File{JSONFile, r.WriteJSON}, File{CSVFile, r.WriteCSV}, File{TextFile,
		r.WriteText})
}

// Written says what there is in the folder now.
func (r *Result) Written(folder string) string {
	return Written(folder, r.Charts, JSONFile, CSVFile, TextFile)
}

// WriteJSON writes everything but the charts.
func (r *Result) WriteJSON(w io.Writer) error {
	for _, g := range r.Grids {
		g.Sum()
	}
	return WriteJSON(w, r)
}

// WriteCSV writes a line for each value measured (RFC 4180).
func (r *Result) WriteCSV(w io.Writer) error {
	lines := [][]string{{"classic", "grid", "axis", "point", "subject", "control", "round", "metric", "unit", "value"}}
	for _, g := range r.Grids {
		for i := range g.Samples {
			s := &g.Samples[i]
			subject := g.Subjects[s.Subject]
			for _, m := range g.Metrics {
				if v, ok := s.Values[m.Key]; ok {
					lines = append(lines, []string{r.Name, g.Name, g.Axis, g.Points[s.Point].Name, subject.Name,
						strconv.FormatBool(subject.Control), strconv.Itoa(s.Round), m.Key, m.Unit, FormatCSV(v)})
				}
			}
		}
	}
	return csv.NewWriter(w).WriteAll(lines)
}
