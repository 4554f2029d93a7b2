package admin

// Snapshot is what a server has counted up to one moment. All but the fields
// that say "now" only grow. A map's keys become the values of a label.
type Snapshot struct {
	Model   string `json:"model"`
	Trigger string `json:"trigger"` // empty: the model has no choice

	Requests map[string]uint64 `json:"requests"` // answered, by class of status: 2xx
	Latency  Histogram         `json:"latency"`

	Connections      map[string]uint64 `json:"connections"`       // now, by what they are doing
	ConnectionsLimit int               `json:"connections_limit"` // now; 0: none
	Accepted         uint64            `json:"accepted"`
	Refused          uint64            `json:"refused"`
	RefusedClient    uint64            `json:"refused_client"`
	Evicted          uint64            `json:"evicted"`
	Relieved         uint64            `json:"relieved"`
	AcceptErrors     uint64            `json:"accept_errors"`
	Timeouts         map[string]uint64 `json:"timeouts"` // by what took too long

	BuffersBytes int64 `json:"buffers_bytes"`       // now: the memory that connections hold
	BuffersLimit int64 `json:"buffers_limit_bytes"` // now

	ReceivedBytes uint64            `json:"received_bytes"`
	SentBytes     map[string]uint64 `json:"sent_bytes"` // by where they came from: copy, memory, sendfile

	// Calls has null for a call that others make for the model, and whose number is not known.
	Calls          map[string]*uint64 `json:"system_calls"`
	CallsAgain     map[string]*uint64 `json:"system_calls_again"` // those that would have had to wait
	RingOperations *uint64            `json:"ring_operations"`    // nil: the model has no ring
	Overflows      *uint64            `json:"signal_queue_overflows"`

	RestingListeners int `json:"resting_listeners"` // now: those that are left alone for a while, after an error

	Loops       int       `json:"loops"`        // now; 0: the model has none
	SilentLoops int       `json:"silent_loops"` // now: those that did not answer in time
	Waits       uint64    `json:"loop_waits"`
	Events      uint64    `json:"loop_events"`
	Batch       Histogram `json:"loop_batch"`
	Lateness    Histogram `json:"timer_lateness"`

	JobsSubmitted uint64 `json:"jobs_submitted"`
	JobsRefused   uint64 `json:"jobs_refused"`
	JobsDropped   uint64 `json:"jobs_dropped"`
	JobsInFlight  uint64 `json:"jobs_in_flight"` // now

	CacheLookups     map[string]uint64 `json:"cache_lookups"`     // by result: hit, miss, revalidation
	CacheBytes       int64             `json:"cache_bytes"`       // now
	CacheEntries     int               `json:"cache_entries"`     // now
	CacheDescriptors int               `json:"cache_descriptors"` // now

	AccessLinesDropped uint64 `json:"access_log_lines_dropped"`
	EventsDropped      uint64 `json:"events_dropped"`
	EventsSuppressed   uint64 `json:"events_suppressed"`

	Reloads          map[string]uint64 `json:"reloads"`            // by result: success, failure
	LastReloadFailed bool              `json:"last_reload_failed"` // now
}

// Histogram counts durations.
type Histogram struct {
	Bounds []float64 `json:"bounds"` // of the buckets, in seconds, the longest that each counts; there is one more bucket, for what is longer
	Counts []uint64  `json:"counts"` // of the buckets
	Sum    float64   `json:"sum"`    // seconds
}

// Total is how many durations were counted.
func (h *Histogram) Total() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}
