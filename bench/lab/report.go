package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/text"
)

// Times of the small requests, in nanoseconds as JSON. A request's time counts
// from when it was due.
type Times struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// Row is what a case showed, all rounds together.
type Row struct {
	Case
	Small Times `json:"small"`
	// SmallRate is how many answers/s the small requests got, of Report.SmallRate.
	SmallRate float64 `json:"small_requests_per_second"`
	// Never is how many had no answer even seconds after the end; their times count as far as they had waited.
	Never int64 `json:"small_never_answered"`
	// ClientLag is how late at worst the client itself began a request: a part of the times.
	ClientLag time.Duration `json:"client_lag_max_ns"`
	// GreedyRate is the greedy client's answers/s, DownloadRate the download's bytes/s.
	GreedyRate   float64 `json:"greedy_requests_per_second"`
	DownloadRate float64 `json:"download_bytes_per_second"`
	Rounds       []Times `json:"rounds"`

	histogram *hdrhistogram.Histogram
	window    time.Duration
	small     int64 // answers
	greedy    int64 // answers
	bytes     int64 // of the download
}

// Report is what [Starve] found: a row for each of [Cases], in their order.
type Report struct {
	Duration  time.Duration `json:"duration_ns"` // of a case in a round
	Rounds    int           `json:"rounds"`
	SmallRate float64       `json:"small_requests_per_second"`
	Rows      []Row         `json:"rows"`
	// LevelCure and EdgeCure are by what the budget divides the small requests' p99.
	LevelCure float64 `json:"level_p99_ratio"`
	EdgeCure  float64 `json:"edge_p99_ratio"`
	// Saturated says that the client used its CPU up in some run, so that times may be its own.
	Saturated bool `json:"client_saturated"`
}

func newReport(cases []Case, o *Options) *Report {
	r := &Report{Duration: o.Duration, Rounds: o.Rounds, SmallRate: smallRate, Rows: make([]Row, len(cases))}
	for i, c := range cases {
		r.Rows[i].Case = c
	}
	return r
}

// add counts one measurement of case i.
func (r *Report) add(i int, result *load.Result) {
	row := &r.Rows[i]
	row.window += result.Window
	r.Saturated = r.Saturated || result.Saturated()
	for n := range result.Roles {
		role := &result.Roles[n]
		switch role.Name {
		case roleSmall:
			row.addSmall(role)
		case roleGreedy:
			row.greedy += role.Completed
		case roleDownload:
			row.bytes += role.Bytes
		}
	}
}

func (row *Row) addSmall(role *load.RoleResult) {
	l := &role.Latency
	row.Rounds = append(row.Rounds, Times{P50: l.P50, P99: l.P99, Max: l.Max})
	row.small += role.Completed
	row.ClientLag = max(row.ClientLag, role.LagMax)
	row.Never += role.Unanswered + role.Unsent
	if row.histogram == nil {
		row.histogram = l.Histogram
	} else {
		row.histogram.Merge(l.Histogram)
	}
}

// sum takes from what was counted what is shown.
func (r *Report) sum() {
	for i := range r.Rows {
		row := &r.Rows[i]
		at := func(percentile float64) time.Duration {
			return time.Duration(row.histogram.ValueAtPercentile(percentile))
		}
		row.Small = Times{P50: at(50), P99: at(99), Max: time.Duration(row.histogram.Max())}
		row.SmallRate = float64(row.small) / row.window.Seconds()
		row.GreedyRate = float64(row.greedy) / row.window.Seconds()
		row.DownloadRate = float64(row.bytes) / row.window.Seconds()
	}
	r.LevelCure, r.EdgeCure = r.cure("level"), r.cure("edge")
}

// row returns the row of a case with the greedy client.
func (r *Report) row(trigger string, budget bool) *Row {
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Greedy && row.Trigger == trigger && row.Budget == budget {
			return row
		}
	}
	panic("lab: Cases lacks " + trigger)
}

func (r *Report) cure(trigger string) float64 {
	return times(r.row(trigger, false).Small.P99, r.row(trigger, true).Small.P99)
}

// times is how many times b is in a.
func times(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteText writes the report as a table and a paragraph.
func (r *Report) WriteText(w io.Writer) error {
	const layout = "%-17s %8s %8s %8s %8s %7s %8s %8s\n"
	var b strings.Builder
	text.Wrap(&b, fmt.Sprintf("One loop, and %.0f small requests/s on %d connections, timed from when each was due: alone (quiet), and beside "+
		"a connection that pipelines without end and a download of %d MiB.", smallRate, smallConnections, downloadSize>>20))
	fmt.Fprintf(&b, "%s of %v for each case.\n\n", text.Count(r.Rounds, "round"), r.Duration)
	fmt.Fprintf(&b, layout, "", "p50", "p99", "max", "p99", "small", "greedy", "download")
	fmt.Fprintf(&b, layout, "small requests", "ms", "ms", "ms", "× quiet", "req/s", "req/s", "MB/s")
	quiet := r.Rows[0].Small.P99
	for i := range r.Rows {
		row := &r.Rows[i]
		greedy, download := "–", "–"
		if row.Greedy {
			greedy, download = fmt.Sprintf("%.0f", row.GreedyRate), fmt.Sprintf("%.0f", row.DownloadRate/1e6)
		}
		fmt.Fprintf(&b, layout, row.Name, millis(row.Small.P50), millis(row.Small.P99), millis(row.Small.Max),
			factor(times(row.Small.P99, quiet)), fmt.Sprintf("%.0f", row.SmallRate), greedy, download)
	}
	b.WriteString("\n" + r.explanation())
	_, err := io.WriteString(w, b.String())
	return err
}

// explanation says what the table shows.
func (r *Report) explanation() string {
	var b strings.Builder
	text.Wrap(&b, fmt.Sprintf(`The budget divides the small requests' p99 by %s with the edge trigger, and by %s with
the level trigger. Without it a connection is served until its socket is empty, or full.
A client that keeps it from ever becoming either makes all others wait until it pauses: how
long is up to the client, and here to the length of a run. An edge-triggered loop may not
stop earlier unless it remembers whom it left, since no second event comes. A level trigger
would tell it again, but does not help a loop that drains its sockets, as this one does.
The budget is that memory: after %d requests or %d KiB a connection goes to the back of a
queue, and the others have their turn.`, factor(r.EdgeCure), factor(r.LevelCure), turnRequests, turnBytes>>10))
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Never > 0 {
			text.Wrap(&b, fmt.Sprintf("%s: %s had no answer even %v after the end; it counts as the time it had waited.",
				row.Name, text.Count(int(row.Never), "request"), drainMax))
		}
	}
	if r.Saturated {
		b.WriteString("The client used its CPU up: a part of these times is its own.\n")
	}
	return b.String()
}

// millis writes a time in milliseconds with three significant digits or so.
func millis(d time.Duration) string {
	ms := float64(d) / 1e6
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return fmt.Sprintf("%.0f", ms)
	}
}

func factor(f float64) string {
	if f < 10 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}
