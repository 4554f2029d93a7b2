package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/evhttpd/evhttpd/conn"
)

// Types of metrics.
const (
	counter = prometheus.CounterValue // only grows
	gauge   = prometheus.GaugeValue   // is what holds now
	// histogram is of a value that is a *conn.Histogram. The client library has no such ValueType, and is not given
	// this one: collect goes by the value.
	histogram = prometheus.UntypedValue
)

// metric is a family of metrics. It is the one description of a number: how it is called in /metrics and in /status,
// what it means, and what it is.
type metric struct {
	name  string // in /metrics
	kind  prometheus.ValueType
	label string // the name of its only label; empty if it has none
	key   string // in /status
	// a number, a bool that is a failure, a *conn.Histogram, or labelled numbers; nil is a number that is not known,
	// and is missing in /metrics
	value any
	help  string
}

// labelled are numbers by the value of their label.
type labelled map[string]any

// metrics are those of a Snapshot: all but evhttpd_info and evhttpd_ready, in the order of docs/operations.md.
func metrics(s *Snapshot) []metric {
	return []metric{
		{"evhttpd_requests_total", counter, "class", "requests", byClass(&s.Requests),
			"Requests answered, by class of status; an answer that is cut short counts."},
		{"evhttpd_request_duration_seconds", histogram, "", "latency", &s.Latency,
			"Time from a request's first byte to its answer's end, on the clock of the loop's batches."},
		{"evhttpd_connections", gauge, "state", "connections", byPhase(&s.Connections),
			"Open connections by what they are doing."},
		{"evhttpd_connections_limit", gauge, "", "connections_limit", s.ConnectionsLimit,
			"Connections that may be open at a time (limits.connections); 0 is no limit."},
		{"evhttpd_connections_accepted_total", counter, "", "accepted", s.Accepted,
			"Connections accepted."},
		{"evhttpd_connections_refused_total", counter, "", "refused", s.Refused,
			"Connections over limits.connections, whose first request was answered 503."},
		{"evhttpd_connections_refused_client_total", counter, "", "refused_client", s.RefusedClient,
			"Connections over limits.connections_per_client: the first request was answered 503, or " +
				"they were closed at once."},
		{"evhttpd_connections_evicted_total", counter, "", "evicted", s.Evicted,
			"Connections closed to make room for new ones: idle, or slow to send a request."},
		{"evhttpd_connections_relieved_total", counter, "", "relieved", s.Relieved,
			"Connections closed for the memory that they held, to keep within limits.buffers."},
		{"evhttpd_buffers_bytes", gauge, "", "buffers_bytes", s.BuffersBytes,
			"Memory that connections hold: half requests, unsent answers, what is read ahead."},
		{"evhttpd_buffers_limit_bytes", gauge, "", "buffers_limit_bytes", s.BuffersLimit,
			"Memory that connections may hold (limits.buffers)."},
		{"evhttpd_accept_errors_total", counter, "", "accept_errors", s.AcceptErrors,
			"Errors of accepting a connection, such as for want of descriptors."},
		{"evhttpd_timeouts_total", counter, "state", "timeouts", byPhase(&s.Timeouts),
			"Timeouts by what the connection was doing."},
		{"evhttpd_received_bytes_total", counter, "", "received_bytes", s.Received,
			"Bytes received from clients."},
		{"evhttpd_sent_bytes_total", counter, "source", "sent_bytes",
			labelled{"copy": s.SentCopied, "memory": s.SentMemory, "sendfile": s.SentFile},
			"Bytes sent to clients: copied together to be sent, from where they are cached in memory, or by sendfile."},
		{"evhttpd_files_changed_total", counter, "", "files_changed", s.FilesChanged,
			"Answers cut short because their file was changed in place while it was sent."},
		{"evhttpd_system_calls_total", counter, "call", "system_calls", byCall(&s.Calls, s.Unknown),
			"System calls made for connections; those that the IO model leaves to others are not known and missing."},
		{"evhttpd_system_calls_again_total", counter, "call", "system_calls_again", byCall(&s.Again, s.Unknown),
			"System calls of those that would have had to wait (EAGAIN)."},
		{"evhttpd_ring_operations_total", counter, "", "ring_operations", of(s, "io_uring", s.Operations),
			"Operations given to io_uring."},
		{"evhttpd_signal_queue_overflows_total", counter, "", "signal_queue_overflows", of(s, "sigio", s.Overflows),
			"Overflows of the signal queue (io_model sigio), each of which costs a look at every descriptor."},
		{"evhttpd_listeners_resting", gauge, "", "resting_listeners", s.Resting,
			"Listeners that nobody accepts from for a while, after an error; each loop has its own."},
		{"evhttpd_loops", gauge, "", "loops", s.Loops,
			"Event loops; 0: the IO model has none."},
		{"evhttpd_loops_silent", gauge, "", "silent_loops", s.Silent,
			"Event loops that do not answer."},
		{"evhttpd_loop_waits_total", counter, "", "loop_waits", s.Waits,
			"Waits of event loops for events, those that do not block too."},
		{"evhttpd_loop_events_total", counter, "", "loop_events", s.Events,
			"Events that the waits gave."},
		{"evhttpd_loop_batch_duration_seconds", histogram, "", "loop_batch", &s.Batch,
			"Time from a wait's return to the end of what it gave to do: an event loop's lag."},
		{"evhttpd_timer_lateness_seconds", histogram, "", "timer_lateness", &s.Lateness,
			"Time from when a connection's timer was due to when it ran."},
		{"evhttpd_jobs_submitted_total", counter, "", "jobs_submitted", s.JobsSubmitted,
			"Work given to the worker pool: cold files, listings."},
		{"evhttpd_jobs_refused_total", counter, "", "jobs_refused", s.JobsRefused,
			"Work that the worker pool's queue had no room for: answered 503."},
		{"evhttpd_jobs_dropped_total", counter, "", "jobs_dropped", s.JobsDropped,
			"Work that nobody waited for any more: it was not begun, or not finished."},
		{"evhttpd_jobs_in_flight", gauge, "", "jobs_in_flight", s.JobsInFlight(),
			"Work that waits for a worker or is being done."},
		{"evhttpd_cache_lookups_total", counter, "result", "cache_lookups",
			labelled{"hit": s.CacheHits, "miss": s.CacheMisses, "revalidation": s.CacheLooks},
			"Paths looked up: hit without a look at the file, miss, or revalidation of what was known."},
		{"evhttpd_cache_bytes", gauge, "", "cache_bytes", s.CacheBytes,
			"Memory that the cache of files takes."},
		{"evhttpd_cache_entries", gauge, "", "cache_entries", s.CacheEntries,
			"Paths that the cache knows."},
		{"evhttpd_cache_descriptors", gauge, "", "cache_descriptors", s.CacheDescriptors,
			"Files that the cache keeps open."},
		{"evhttpd_access_log_lines_dropped_total", counter, "", "access_log_lines_dropped", s.AccessLinesDropped,
			"Access lines lost because their sink failed or was too slow."},
		{"evhttpd_events_dropped_total", counter, "", "events_dropped", s.EventsDropped,
			"Events lost because their sink failed or was too slow."},
		{"evhttpd_events_suppressed_total", counter, "", "events_suppressed", s.EventsSuppressed,
			"Events that were not told because others of their kind and cause were, within a minute."},
		{"evhttpd_reloads_total", counter, "result", "reloads",
			labelled{"success": s.Reloads, "failure": s.ReloadsFailed},
			"Reloads of the configuration: success, or failure, after which the old configuration goes on."},
		{"evhttpd_last_reload_successful", gauge, "", "last_reload_failed", s.LastReloadFailed,
			"1 if the configuration in force is the one that was last asked for, 0 if the last reload failed."},
	}
}

