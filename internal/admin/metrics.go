package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metric is one metric family and where its values are in a Snapshot. One of
// the functions is set; values has one label, whose values are the keys. A nil value is left out.
type metric struct {
	name, help string
	label      string
	gauge      bool
	value      func(s *Snapshot) *float64
	values     func(s *Snapshot) map[string]*float64
	histogram  func(s *Snapshot) *Histogram
}

// The metrics, in the order of docs/operations.md.
var metrics = []metric{
	{name: "evhttpd_requests_total", label: "class",
		help:   "Requests answered, by class of status; an answer that is cut short counts.",
		values: func(s *Snapshot) map[string]*float64 { return counts(s.Requests) }},
	{name: "evhttpd_request_duration_seconds",
		help:      "Time from a request's first byte to its answer's end, on the clock of the loop's batches.",
		histogram: func(s *Snapshot) *Histogram { return &s.Latency }},
	{name: "evhttpd_connections", label: "state", gauge: true,
		help:   "Open connections by what they are doing.",
		values: func(s *Snapshot) map[string]*float64 { return counts(s.Connections) }},
	{name: "evhttpd_connections_limit", gauge: true,
		help:  "Connections that may be open at a time (limits.connections); 0 is no limit.",
		value: func(s *Snapshot) *float64 { return number(s.ConnectionsLimit) }},
	{name: "evhttpd_connections_accepted_total",
		help:  "Connections accepted.",
		value: func(s *Snapshot) *float64 { return number(s.Accepted) }},
	{name: "evhttpd_connections_refused_total",
		help:  "Connections over limits.connections, whose first request was answered 503.",
		value: func(s *Snapshot) *float64 { return number(s.Refused) }},
	{name: "evhttpd_connections_refused_client_total",
		help:  "Connections over limits.connections_per_client: the first request was answered 503, or they were closed at once.",
		value: func(s *Snapshot) *float64 { return number(s.RefusedClient) }},
	{name: "evhttpd_connections_evicted_total",
		help:  "Idle connections closed to make room for new ones.",
		value: func(s *Snapshot) *float64 { return number(s.Evicted) }},
	{name: "evhttpd_connections_relieved_total",
		help:  "Connections closed for the memory that they held, to keep within limits.buffers.",
		value: func(s *Snapshot) *float64 { return number(s.Relieved) }},
	{name: "evhttpd_buffers_bytes", gauge: true,
		help:  "Memory that connections hold: half requests, unsent answers, what is read ahead.",
		value: func(s *Snapshot) *float64 { return number(s.BuffersBytes) }},
	{name: "evhttpd_buffers_limit_bytes", gauge: true,
		help:  "Memory that connections may hold (limits.buffers).",
		value: func(s *Snapshot) *float64 { return number(s.BuffersLimit) }},
	{name: "evhttpd_accept_errors_total",
		help:  "Errors of accepting a connection, such as for want of descriptors.",
		value: func(s *Snapshot) *float64 { return number(s.AcceptErrors) }},
	{name: "evhttpd_timeouts_total", label: "state",
		help:   "Timeouts by what the connection was doing.",
		values: func(s *Snapshot) map[string]*float64 { return counts(s.Timeouts) }},
	{name: "evhttpd_received_bytes_total",
		help:  "Bytes received from clients.",
		value: func(s *Snapshot) *float64 { return number(s.ReceivedBytes) }},
	{name: "evhttpd_sent_bytes_total", label: "source",
		help:   "Bytes sent to clients: copied together to be sent, from where they are cached in memory, or by sendfile.",
		values: func(s *Snapshot) map[string]*float64 { return counts(s.SentBytes) }},
	{name: "evhttpd_system_calls_total", label: "call",
		help:   "System calls made for connections; those that the IO model leaves to others are not known and missing.",
		values: func(s *Snapshot) map[string]*float64 { return known(s.Calls) }},
	{name: "evhttpd_system_calls_again_total", label: "call",
		help:   "System calls of those that would have had to wait (EAGAIN).",
		values: func(s *Snapshot) map[string]*float64 { return known(s.CallsAgain) }},
	{name: "evhttpd_ring_operations_total",
		help:  "Operations given to io_uring.",
		value: func(s *Snapshot) *float64 { return maybe(s.RingOperations) }},
	{name: "evhttpd_signal_queue_overflows_total",
		help:  "Overflows of the signal queue (io_model sigio), each of which costs a look at every descriptor.",
		value: func(s *Snapshot) *float64 { return maybe(s.Overflows) }},
	{name: "evhttpd_listeners_resting", gauge: true,
		help:  "Listeners that nobody accepts from for a while, after an error; each loop has its own.",
		value: func(s *Snapshot) *float64 { return number(s.RestingListeners) }},
	{name: "evhttpd_loops", gauge: true,
		help:  "Event loops; 0: the IO model has none.",
		value: func(s *Snapshot) *float64 { return number(s.Loops) }},
	{name: "evhttpd_loops_silent", gauge: true,
		help:  "Event loops that do not answer.",
		value: func(s *Snapshot) *float64 { return number(s.SilentLoops) }},
	{name: "evhttpd_loop_waits_total",
		help:  "Waits of event loops for events, those that do not block too.",
		value: func(s *Snapshot) *float64 { return number(s.Waits) }},
	{name: "evhttpd_loop_events_total",
		help:  "Events that the waits gave.",
		value: func(s *Snapshot) *float64 { return number(s.Events) }},
	{name: "evhttpd_loop_batch_duration_seconds",
		help:      "Time from a wait's return to the end of what it gave to do: an event loop's lag.",
		histogram: func(s *Snapshot) *Histogram { return &s.Batch }},
	{name: "evhttpd_timer_lateness_seconds",
		help:      "Time from when a connection's timer was due to when it ran.",
		histogram: func(s *Snapshot) *Histogram { return &s.Lateness }},
	{name: "evhttpd_jobs_submitted_total",
		help:  "Work given to the worker pool: cold files, listings.",
		value: func(s *Snapshot) *float64 { return number(s.JobsSubmitted) }},
	{name: "evhttpd_jobs_refused_total",
		help:  "Work that the worker pool's queue had no room for: answered 503.",
		value: func(s *Snapshot) *float64 { return number(s.JobsRefused) }},
	{name: "evhttpd_jobs_dropped_total",
		help:  "Work that nobody waited for any more: it was not begun, or not finished.",
		value: func(s *Snapshot) *float64 { return number(s.JobsDropped) }},
	{name: "evhttpd_jobs_in_flight", gauge: true,
		help:  "Work that waits for a worker or is being done.",
		value: func(s *Snapshot) *float64 { return number(s.JobsInFlight) }},
	{name: "evhttpd_cache_lookups_total", label: "result",
		help:   "Paths looked up: hit without a look at the file, miss, or revalidation of what was known.",
		values: func(s *Snapshot) map[string]*float64 { return counts(s.CacheLookups) }},
	{name: "evhttpd_cache_bytes", gauge: true,
		help:  "Memory that the cache of files takes.",
		value: func(s *Snapshot) *float64 { return number(s.CacheBytes) }},
	{name: "evhttpd_cache_entries", gauge: true,
		help:  "Paths that the cache knows.",
		value: func(s *Snapshot) *float64 { return number(s.CacheEntries) }},
	{name: "evhttpd_cache_descriptors", gauge: true,
		help:  "Files that the cache keeps open.",
		value: func(s *Snapshot) *float64 { return number(s.CacheDescriptors) }},
	{name: "evhttpd_access_log_lines_dropped_total",
		help:  "Access lines lost because their sink failed or was too slow.",
		value: func(s *Snapshot) *float64 { return number(s.AccessLinesDropped) }},
	{name: "evhttpd_events_dropped_total",
		help:  "Events lost because their sink failed or was too slow.",
		value: func(s *Snapshot) *float64 { return number(s.EventsDropped) }},
	{name: "evhttpd_events_suppressed_total",
		help:  "Events that were not told because others of their kind and cause were, within a minute.",
		value: func(s *Snapshot) *float64 { return number(s.EventsSuppressed) }},
	{name: "evhttpd_reloads_total", label: "result",
		help:   "Reloads of the configuration: success, or failure, after which the old configuration goes on.",
		values: func(s *Snapshot) map[string]*float64 { return counts(s.Reloads) }},
	{name: "evhttpd_last_reload_successful", gauge: true,
		help: "1 if the configuration in force is the one that was last asked for, 0 if the last reload failed.",
		value: func(s *Snapshot) *float64 {
			if s.LastReloadFailed {
				return number(0)
			}
			return number(1)
		}},
}

