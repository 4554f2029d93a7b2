package experiment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/text"
)

// Files of a folder of results, beside the charts.
const (
	JSONFile = "results.json"
	CSVFile  = "results.csv"
	TextFile = "table.txt"
)

// Chart is a drawing (package chart), and the file of its own.
type Chart struct {
	File string
	SVG  string
}

// File is a file of that name, and what writes it.
type File struct {
	Name  string
	Write func(io.Writer) error
}

// Prepare makes the folder for results and sees that it can be written, before there are any. A folder that has
// something else in it than results, which the new ones replace, is refused.
func Prepare(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if len(there) > 0 && !hasResults(folder) {
		return fmt.Errorf("--out %s: there is something else than a report in it (%s): give a new folder, or an empty "+
			"one", folder, there[0].Name())
	}
	probe, err := os.CreateTemp(folder, ".probe-")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// hasResults reports whether a folder has the results of a comparison or of an experiment in it.
func hasResults(folder string) bool {
	content, err := os.ReadFile(filepath.Join(folder, JSONFile))
	if err != nil {
		return false
	}
	var r struct {
		Version int
		Took    *int64 `json:"took_ns"`
	}
	return json.Unmarshal(content, &r) == nil && r.Version > 0 && r.Took != nil
}

// WriteFolder writes charts and files into a folder that there is. Files of these names are replaced.
func WriteFolder(folder string, charts []Chart, files ...File) error {
	for _, c := range charts {
		write := func(w io.Writer) error {
			_, err := io.WriteString(w, chart.File(c.SVG))
			return err
		}
		files = append(files, File{c.File, write})
	}
	for _, f := range files {
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, f.Name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Written says what there is in the folder now, in lines of a terminal without the last one's end.
func Written(folder string, charts []Chart, files ...string) string {
	var names []string
	for _, c := range charts {
		names = append(names, c.File)
	}
	var b strings.Builder
	text.Wrap(&b, fmt.Sprintf("Written to %s: %s.", folder, strings.Join(append(names, files...), ", ")))
	return strings.TrimSuffix(b.String(), "\n")
}

// WriteJSON writes one value for programs and people.
func WriteJSON(w io.Writer, value any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", " ")
	out.SetEscapeHTML(false)
	return out.Encode(value)
}

// FormatCSV writes a number with the digits that a measurement has.
func FormatCSV(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }
