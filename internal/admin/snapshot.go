package admin

import "github.com/evhttpd/evhttpd/conn"

// Snapshot is what a server has counted up to one moment. The table metrics says what each number means.
type Snapshot struct {
	conn.Counters
	Model   string
	Trigger string // empty if the model has no choice

	ConnectionsLimit   int // 0 is no limit
	BuffersBytes       int64
	BuffersLimit       int64
	CacheBytes         int64
	CacheEntries       int
	CacheDescriptors   int
	AccessLinesDropped uint64
	EventsDropped      uint64
	EventsSuppressed   uint64
	Reloads            uint64 // reloads that changed the configuration
	ReloadsFailed      uint64 // reloads that did not
	LastReloadFailed   bool
}