// byClass labels numbers with the class of a status. There is one that is in none, if it was met.
func byClass(counts *[6]uint64) labelled {
	all := labelled{}
	for class, n := range counts {
		if class > 0 || n > 0 {
			all[fmt.Sprintf("%dxx", class)] = n
		}
	}
	return all
}

func byPhase(counts *[conn.NumPhases]uint64) labelled {
	all := labelled{}
	for phase, n := range counts {
		all[conn.Phase(phase).String()] = n
	}
	return all
}

// byCall labels numbers with the call, and leaves those open that are not known.
func byCall(counts *[conn.NumCalls]uint64, unknown conn.CallSet) labelled {
	all := labelled{}
	for i, n := range counts {
		if call := conn.Call(i); unknown.Has(call) {
			all[call.String()] = nil
		} else {
			all[call.String()] = n
		}
	}
	return all
}

// of is a number that only one model has. It stays when a reload has replaced the model.
func of(s *Snapshot, model string, n uint64) any {
	if s.Model != model && n == 0 {
		return nil
	}
	return n
}

// MarshalJSON writes the counters of /status.
func (s *Snapshot) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"model":%q,"trigger":%q`, s.Model, s.Trigger)
	for _, m := range metrics(s) {
		v := m.value
		if h, ok := v.(*conn.Histogram); ok {
			v = describe(h)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		fmt.Fprintf(&b, `,%q:%s`, m.key, text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// durations is a histogram in /status.
type durations struct {
	Bounds []float64 `json:"bounds"` // the longest duration of each bucket but the last, in seconds
	Counts []uint64  `json:"counts"` // of each bucket
	Sum    float64   `json:"sum"`    // in seconds
}

func describe(h *conn.Histogram) durations {
	d := durations{Counts: h.Buckets[:], Sum: float64(h.Sum) / 1e9}
	for i := range conn.HistogramBuckets - 1 {
		d.Bounds = append(d.Bounds, conn.HistogramBound(i).Seconds())
	}
	return d
}

// collector makes a scrape's metrics of one Snapshot.
type collector struct{ options *Options }

// Describe implements prometheus.Collector. Each metric brings its description.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.options.Snapshot()
	to <- constant("evhttpd_ready", gauge, "1 if the server takes new clients, 0 if it starts or drains.",
		number(!c.options.Ready() || s.Resting > 0), nil)
	to <- constant("evhttpd_info", gauge, "The running server: its version, IO model and trigger, and 1.", 1,
		prometheus.Labels{"version": c.options.Version, "model": s.Model, "trigger": s.Trigger})
	for _, m := range metrics(s) {
		m.collect(to)
	}
}

// collect makes the metrics of a family.
func (m *metric) collect(to chan<- prometheus.Metric) {
	switch v := m.value.(type) {
	case nil:
	case labelled:
		for label, n := range v {
			if n != nil {
				to <- constant(m.name, m.kind, m.help, number(n), prometheus.Labels{m.label: label})
			}
		}
	case *conn.Histogram:
		buckets := make(map[float64]uint64, conn.HistogramBuckets)
		var below uint64
		for i, n := range v.Buckets[:conn.HistogramBuckets-1] {
			below += n
			buckets[conn.HistogramBound(i).Seconds()] = below
		}
		to <- prometheus.MustNewConstHistogram(prometheus.NewDesc(m.name, m.help, nil, nil), v.Count(),
			float64(v.Sum)/1e9, buckets)
	default:
		to <- constant(m.name, m.kind, m.help, number(v), nil)
	}
}

// constant is a metric that keeps its value.
func constant(
	name string, kind prometheus.ValueType, help string, v float64, labels prometheus.Labels,
) prometheus.Metric {
	return prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, labels), kind, v)
}

// number is a value as Prometheus has it: 1 is success.
func number(v any) float64 {
	if failed, ok := v.(bool); ok {
		if failed {
			return 0
		}
		return 1
	}
	return reflect.ValueOf(v).Convert(reflect.TypeFor[float64]()).Float()
}

// newRegistry returns the server's metrics beside those of the process and of Go.
func newRegistry(o *Options) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{o}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
