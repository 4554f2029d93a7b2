package daemon

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/admin"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/eventlog"
	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/iomodel"
)

// view is what runs now, as the control plane sees it. A reload publishes another.
type view struct {
	cfg         *config.Config
	model       iomodel.Choice
	loops       int // 0: the model has none
	connections int // the limit; 0: none
	listeners   []string
	cache       *static.Cache
}

// control is the server's side of the control plane. What it holds is read by
// goroutines of its own.
type control struct {
	started  time.Time
	draining atomic.Bool
	reloads  atomic.Uint64 // that changed the configuration
	failures atomic.Uint64 // and those that did not
	stale    atomic.Bool   // the last one did not
	now      atomic.Pointer[view]
	logs     accessLogs
	plane    *admin.Server // nil: none is configured
}

// publish shows the control plane what runs now. It is called when the server
// serves, and after each reload.
func (s *Server) publish() {
	v := &view{cfg: s.cfg, model: s.serving.choice, connections: s.connections(s.cfg), cache: s.sites.Cache()}
	if v.model.Loops {
		v.loops = s.serving.loops
	}
	for _, l := range s.listeners {
		v.listeners = append(v.listeners, l.String())
	}
	s.control.now.Store(v)
}

// accessLogs are the open access logs: the one in use, and those that a reload has
// replaced and that have lines to write still.
type accessLogs struct {
	mu   sync.Mutex
	open []*accesslog.Log
	past uint64 // lines that closed ones dropped
}

func (a *accessLogs) add(l *accesslog.Log) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = append(a.open, l)
}

// remove forgets a log that has been closed, but for what it dropped.
func (a *accessLogs) remove(l *accesslog.Log) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = slices.DeleteFunc(a.open, func(other *accesslog.Log) bool { return other == l })
	a.past += l.Dropped()
}

// dropped is the number of lines that were lost since the start.
func (a *accessLogs) dropped() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.past
	for _, l := range a.open {
		n += l.Dropped()
	}
	return n
}

// openAdmin opens what a new control plane is to accept from, if it is another one.
func (c *change) openAdmin(old *state) (err error) {
	if old.cfg != nil && reflect.DeepEqual(c.cfg.Admin, old.cfg.Admin) && listener.Reachable(old.admin) {
		c.admin = old.admin
		return nil
	}
	from := old.admin
	if old.cfg == nil {
		from = old.listeners // what was inherited is for both
	}
	c.replane = true
	if c.admin, err = listener.Open(c.cfg, c.cfg.Admin.Listen, 1, from); err != nil {
		c.admin = old.admin
		return fmt.Errorf("admin: %w", err)
	}
	for _, l := range c.admin {
		ln, err := l.Duplicate()
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		c.control = append(c.control, ln)
	}
	return nil
}

// changePlane puts a new control plane in the place of the old one, which it
// returns if it is to be closed. Until then both answer, so that an address which stays never refuses.
func (s *Server) changePlane(c *change) (former *admin.Server) {
	if !c.replane {
		return nil
	}
	former, s.control.plane = s.control.plane, nil
	if len(c.control) > 0 {
		s.control.plane = admin.Start(c.control, admin.Options{
			Version: s.opts.Version, Snapshot: s.snapshot, Status: s.overview,
			Ready: s.Ready, Hosts: adminHosts(&c.cfg.Admin), Pprof: c.cfg.Admin.Pprof, Log: s.events.Logger, Warn: s.limiter.Warn,
		})
	}
	return former
}

// adminHosts are the names by which the control plane is asked: those that are configured, those that it listens by, and
// this machine's, which no other site has.
func adminHosts(a *config.Admin) []string {
	names := slices.Clone(a.Hosts)
	for _, address := range a.Listen {
		if address.Host != "" {
			names = append(names, address.Host)
		}
	}
	if name, err := os.Hostname(); err == nil { // else it has none
		names = append(names, name)
	}
	return names
}

// closePlane ends a control plane and closes those of its listeners that are not kept.
func (s *Server) closePlane(plane *admin.Server, listeners, kept []*listener.Listener, unlink bool) {
	if err := plane.Close(grace.Close); err != nil {
		s.events.Warn("closing the control plane", zap.Error(err))
	}
	if err := listener.Close(listeners, kept, unlink); err != nil {
		s.events.Warn("closing a listener of the control plane", zap.Error(err))
	}
}

