package report

import (
	"io"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/results"
)

// Files of a report's folder, beside those of every experiment.
const (
	pageFile      = "index.html"
	benchstatFile = "benchstat.txt"
)

// Report is a comparison, ready to be shown.
type Report struct{ *results.Results }

// resultFiles are those beside the page and its charts.
var resultFiles = []string{experiment.JSONFile, experiment.CSVFile, benchstatFile, experiment.TextFile}

// Written says what there is in the folder now.
func (r Report) Written(folder string) string {
	return experiment.Written(folder, nil, append([]string{pageFile + " (open it in a browser)", "the charts as SVG"},
		resultFiles...)...)
}

// WriteFolder writes the whole report into a folder that there is: files of these names are replaced.
func (r Report) WriteFolder(folder string) error {
	all := figures(r.Results)
	var charts []experiment.Chart
	for _, f := range all {
		charts = append(charts, f.Chart)
	}
	page := func(w io.Writer) error { return writePage(w, r.Results, all) }
	return experiment.WriteFolder(folder, charts,
		experiment.File{Name: pageFile, Write: page},
		experiment.File{Name: experiment.JSONFile, Write: r.WriteJSON},
		experiment.File{Name: experiment.CSVFile, Write: r.WriteCSV},
		experiment.File{Name: benchstatFile, Write: r.WriteBenchstat},
		experiment.File{Name: experiment.TextFile, Write: r.WriteText})
}
