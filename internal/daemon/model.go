package daemon

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
)

// runningModel is one IO model at work. There is the one that accepts, and there are those that it has replaced, for
// as long as they have connections.
type runningModel struct {
	choice  iomodel.Choice
	options iomodel.Options // what it is started with
	wanted  int             // the number of threads that is configured
	bound   iomodel.Limit   // the limit that keeps options.Threads below wanted; without a name if none does
	server  iomodel.Server
	ended   model.Ended // what the end of server has cut off
}

// choose finds the model that is to serve, and does not start it yet.
func choose(cfg *config.Config) (*runningModel, error) {
	choice, err := iomodel.Resolve(cfg.IOModel, cfg.Trigger)
	if err != nil {
		return nil, &config.UnusableError{Err: err}
	}
	m := &runningModel{choice: choice, wanted: cfg.Threads,
		options: iomodel.Options{Loops: cfg.Loops, Threads: cfg.Threads, Workers: cfg.Workers}}
	if cfg.Loops == 0 {
		m.options.Loops = cpus()
	}
	m.bound, err = choice.Fit(&m.options)
	return m, err
}

// like reports whether other serves in the same way, and need not be replaced.
func (m *runningModel) like(other *runningModel) bool {
	switch {
	case other == nil || m.choice.Name != other.choice.Name || m.choice.Trigger != other.choice.Trigger:
		return false
	case m.choice.Loops && m.options.Loops != other.options.Loops:
		return false
	}
	return !m.choice.Threads ||
		m.wanted == other.wanted && m.bound.Name == other.bound.Name && m.bound.Value == other.bound.Value
}

// lists is the number of lists of listeners that the model takes.
func (m *runningModel) lists() int {
	if m.choice.Loops {
		return m.options.Loops
	}
	return 1
}

// sockets is the number of listening sockets that an address is to have.
func (m *runningModel) sockets(cfg *config.Config) int {
	if cfg.Accept == "shared" || !listener.SharesPorts() {
		return 1
	}
	return m.lists()
}

// share deals the listeners out to the loops.
func (m *runningModel) share(cfg *config.Config, listeners []*listener.Listener) [][]model.Listener {
	return listener.Share(listeners, m.lists(), cfg.Accept == "shared")
}

// describeThreads says how many threads there may be, and what that means for clients.
func (m *runningModel) describeThreads() string {
	text := counted(m.options.Threads, "thread")
	if m.bound.Name != "" {
		text += fmt.Sprintf(" of %d (%s %d)", m.wanted, m.bound.Name, m.bound.Value)
	}
	return fmt.Sprintf("at most %s: as many slow clients keep all others waiting", text)
}

// models are all models at work. Any goroutine may use them.
type models struct {
	mu   sync.Mutex
	all  []*runningModel
	past conn.Counters // of those that have ended
}

func (s *models) add(m *runningModel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, m)
}

func (s *models) remove(m *runningModel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *runningModel) bool { return other == m })
	counted := m.server.Counters()
	counted.Resting, counted.Loops, counted.Silent, counted.Unknown = 0, 0, 0, 0
	s.past.Add(&counted)
}

func (s *models) list() []*runningModel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// counters sums what has been counted since the start.
func (s *models) counters() conn.Counters {
	s.mu.Lock()
	sum := s.past
	all := slices.Clone(s.all)
	s.mu.Unlock()
	for _, m := range all { // one that ends meanwhile says what it said last
		counted := m.server.Counters()
		sum.Add(&counted)
	}
	return sum
}

// drain has all end, and returns when they accept nothing any more.
func (s *models) drain(patience time.Duration) {
	var all sync.WaitGroup
	for _, m := range s.list() {
		all.Go(func() { m.server.Drain(patience) })
	}
	all.Wait()
}

// startModel makes the model ready with GOMAXPROCS set for it. It returns what GOMAXPROCS was.
func (s *Server) startModel(m *runningModel, st *state) (procs int, err error) {
	set := s.settings(m, st)
	m.options.Options = model.Options{
		Config:      set.Config,
		NewHandler:  set.NewHandler,
		NewLog:      set.NewLog,
		Pool:        s.pool,
		Connections: set.Connections,
		Open:        &s.shared.open,
		Budget:      &s.shared.budget,
		Warn:        s.limiter.Warn,
	}
	procs = runtime.GOMAXPROCS(m.choice.MaxProcs(&m.options))
	m.server, err = m.choice.Start(m.options)
	return procs, err
}

// settings are those of a model for a state.
func (s *Server) settings(m *runningModel, st *state) model.Settings {
	set := model.Settings{
		Config: s.connConfig(st.cfg), Connections: st.connections, NewHandler: st.sites.ThreadHandler,
	}
	if m.choice.Loops {
		set.NewHandler = st.sites.Handler
	}
	switch access := st.access; {
	case access == nil:
	case m.choice.Loops:
		set.NewLog = func() conn.AccessLog { return access.Loop() }
	default:
		set.NewLog = func() conn.AccessLog { return access.Shared() }
	}
	return set
}

// connConfig is the part of the configuration that connections obey.
func (s *Server) connConfig(cfg *config.Config) *conn.Config {
	return &conn.Config{
		Server: cfg.ServerHeader,
		Limits: http1.Limits{
			RequestLine: cfg.Limits.RequestLine, Head: cfg.Limits.Head, Fields: cfg.Limits.Fields,
			Body: cfg.Limits.Body,
		},
		Requests:     cfg.Limits.RequestsPerConnection,
		Output:       cfg.Limits.Output,
		TurnRequests: cfg.Turn.Requests,
		TurnBytes:    cfg.Turn.Bytes,
		FirstByte:    cfg.Timeouts.FirstByte,
		Head:         cfg.Timeouts.Head,
		Body:         cfg.Timeouts.Body,
		Send:         cfg.Timeouts.Send,
		KeepAlive:    cfg.Timeouts.KeepAlive,
		Deferred:     cfg.Timeouts.Deferred,
		Lifetime:     cfg.Timeouts.Connection,

		Proxies:              conn.NewNetworks(cfg.ProxyProtocol),
		Trusted:              conn.NewNetworks(cfg.TrustedProxies),
		ConnectionsPerClient: cfg.Limits.ConnectionsPerClient,
		Clients:              &s.shared.clients,
	}
}

// await has run told when a model has ended.
func (s *Server) await(m *runningModel) {
	m.ended = m.server.Wait()
	s.post(func() { s.modelEnded(m) })
}

// adopt gives a connection to the model that accepts now.
func (s *Server) adopt(h model.Handed) bool {
	for {
		to := s.current.Load().model
		switch {
		case to.server.Adopt(h):
			return true
		case to == s.current.Load().model:
			return false
		}
	}
}

// startProcs is GOMAXPROCS before we have set it.
var startProcs = runtime.GOMAXPROCS(0)

// cpus is how many CPUs this process may use now, by its affinity and its cgroup's
// quota, unless the variable GOMAXPROCS says something else.
func cpus() int {
	if os.Getenv("GOMAXPROCS") != "" {
		return startProcs
	}
	before := runtime.GOMAXPROCS(0)
	runtime.SetDefaultGOMAXPROCS()
	return runtime.GOMAXPROCS(before)
}