// closeAdmin ends the control plane, if there is one.
func (s *Server) closeAdmin() {
	if s.control.plane != nil {
		s.closePlane(s.control.plane, s.admin, nil, s.successor == 0)
	}
	s.control.plane, s.admin = nil, nil
}

// snapshot is what was counted so far.
func (s *Server) snapshot() *admin.Snapshot {
	v := s.control.now.Load()
	c := s.Counters()
	n := newSnapshot(&c)
	n.EventsDropped, n.EventsSuppressed = s.events.Dropped(), s.limiter.Suppressed()
	n.Reloads = map[string]uint64{"success": s.control.reloads.Load(), "failure": s.control.failures.Load()}
	n.LastReloadFailed = s.control.stale.Load()
	n.Model, n.Trigger = v.model.Name, triggerName(v.model)
	n.ConnectionsLimit = v.connections
	n.BuffersBytes, n.BuffersLimit = s.budget.Used(), s.budget.Limit()
	n.CacheBytes, n.CacheDescriptors, n.CacheEntries = v.cache.Usage()
	n.AccessLinesDropped = s.control.logs.dropped()
	if v.model.Name != "io_uring" && c.Operations == 0 {
		n.RingOperations = nil
	}
	if v.model.Name != "sigio" && c.Overflows == 0 {
		n.Overflows = nil
	}
	return n
}

// triggerName is empty for a model that has no choice.
func triggerName(c iomodel.Choice) string {
	if c.Trigger == 0 {
		return ""
	}
	return c.Trigger.String()
}

// newSnapshot puts counters into the words of the control plane.
func newSnapshot(c *conn.Counters) *admin.Snapshot {
	n := &admin.Snapshot{
		Requests: map[string]uint64{}, Connections: map[string]uint64{}, Timeouts: map[string]uint64{},
		Calls: map[string]*uint64{}, CallsAgain: map[string]*uint64{},
		Latency: histogram(&c.Latency), Batch: histogram(&c.Batch), Lateness: histogram(&c.Lateness),
		Accepted: c.Accepted, Refused: c.Refused, RefusedClient: c.RefusedClient, Evicted: c.Evicted, Relieved: c.Relieved,
		AcceptErrors:     c.AcceptErrors,
		ReceivedBytes:    c.Received,
		SentBytes:        map[string]uint64{"copy": c.SentCopied, "memory": c.SentMemory, "sendfile": c.SentFile},
		RestingListeners: c.Resting,
		Loops:            c.Loops, SilentLoops: c.Silent, Waits: c.Waits, Events: c.Events,
		RingOperations: &c.Operations, Overflows: &c.Overflows,
		JobsSubmitted: c.JobsSubmitted, JobsRefused: c.JobsRefused, JobsDropped: c.JobsDropped, JobsInFlight: c.JobsInFlight(),
		CacheLookups: map[string]uint64{"hit": c.CacheHits, "miss": c.CacheMisses, "revalidation": c.CacheLooks},
	}
	for class, count := range c.Requests {
		if class > 0 || count > 0 {
			n.Requests[fmt.Sprintf("%dxx", class)] = count
		}
	}
	for phase := range conn.NumPhases {
		n.Connections[phase.String()] = c.Connections[phase]
		n.Timeouts[phase.String()] = c.Timeouts[phase]
	}
	for call := range conn.NumCalls {
		name := call.String()
		if c.Unknown.Has(call) {
			n.Calls[name], n.CallsAgain[name] = nil, nil
			continue
		}
		n.Calls[name], n.CallsAgain[name] = &c.Calls[call], &c.Again[call]
	}
	return n
}

func histogram(h *conn.Histogram) admin.Histogram {
	out := admin.Histogram{Counts: h.Buckets[:], Sum: float64(h.Sum) / 1e9}
	for i := range conn.HistogramBuckets - 1 {
		out.Bounds = append(out.Bounds, conn.HistogramBound(i).Seconds())
	}
	return out
}

// usage is what this process has used since it began (getrusage(2)).
type usage struct {
	CPU         float64 `json:"cpu_seconds"`
	Voluntary   int64   `json:"voluntary_switches"` // of contexts
	Involuntary int64   `json:"involuntary_switches"`
}

