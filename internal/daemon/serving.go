package daemon

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/memory"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
)

// serving is one model at work. There is one that accepts, and those that it has
// replaced, for as long as they have connections.
type serving struct {
	choice  iomodel.Choice
	loops   int
	threads int
	bound   iomodel.Limit // what keeps threads below what is configured; its Name is empty if nothing does
	wanted  int           // threads as they are configured
	server  iomodel.Server
	ended   model.Ended
}

// servers are all that serve.
type servers struct {
	mu   sync.Mutex
	all  []*serving
	past conn.Counters // of those that have ended
}

func (s *servers) add(srv *serving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, srv)
}

func (s *servers) remove(srv *serving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *serving) bool { return other == srv })
	counted := srv.server.Counters()
	counted.Resting, counted.Loops, counted.Silent, counted.Unknown = 0, 0, 0, 0
	s.past.Add(&counted)
}

// counters sums what has been counted, by those that have ended too.
func (s *servers) counters() conn.Counters {
	s.mu.Lock()
	sum := s.past
	all := slices.Clone(s.all)
	s.mu.Unlock()
	for _, srv := range all { // one that ends meanwhile says what it said last
		counted := srv.server.Counters()
		sum.Add(&counted)
	}
	return sum
}

// Counters is what has been counted since the start. It may be called from any goroutine.
func (s *Server) Counters() conn.Counters { return s.servers.counters() }

func (s *servers) list() []*serving {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// lists is how many lists of listeners the model takes.
func (srv *serving) lists() int {
	if srv.choice.Loops {
		return srv.loops
	}
	return 1
}

// like reports whether one that serves need not be replaced by the other.
func (srv *serving) like(other *serving) bool {
	return other != nil && srv.choice.Name == other.choice.Name && srv.choice.Trigger == other.choice.Trigger &&
		(!srv.choice.Loops || srv.loops == other.loops) && (!srv.choice.Threads || srv.wanted == other.wanted && srv.bound.Name == other.bound.Name && srv.bound.Value == other.bound.Value)
}

// sockets is how many listening sockets an address is to have.
func (srv *serving) sockets(cfg *config.Config) int {
	if cfg.Accept == "shared" || !listener.SharesPorts {
		return 1
	}
	return srv.lists()
}

// share deals the listeners out.
func (srv *serving) share(cfg *config.Config, listeners []*listener.Listener) [][]model.Listener {
	return listener.Share(listeners, srv.lists(), cfg.Accept == "shared")
}

// choose finds what is to serve; it does not do so yet.
func choose(cfg *config.Config) (*serving, error) {
	choice, err := iomodel.Resolve(cfg.IOModel, cfg.Trigger)
	if err != nil {
		return nil, &config.UnusableError{Err: err}
	}
	srv := &serving{choice: choice, loops: cfg.Loops, wanted: cfg.Threads}
	if srv.loops == 0 {
		srv.loops = cpus()
	}
	options := iomodel.Options{Loops: srv.loops, Threads: cfg.Threads, Workers: cfg.Workers}
	if srv.bound, err = choice.Fit(&options); err != nil {
		return nil, err
	}
	srv.threads = options.Threads
	return srv, nil
}

// describeThreads says how many threads there may be, and what that means for whoever is served.
func (srv *serving) describeThreads() string {
	text := counted(srv.threads, "thread")
	if srv.bound.Name != "" {
		text += fmt.Sprintf(" of %d (%s %d)", srv.wanted, srv.bound.Name, srv.bound.Value)
	}
	return fmt.Sprintf("at most %s: as many slow clients keep all others waiting", text)
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

// start makes the model ready with GOMAXPROCS set for it. It returns what that was.
func (s *Server) start(srv *serving, st *state) (procs int, err error) {
	set := s.settings(srv, st)
	options := iomodel.Options{
		Options: model.Options{
			Config:      set.Config,
			NewHandler:  set.NewHandler,
			NewLog:      set.NewLog,
			Pool:        s.pool,
			Connections: set.Connections,
			Open:        &s.open,
			Budget:      &s.budget,
			Warn:        s.limiter.Warn,
		},
		Loops:   srv.loops,
		Threads: srv.threads,
		Workers: st.cfg.Workers,
	}
	procs = runtime.GOMAXPROCS(srv.choice.MaxProcs(&options))
	srv.server, err = srv.choice.Start(options)
	return procs, err
}

// settings are what one that serves is to serve with.
func (s *Server) settings(srv *serving, st *state) model.Settings {
	set := model.Settings{Config: s.connConfig(st.cfg), Connections: s.connections(st.cfg), NewHandler: st.sites.ThreadHandler}
	if srv.choice.Loops {
		set.NewHandler = st.sites.Handler
	}
	switch access := st.access; {
	case access == nil:
	case srv.choice.Loops:
		set.NewLog = func() conn.AccessLog { return access.Loop() }
	default:
		set.NewLog = func() conn.AccessLog { return access.Shared() }
	}
	return set
}

// buffersPart is what part of the memory there is connections may hold.
const buffersPart = 4

// buffersMin is what they may hold where it cannot be told how much memory there is.
const buffersMin = 64 << 20

// buffers is the limit of what connections hold, in bytes.
func buffers(cfg *config.Config) int64 {
	if cfg.Limits.Buffers > 0 {
		return cfg.Limits.Buffers
	}
	if limit := memory.Limit(); limit > 0 {
		return int64(min(limit, 1<<62) / buffersPart)
	}
	return buffersMin
}

// await has the end of one that serves told to run.
func (s *Server) await(srv *serving) {
	srv.ended = srv.server.Wait()
	s.ended <- srv
}

// adopt gives a connection to the one that accepts now.
func (s *Server) adopt(h model.Handed) bool {
	for {
		to := s.current.Load()
		switch {
		case to.server.Adopt(h):
			return true
		case to == s.current.Load():
			return false
		}
	}
}
