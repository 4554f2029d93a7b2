package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/results"
)

// Files of a report's folder, beside the charts.
const (
	pageFile      = "index.html"
	jsonFile      = "results.json"
	csvFile       = "results.csv"
	benchstatFile = "benchstat.txt"
	textFile      = "table.txt"
)

// Prepare makes the folder for a report and sees that it can be written, before there is one. A folder that has
// something else in it than a report, which the new one replaces, is refused.
func Prepare(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if len(there) > 0 && !isReport(folder) {
		return fmt.Errorf("--out %s: there is something else than a report in it (%s): give a new folder, or an empty one", folder, there[0].Name())
	}
	probe, err := os.CreateTemp(folder, ".probe-")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// isReport reports whether a folder has the results of a comparison or of an experiment in it.
func isReport(folder string) bool {
	content, err := os.ReadFile(filepath.Join(folder, jsonFile))
	if err != nil {
		return false
	}
	var r struct {
		Version int
		Took    *int64 `json:"took_ns"`
	}
	return json.Unmarshal(content, &r) == nil && r.Version > 0 && r.Took != nil
}

// Written says what there is in the folder now.
func Written(folder string) string {
	return fmt.Sprintf("Written to %s: %s (open it in a browser), the charts as SVG, %s, %s, %s, %s.",
		folder, pageFile, jsonFile, csvFile, benchstatFile, textFile)
}

// WriteFolder writes the whole report: files of these names are replaced.
func WriteFolder(folder string, r *results.Results) error {
	figures := Figures(r)
	for _, f := range figures {
		if err := os.WriteFile(filepath.Join(folder, f.File), []byte(chart.File(f.SVG)), 0o644); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{pageFile, func(w io.Writer) error { return writePage(w, r, figures) }},
		{jsonFile, r.WriteJSON},
		{csvFile, r.WriteCSV},
		{benchstatFile, r.WriteBenchstat},
		{textFile, func(w io.Writer) error { return WriteText(w, r) }},
	} {
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