func usageNow() usage {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		panic("daemon: getrusage: " + err.Error()) // it fails for bad arguments alone
	}
	return usage{float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, int64(r.Nvcsw), int64(r.Nivcsw)}
}

// overview is what /status shows.
type overview struct {
	Version   string             `json:"version"`
	Go        string             `json:"go"`
	Platform  string             `json:"platform"`
	PID       int                `json:"pid"`
	Started   time.Time          `json:"started"`
	Uptime    float64            `json:"uptime_seconds"`
	Ready     bool               `json:"ready"`
	Draining  bool               `json:"draining"`
	Model     string             `json:"model"`
	Trigger   string             `json:"trigger"` // empty: the model has no choice
	Loops     int                `json:"loops"`   // 0: the model has none
	Threads   int                `json:"threads,omitempty"`
	Config    string             `json:"config"` // where it came from
	Listeners []string           `json:"listeners"`
	Limits    limits             `json:"limits"`
	AccessLog string             `json:"access_log"`
	Warnings  []eventlog.Warning `json:"warnings"`
	Process   usage              `json:"process"`

	Counters *admin.Snapshot `json:"counters"`
}

// limits are those in force; 0: none.
type limits struct {
	Connections           int     `json:"connections"`
	RequestsPerConnection int     `json:"requests_per_connection"`
	RequestLine           int     `json:"request_line_bytes"`
	Head                  int     `json:"head_bytes"`
	Fields                int     `json:"fields"`
	Body                  int64   `json:"body_bytes"`
	Output                int     `json:"output_bytes"`
	Buffers               int64   `json:"buffers_bytes"`
	Descriptors           uint64  `json:"descriptors"`
	MaxProcs              int     `json:"gomaxprocs"`
	FirstByte             float64 `json:"first_byte_seconds"`
	HeadTimeout           float64 `json:"head_seconds"`
	BodyTimeout           float64 `json:"body_seconds"`
	Send                  float64 `json:"send_seconds"`
	KeepAlive             float64 `json:"keep_alive_seconds"`
	Deferred              float64 `json:"deferred_seconds"`
	Connection            float64 `json:"connection_seconds"`
	Drain                 float64 `json:"drain_seconds"`
}

// overview is called by the control plane.
func (s *Server) overview() any {
	c := &s.control
	st := &overview{
		Version: s.opts.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		PID: os.Getpid(), Started: c.started, Uptime: time.Since(c.started).Seconds(),
		Ready: s.Ready(), Draining: c.draining.Load(),
		Warnings: s.events.Warnings(), Process: usageNow(), Counters: s.snapshot(),
	}
	v := c.now.Load()
	st.Model, st.Trigger, st.Loops = v.model.Name, triggerName(v.model), v.loops
	if v.model.Threads {
		st.Threads = v.cfg.Threads
	}
	st.Config, st.Listeners, st.AccessLog = s.source(), v.listeners, v.cfg.AccessLog.Output
	st.Limits = limitsOf(v)
	st.Limits.Buffers = s.budget.Limit()
	return st
}

// source says where the configuration comes from.
func (s *Server) source() string {
	if s.opts.File != "" {
		return s.opts.File
	}
	return "command line, variables and defaults"
}

func limitsOf(v *view) limits {
	l, t := &v.cfg.Limits, &v.cfg.Timeouts
	out := limits{
		Connections: v.connections, RequestsPerConnection: l.RequestsPerConnection, RequestLine: l.RequestLine,
		Head: l.Head, Fields: l.Fields, Body: l.Body, Output: l.Output, MaxProcs: runtime.GOMAXPROCS(0),
		FirstByte: t.FirstByte.Seconds(), HeadTimeout: t.Head.Seconds(), BodyTimeout: t.Body.Seconds(),
		Send: t.Send.Seconds(), KeepAlive: t.KeepAlive.Seconds(), Deferred: t.Deferred.Seconds(),
		Connection: t.Connection.Seconds(), Drain: t.Drain.Seconds(),
	}
	var descriptors unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &descriptors) == nil {
		out.Descriptors = uint64(descriptors.Cur)
	}
	return out
}