func number[T int | int64 | uint64](n T) *float64 {
	f := float64(n)
	return &f
}

func maybe(n *uint64) *float64 {
	if n == nil {
		return nil
	}
	return number(*n)
}

func counts(m map[string]uint64) map[string]*float64 {
	all := make(map[string]*float64, len(m))
	for k, n := range m {
		all[k] = number(n)
	}
	return all
}

func known(m map[string]*uint64) map[string]*float64 {
	all := make(map[string]*float64, len(m))
	for k, n := range m {
		all[k] = maybe(n)
	}
	return all
}

// collector makes a scrape's metrics of one Snapshot.
type collector struct {
	options *Options
	info    *prometheus.Desc
	ready   *prometheus.Desc
	descs   []*prometheus.Desc // of metrics, in their order
}

func newCollector(o *Options) *collector {
	c := &collector{
		options: o,
		info: prometheus.NewDesc("evhttpd_info",
			"The running server: its version, IO model and trigger, and 1.", []string{"version", "model", "trigger"}, nil),
		ready: prometheus.NewDesc("evhttpd_ready", "1 if the server takes new clients, 0 if it starts or drains.", nil, nil),
	}
	for _, m := range metrics {
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.info
	to <- c.ready
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := c.options.Snapshot()
	ready := 0.0
	if c.options.Ready() && s.RestingListeners == 0 {
		ready = 1
	}
	to <- prometheus.MustNewConstMetric(c.ready, prometheus.GaugeValue, ready)
	to <- prometheus.MustNewConstMetric(c.info, prometheus.GaugeValue, 1, c.options.Version, s.Model, s.Trigger)
	for i := range metrics {
		metrics[i].collect(c.descs[i], s, to)
	}
}

func (m *metric) collect(desc *prometheus.Desc, s *Snapshot, to chan<- prometheus.Metric) {
	kind := prometheus.CounterValue
	if m.gauge {
		kind = prometheus.GaugeValue
	}
	switch {
	case m.value != nil:
		if v := m.value(s); v != nil {
			to <- prometheus.MustNewConstMetric(desc, kind, *v)
		}
	case m.values != nil:
		for label, v := range m.values(s) {
			if v != nil {
				to <- prometheus.MustNewConstMetric(desc, kind, *v, label)
			}
		}
	default:
		h := m.histogram(s)
		buckets := make(map[float64]uint64, len(h.Bounds))
		var below uint64
		for i, bound := range h.Bounds {
			below += h.Counts[i]
			buckets[bound] = below
		}
		to <- prometheus.MustNewConstHistogram(desc, h.Total(), h.Sum, buckets)
	}
}

// newRegistry returns the server's metrics beside those of the process and of Go.
func newRegistry(o *Options) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(o), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
