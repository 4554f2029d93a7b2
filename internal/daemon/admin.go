package daemon

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/admin"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/eventlog"
	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/iomodel"
)

// adminPlane is the server's side of the control plane. But for server, any goroutine may use it.
type adminPlane struct {
	started  time.Time
	reloads  atomic.Uint64 // reloads that changed the configuration
	failures atomic.Uint64 // reloads that did not
	stale    atomic.Bool   // the last reload did not
	lost     atomic.Uint64 // access lines
	server   *admin.Server // nil if none is configured
}

// adminChange is a new control plane, if there is to be another one.
type adminChange struct {
	changed   bool
	listeners []net.Listener // duplicates of the sockets for net/http; none if there is to be no control plane
}

// openAdmin opens the listeners of a new control plane, if there is to be another one.
func (c *change) openAdmin() (err error) {
	from := c.old.adminListeners
	if c.starts() {
		from = c.old.listeners // sockets that were inherited are for both
	} else if reflect.DeepEqual(c.cfg.Admin, c.old.cfg.Admin) && listener.Reachable(from) {
		c.adminListeners = from
		return nil
	}
	c.admin.changed = true
	if c.adminListeners, err = listener.Open(c.cfg, c.cfg.Admin.Listen, 1, from); err != nil {
		c.adminListeners = c.old.adminListeners
		return fmt.Errorf("admin: %w", err)
	}
	for _, l := range c.adminListeners {
		ln, err := l.Duplicate()
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		c.admin.listeners = append(c.admin.listeners, ln)
	}
	return nil
}

// changeAdmin puts a new control plane in the place of the old one, which it returns if it is to be ended. Until then
// both answer, so that an address which stays never refuses.
func (s *Server) changeAdmin(c *adminChange) (former *admin.Server) {
	if !c.changed {
		return nil
	}
	former, s.plane.server = s.plane.server, nil
	if len(c.listeners) > 0 {
		s.plane.server = admin.Start(c.listeners, admin.Options{
			Version: s.opts.Version, Snapshot: s.snapshot, Status: s.overview, Ready: s.serves,
			Hosts: adminHosts(&s.cfg.Admin), Pprof: s.cfg.Admin.Pprof, Log: s.events.Logger, Warn: s.limiter.Warn,
		})
	}
	return former
}

// adminHosts are the names by which clients may ask the control plane: those that are configured, those in the
// addresses that it listens on, and the name of this machine, which no site in the world has.
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

// endAdmin ends a control plane and closes those of its listeners that are not kept.
func (s *Server) endAdmin(plane *admin.Server, listeners, kept []*listener.Listener, unlink bool) {
	if err := plane.Close(grace.Close); err != nil {
		s.events.Warn("closing the control plane", zap.Error(err))
	}
	if err := listener.Close(listeners, kept, unlink); err != nil {
		s.events.Warn("closing a listener of the control plane", zap.Error(err))
	}
}

// closeAdmin ends the control plane, if there is one.
func (s *Server) closeAdmin() {
	if s.plane.server != nil {
		s.endAdmin(s.plane.server, s.adminListeners, nil, s.successor == 0)
	}
	s.plane.server, s.adminListeners = nil, nil
}

// snapshot is what was counted so far. Any goroutine may call it.
func (s *Server) snapshot() *admin.Snapshot {
	now, p := s.current.Load(), &s.plane
	n := &admin.Snapshot{
		Counters: s.models.counters(),
		Model:    now.model.choice.Name, Trigger: triggerName(now.model.choice),
		ConnectionsLimit: now.connections,
		BuffersBytes:     s.shared.budget.Used(), BuffersLimit: s.shared.budget.Limit(),
		AccessLinesDropped: p.lost.Load(),
		EventsDropped:      s.events.Dropped(), EventsSuppressed: s.limiter.Suppressed(),
		Reloads: p.reloads.Load(), ReloadsFailed: p.failures.Load(), LastReloadFailed: p.stale.Load(),
	}
	n.CacheBytes, n.CacheDescriptors, n.CacheEntries = now.sites.Cache().Usage()
	return n
}

// triggerName returns the name of the trigger, or the empty string for a model that has no choice.
func triggerName(c iomodel.Choice) string {
	if c.Trigger == 0 {
		return ""
	}
	return c.Trigger.String()
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
	Trigger   string             `json:"trigger"` // empty if the model has no choice
	Loops     int                `json:"loops"`   // 0 if the model has none
	Threads   int                `json:"threads,omitempty"`
	Config    string             `json:"config"` // where the configuration came from
	Listeners []string           `json:"listeners"`
	Limits    map[string]any     `json:"limits"`
	AccessLog string             `json:"access_log"`
	Warnings  []eventlog.Warning `json:"warnings"`
	Process   usage              `json:"process"`

	Counters *admin.Snapshot `json:"counters"`
}

// overview is called by the control plane.
func (s *Server) overview() any {
	now := s.current.Load()
	m := now.model
	o := &overview{
		Version: s.opts.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		PID: os.Getpid(), Started: s.plane.started, Uptime: time.Since(s.plane.started).Seconds(),
		Ready: s.serves(), Draining: s.ends(),
		Model: m.choice.Name, Trigger: triggerName(m.choice),
		Config: cmp.Or(s.opts.File, "command line, variables and defaults"),
		Limits: limitsOf(now, s.shared.budget.Limit()), AccessLog: now.cfg.AccessLog.Output,
		Warnings: s.events.Warnings(), Process: usageNow(), Counters: s.snapshot(),
	}
	switch {
	case m.choice.Loops:
		o.Loops = m.options.Loops
	case m.choice.Threads:
		o.Threads = now.cfg.Threads
	}
	for _, l := range now.listeners {
		o.Listeners = append(o.Listeners, l.String())
	}
	return o
}

// limitsOf are the limits in force; 0 is no limit.
func limitsOf(st *state, buffers int64) map[string]any {
	l, t := &st.cfg.Limits, &st.cfg.Timeouts
	descriptors, _ := descriptorLimit() // 0 if it cannot be read
	return map[string]any{
		"connections":             st.connections,
		"requests_per_connection": l.RequestsPerConnection,
		"request_line_bytes":      l.RequestLine,
		"head_bytes":              l.Head,
		"fields":                  l.Fields,
		"body_bytes":              l.Body,
		"output_bytes":            l.Output,
		"buffers_bytes":           buffers,
		"descriptors":             descriptors,
		"gomaxprocs":              runtime.GOMAXPROCS(0),
		"first_byte_seconds":      t.FirstByte.Seconds(),
		"head_seconds":            t.Head.Seconds(),
		"body_seconds":            t.Body.Seconds(),
		"send_seconds":            t.Send.Seconds(),
		"keep_alive_seconds":      t.KeepAlive.Seconds(),
		"deferred_seconds":        t.Deferred.Seconds(),
		"connection_seconds":      t.Connection.Seconds(),
		"drain_seconds":           t.Drain.Seconds(),
	}
}
