package classic

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/machine"
)

// resultVersion is that of the form of results.json.
const resultVersion = 1

// Result is what an experiment found.
type Result struct {
	Version  int                 `json:"version"`
	Name     string              `json:"classic"`
	Shows    string              `json:"shows"`
	Source   string              `json:"source"`
	Command  string              `json:"command"`
	Began    time.Time           `json:"began"`
	Took     time.Duration       `json:"took_ns"`
	Rounds   int                 `json:"rounds"`
	Duration time.Duration       `json:"duration_ns"` // of one measurement
	Machine  machine.Fingerprint `json:"machine"`
	Grids    []*Grid             `json:"grids"`
	// Tables are further ones, made by the experiment itself.
	Tables []Table `json:"tables,omitempty"`
	// Notes are what must be known beside the figures, a sentence or more each.
	Notes  []string `json:"notes"`
	Charts []Chart  `json:"-"`
}

// Table is text in columns; the first is flush left, the others right.
type Table struct {
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// Chart is a drawing for a file of that name (bench/chart).
type Chart struct {
	File string
	SVG  string
}

// Files of the folder, beside the charts.
const (
	jsonFile = "results.json"
	csvFile  = "results.csv"
	textFile = "table.txt"
)

// WriteFolder writes everything into a folder that there is: files of these names are replaced.
func (r *Result) WriteFolder(folder string) error {
	for _, c := range r.Charts {
		if err := os.WriteFile(filepath.Join(folder, c.File), []byte(chart.File(c.SVG)), 0o644); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{{jsonFile, r.WriteJSON}, {csvFile, r.WriteCSV}, {textFile, r.WriteText}} {
		var b bytes.Buffer
		if err := f.write(&b); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, f.name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Written says what there is in the folder now.
func (r *Result) Written(folder string) string {
	var charts []string
	for _, c := range r.Charts {
		charts = append(charts, c.File)
	}
	return fmt.Sprintf("Written to %s: %s.", folder, strings.Join(append(charts, jsonFile, csvFile, textFile), ", "))
}

// WriteJSON writes everything but the charts.
func (r *Result) WriteJSON(w io.Writer) error {
	for _, g := range r.Grids {
		g.Sum()
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteCSV writes a line for each value measured (RFC 4180).
func (r *Result) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	// Errors stay with the writer until Error is asked for.
	_ = out.Write([]string{"classic", "grid", "axis", "point", "subject", "control", "round", "metric", "unit", "value"})
	for _, g := range r.Grids {
		for i := range g.Samples {
			s := &g.Samples[i]
			for _, m := range g.Metrics {
				if v, ok := s.Values[m.Key]; ok {
					_ = out.Write([]string{r.Name, g.Name, g.Axis, g.Points[s.Point].Name, g.Subjects[s.Subject].Name,
						strconv.FormatBool(g.Subjects[s.Subject].Control), strconv.Itoa(s.Round), m.Key, m.Unit, strconv.FormatFloat(v, 'g', 8, 64)})
				}
			}
		}
	}
	out.Flush()
	return out.Error()
}
