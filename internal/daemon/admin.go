package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
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
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/iomodel"
)

// What the control plane says of the program. They are set before Run.
var (
	Version    = "devel"
	ConfigFile string // where the configuration came from; empty: there is no file
)

// view is what runs now, as the control plane sees it. A reload publishes another.
type view struct {
	cfg         *config.Config
	source      string // where the configuration came from
	model       iomodel.Choice
	loops       int // 0: the model has none
	connections int // the limit; 0: none
	listeners   []string
	cache       *static.Cache
	access      *accesslog.Log // nil: there is none
}

// control is the server's side of the control plane. What it holds is read by
// goroutines of its own.
type control struct {
	started  time.Time
	ready    atomic.Bool // new clients are served
	draining atomic.Bool
	now      atomic.Pointer[view]
	counts   counting
	dropped  atomic.Uint64 // access lines of logs that are closed

	plane     *admin.Server
	listeners []*listener
}

// publish shows the control plane what runs now. It is called when the server has
// been started, and after each reload.
func (s *Server) publish() {
	v := &view{
		cfg: s.cfg, source: s.source(), model: s.model,
		connections: s.connections(), cache: s.site.Cache(), access: s.access,
	}
	if s.model.Loops {
		v.loops = s.loops
	}
	for _, l := range s.listeners {
		v.listeners = append(v.listeners, l.String())
	}
	s.control.now.Store(v)
}

// source says where the configuration came from.
func (s *Server) source() string {
	if ConfigFile != "" {
		return ConfigFile
	}
	return "command line, variables and defaults"
}

// drain notes that no new clients are served any more.
func (c *control) drain() {
	c.ready.Store(false)
	c.draining.Store(true)
}

// counting sums what all servers of the process have counted. Those that a
// reload has replaced count on, so that a scrape never sees less than the one before.
type counting struct {
	mu      sync.Mutex
	running []iomodel.Server
	ended   conn.Counters
}

// add has another server counted.
func (c *counting) add(s iomodel.Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = append(c.running, s)
}

// remove keeps the sums of a server that has ended, and forgets it.
func (c *counting) remove(s iomodel.Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.running, s); i >= 0 {
		last := s.Counters()
		last.Loops, last.Silent, last.Unknown = 0, 0, 0 // what is, not what was
		c.ended.Add(&last)
		c.running = slices.Delete(c.running, i, i+1)
	}
}

// sum is what all have counted.
func (c *counting) sum() conn.Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.ended
	for _, s := range c.running {
		n := s.Counters()
		sum.Add(&n)
	}
	return sum
}

// openAdmin starts the control plane, if one is configured. It answers from here
// on, and that the server is ready once it is.
func (s *Server) openAdmin() error {
	cfg := s.cfg.Admin
	if len(cfg.Listen) == 0 {
		return nil
	}
	var all []net.Listener
	for _, a := range cfg.Listen {
		opened, err := listenOn(s.cfg, a, 1)
		s.control.listeners = append(s.control.listeners, opened...)
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
	}
	for _, l := range s.control.listeners {
		ln, err := l.duplicate()
		if err != nil {
			for _, ln := range all {
				_ = ln.Close() // a duplicate: nothing can be lost
			}
			return fmt.Errorf("admin: %w", err)
		}
		all = append(all, ln)
	}
	s.control.plane = admin.Start(all, admin.Options{
		Version: Version, Snapshot: s.snapshot, Status: s.status,
		Ready: s.control.ready.Load, Pprof: cfg.Pprof, Log: s.events.Logger,
	})
	return nil
}

// duplicate returns package net's listener of a duplicate of the socket.
func (l *listener) duplicate() (net.Listener, error) {
	fd, err := unix.FcntlInt(uintptr(l.sockets[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", l, err)
	}
	file := os.NewFile(uintptr(fd), l.String())
	ln, err := net.FileListener(file) // of another duplicate
	return ln, errors.Join(err, file.Close())
}

// String returns the address as it is written in the configuration.
func (l *listener) String() string {
	if l.unix != "" {
		return "unix:" + l.unix
	}
	return l.addr.String()
}

// closeAdmin ends the control plane, last of all.
func (s *Server) closeAdmin() {
	c := &s.control
	if c.plane != nil {
		if err := c.plane.Close(closeGrace); err != nil {
			s.events.Warn("closing the control plane", zap.Error(err))
		}
	}
	for _, l := range c.listeners {
		if err := l.closeAll(); err != nil {
			s.events.Warn("closing a listener of the control plane", zap.Error(err))
		}
	}
	c.plane, c.listeners = nil, nil
}

// adminURLs are where the control plane is found, for the start-up lines.
func (s *Server) adminURLs() (urls []string) {
	for _, l := range s.control.listeners {
		if url := l.url(); url != "" {
			urls = append(urls, url)
		} else {
			urls = append(urls, l.String())
		}
	}
	return urls
}

// snapshot is what was counted so far.
func (s *Server) snapshot() *admin.Snapshot {
	v := s.control.now.Load()
	c := s.control.counts.sum()
	n := newSnapshot(&c)
	n.EventsDropped = s.events.sink.lost.Load()
	n.Model, n.Trigger = v.model.Name, triggerName(v.model)
	n.ConnectionsLimit = v.connections
	n.CacheBytes, n.CacheDescriptors, n.CacheEntries = v.cache.Usage()
	n.AccessLinesDropped = s.control.dropped.Load()
	if v.access != nil {
		n.AccessLinesDropped += v.access.Dropped()
	}
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
		Accepted: c.Accepted, Refused: c.Refused, Evicted: c.Evicted, AcceptErrors: c.AcceptErrors,
		ReceivedBytes: c.Received,
		SentBytes:     map[string]uint64{"copy": c.SentCopied, "memory": c.SentMemory, "sendfile": c.SentFile},
		Loops:         c.Loops, SilentLoops: c.Silent, Waits: c.Waits, Events: c.Events,
		RingOperations: &c.Operations, Overflows: &c.Overflows,
		JobsSubmitted: c.JobsSubmitted, JobsRefused: c.JobsRefused, JobsInFlight: c.JobsInFlight(),
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

// status is what /status shows.
type status struct {
	Version   string    `json:"version"`
	Go        string    `json:"go"`
	Platform  string    `json:"platform"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Uptime    float64   `json:"uptime_seconds"`
	Ready     bool      `json:"ready"`
	Draining  bool      `json:"draining"`
	Model     string    `json:"model"`
	Trigger   string    `json:"trigger"` // empty: the model has no choice
	Loops     int       `json:"loops"`   // 0: the model has none
	Threads   int       `json:"threads,omitempty"`
	Config    string    `json:"config"` // where it came from
	Listeners []string  `json:"listeners"`
	Limits    limits    `json:"limits"`
	AccessLog string    `json:"access_log"`
	Warnings  []warning `json:"warnings"`

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

func (s *Server) status() any {
	c := &s.control
	st := &status{
		Version: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		PID: os.Getpid(), Started: c.started, Uptime: time.Since(c.started).Seconds(),
		Ready: c.ready.Load(), Draining: c.draining.Load(),
		Warnings: s.events.warnings.list(), Counters: s.snapshot(),
	}
	v := c.now.Load()
	st.Model, st.Trigger, st.Loops = v.model.Name, triggerName(v.model), v.loops
	if v.model.Threads {
		st.Threads = v.cfg.Threads
	}
	st.Config, st.Listeners, st.AccessLog = v.source, v.listeners, v.cfg.AccessLog.Output
	st.Limits = limitsOf(v)
	return st
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
