// Package daemon is the running server: it opens the listeners, starts the
// loops over the configured site, says what it does, and ends in order.
//
// It wires everything and may import every other package but cmd.
package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/eventlog"
	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/sink"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/systemd"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/workers"
)

// Options are what a server is started with.
type Options struct {
	// Load reads the configuration: at the start, and at each reload, for which it is called
	// on a goroutine of its own while the server serves.
	Load func() (*config.Config, error)
	// File is where the configuration comes from; empty: there is none. Then
	// SIGHUP in a terminal's foreground means that the terminal is gone.
	File    string
	Version string // of this program, for the control plane
	// Complaint is what is said on standard error of an error that ends the server, in lines.
	Complaint func(error) string
}

// Told is an error that Run has said on standard error already.
type Told struct{ Err error }

// Error returns the text of the error within.
func (e *Told) Error() string { return e.Err.Error() }

// Unwrap returns the error within.
func (e *Told) Unwrap() error { return e.Err }

// state is what a server serves with. A reload replaces it whole.
type state struct {
	cfg       *config.Config
	listeners []*listener.Listener
	admin     []*listener.Listener // of the control plane
	sites     *site.Router
	doormen   doormen
	access    *accesslog.Log // nil: there is none
	serving   *serving
}

// sockets are all listeners.
func (st *state) sockets() []*listener.Listener { return slices.Concat(st.listeners, st.admin) }

// Server is a running server.
type Server struct {
	state
	opts    Options
	events  *eventlog.Log
	control control
	limiter *eventlog.Limiter
	notify  *systemd.Notifier
	pool    *workers.Pool
	signals chan os.Signal

	current atomic.Pointer[serving]
	open    atomic.Int64 // connections of all that serve
	clients conn.Clients // whose they are
	budget  conn.Budget  // of what they hold
	servers servers
	ended   chan *serving
	total   model.Ended
	cutting sync.WaitGroup // what a reload has replaced and is still in use

	ready     atomic.Bool
	hangs     bool             // SIGHUP stops
	reloading chan *change     // the reload under way; nil: there is none
	again     bool             // another one was asked for meanwhile
	reopening <-chan struct{}  // closed when the logs are open anew; nil: nobody does that
	reopens   bool             // it was asked for once more meanwhile
	upgrades  bool             // after it
	settling  <-chan struct{}  // closed when all that serve know the last change; nil: they do
	changed   []string         // by the last reload
	reloads   bool             // there was one
	delay     <-chan time.Time // of a stop
	stopping  bool             // since a signal said so, or the model failed
	stoppedAt time.Time        // when a signal did
	failed    bool             // the model did
	heir      bool             // another process serves on the same sockets until it hears that this one does
	abandoned bool             // whoever is stuck in the pool is not waited for
	draining  bool
	accepted  chan struct{} // closed when nothing is accepted any more
	upgrading *upgrade      // the one under way; nil: there is none
	processes []*upgrade    // new processes that may run
	successor int           // the process that serves in this one's place; 0: none
}

// Run serves until it is told to stop. A *config.UnusableError means that what was
// configured cannot be used; an error of Load is returned as it is; any other is one of running. A *Told is
// around those that were said on standard error.
func Run(opts Options) (err error) {
	parent, s := -1, &Server{opts: opts, signals: make(chan os.Signal, 4)}
	// Package os has the runtime end the process if nobody reads standard output or error any more, unless somebody
	// asks for the signal (os/signal). Ignored it would be ignored by a new process too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if s.events, err = eventlog.New(config.Default().Log, sink.Inherited(unix.Stderr)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.events.Complain(opts.Complaint(err))
			err = &Told{err}
		}
		s.events.Close()
	}()
	s.control.started = time.Now()
	s.limiter = eventlog.NewLimiter(s.events.Logger)
	s.notify = systemd.New(s.events.Logger)
	s.ended = make(chan *serving, 1)
	// Before the listeners are open: a stop that comes early is not missed.
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) means it
		signal.Notify(s.signals, syscall.SIGHUP)
	}
	// They are taken to the very end: signal.Stop would give them their default action back, and a
	// reload in the last moment of a stop would be the process's death by SIGHUP.
	s.hangs = opts.File == "" && inForeground()
	if os.Getpid() == 1 {
		reapOrphans()
	}
	defer s.close()
	defer func() { report(parent, err) }()
	old, parent, err := listener.Inherit()
	if err != nil {
		return err
	}
	cfg, err := opts.Load()
	if err != nil {
		return err
	}
	s.pool = workers.NewPool(cfg.Workers)
	s.heir = parent >= 0
	c, err := s.prepare(cfg, state{listeners: old})
	if err == nil {
		err = s.commit(c, state{listeners: old})
	}
	if err != nil {
		return withDescriptors(err, cfg)
	}
	if err := checkDescriptors(); err != nil {
		return err
	}
	s.announce()
	if advice := adviceAgainstRoot(os.Geteuid()); advice != "" {
		s.events.Say(zap.WarnLevel, advice)
	}
	s.notify.Ready(s.status())
	report(parent, nil)
	parent, s.heir = -1, false
	defer s.notify.Watch(func(timeout time.Duration) error { return s.current.Load().server.Ping(timeout) })()
	return s.run()
}

// Ready reports whether the server serves and is to go on: what a load
// balancer asks. It may be called from any goroutine.
func (s *Server) Ready() bool { return s.ready.Load() }

// inForeground reports whether a terminal's user waits for this process.
func inForeground() bool {
	for _, fd := range []int{unix.Stdin, unix.Stdout, unix.Stderr} {
		if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
			return true
		}
	}
	return false
}

// run waits for signals until the server has stopped.
func (s *Server) run() error {
	for {
		select {
		case srv := <-s.ended:
			s.left(srv)
		case sig := <-s.signals:
			if err := s.signalled(sig); err != nil {
				return err
			}
		case c := <-s.reloading:
			s.reloading = nil
			s.reloaded(c)
		case <-s.settling:
			s.settling = nil
			s.hasSettled()
		case <-s.reopening:
			s.reopened()
		case <-s.delay:
			s.delay = nil
			s.drain()
		case <-s.accepted:
			s.accepted = nil
			if s.upgrading == nil || !s.failed { // else the new process accepts from them
				s.closeListeners() // late clients are refused at once, not kept waiting
			}
		case err := <-s.upgrading.done():
			s.upgraded(err)
		}
		// One whose model has failed is there until a new process has taken over or failed too.
		if len(s.servers.list()) == 0 && (s.upgrading == nil || !s.failed) {
			s.events.Info("stopped", zap.Int("idle_closed", s.total.Idle), zap.Int("cut", s.total.Cut))
			return s.total.Err
		}
	}
}

// signalled does what a signal asks for. An error ends the process at once.
func (s *Server) signalled(sig os.Signal) error {
	switch {
	case sig == syscall.SIGUSR1:
		s.reopen()
	case sig == syscall.SIGUSR2:
		s.upgrade()
	case sig == syscall.SIGHUP && !s.hangs:
		s.reload()
	case s.stopping && time.Since(s.stoppedAt) < echoMax:
	case s.stopping:
		return s.cut(sig)
	default:
		s.stoppedAt = time.Now()
		s.stop()
	}
	return nil
}

// echoMax is how long after a signal that stops the server another one is the same wish: timeout(1)
// and supervisors signal the process and then its group, and a terminal's Ctrl-C comes from the
// terminal and from who passes it on. Nobody has seen yet by then that the first was not enough.
const echoMax = 250 * time.Millisecond

// cut ends what is left at once, by a second signal. The listeners are closed when the loops have
// left them: else a loop would accept from a descriptor that is closed, or is another file's by then.
func (s *Server) cut(sig os.Signal) error {
	s.abandoned = true
	cut, ended := s.endServing()
	if !ended {
		return fmt.Errorf("stopped at once by a second signal (%v), though something that serves does not end: connections in flight were cut", sig)
	}
	return fmt.Errorf("stopped at once by a second signal (%v), which cut %s within a request", sig, counted(cut, "connection"))
}

// endServing ends all that serves, without grace. It returns how many connections that has cut, of the
// whole stop, and whether everything has ended; what has not may accept from the listeners still.
func (s *Server) endServing() (cut int, ended bool) {
	all, sum := s.servers.list(), make(chan int, 1)
	ended = grace.Finishes(func() {
		s.drainAll(0, make(chan struct{}))
		n := 0
		for _, srv := range all {
			n += srv.server.Wait().Cut
		}
		sum <- n
	}, grace.Close)
	if !ended {
		s.leaveListeners()
		return 0, false
	}
	s.closeListeners()
	return s.total.Cut + <-sum, true
}

// leaveListeners is closeListeners where something may accept from them still: they end with the process.
func (s *Server) leaveListeners() {
	for _, l := range s.listeners {
		if s.successor != 0 || s.heir {
			break
		}
		if err := l.RemoveFile(); err != nil {
			s.events.Warn("removing a Unix socket", zap.Error(err))
		}
	}
	s.listeners = nil
}

// stop begins the end: not ready from now on, and draining after a delay in
// which those who ask whether it is ready learn that.
func (s *Server) stop() {
	s.stopping = true
	if s.successor != 0 { // who asks is answered by the new process alone, which is ready
		s.closeAdmin()
	}
	s.ready.Store(false)
	s.control.draining.Store(true)
	s.upgrading.cancel()
	delay := s.cfg.Timeouts.DrainDelay
	if delay <= 0 || s.successor != 0 {
		s.drain()
		return
	}
	stopping := fmt.Sprintf("stopping: not ready, and accepting for another %v", delay)
	s.notify.Stopping(stopping)
	s.events.Say(zap.InfoLevel, stopping+"; a second signal stops at once")
	s.delay = time.After(delay)
}

// drain lets what is in flight finish.
func (s *Server) drain() {
	s.draining = true
	grace := s.cfg.Timeouts.Drain
	stopping := fmt.Sprintf("stopping: %s may finish within %v", counted(int(s.open.Load()), "connection"), grace)
	s.notify.Stopping(stopping)
	s.events.Say(zap.InfoLevel, stopping+"; a second signal stops at once")
	s.accepted = make(chan struct{})
	go s.drainAll(grace, s.accepted)
}

// drainAll drains all that serve, and closes accepted when nothing is accepted any more.
func (s *Server) drainAll(grace time.Duration, accepted chan<- struct{}) {
	var all sync.WaitGroup
	for _, srv := range s.servers.list() {
		all.Go(func() { srv.server.Drain(grace) })
	}
	all.Wait()
	close(accepted)
}

// left notes the end of one that served.
func (s *Server) left(srv *serving) {
	s.total.Idle += srv.ended.Idle
	s.total.Cut += srv.ended.Cut
	s.total.Err = errors.Join(s.total.Err, srv.ended.Err)
	s.servers.remove(srv)
	if srv == s.serving && !s.draining { // it has failed; nobody accepts
		s.stopping, s.draining, s.failed = true, true, true
		s.ready.Store(false)
		s.control.draining.Store(true)
		s.accepted = make(chan struct{})
		go s.drainAll(s.cfg.Timeouts.Drain, s.accepted)
	}
}

// counted puts a number before a noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// reopen opens the logs' files anew, after they were moved away. That may take as long as a file system or a name server
// does not answer, and no other signal waits for it. It goes on in reopened.
func (s *Server) reopen() {
	if s.reopening != nil {
		s.reopens = true
		return
	}
	done := make(chan struct{})
	s.reopening = done
	go func(access *accesslog.Log) {
		defer close(done)
		s.reopenLogs(access)
	}(s.access)
}

// reopened goes on after the logs were opened anew.
func (s *Server) reopened() {
	s.reopening = nil
	if s.reopens {
		s.reopens = false
		s.reopen()
	}
}

// reopenLogs opens the log of events and the access log, if there is one. It is called on a goroutine of its own.
func (s *Server) reopenLogs(access *accesslog.Log) {
	if err := s.events.Reopen(); err != nil {
		s.events.Error("the log cannot be reopened; the old file goes on", zap.Error(err))
	}
	if access == nil {
		return
	}
	switch err := access.Reopen(); {
	case err == nil:
		s.events.Info("access log reopened")
	case !errors.Is(err, os.ErrClosed): // else a reload has another one in its place
		s.events.Error("the access log cannot be reopened; the old file goes on", zap.Error(err))
	}
}

// closeListeners stops listening, once. The files of Unix sockets stay if
// another process serves there.
func (s *Server) closeListeners() {
	if err := listener.Close(s.listeners, nil, s.successor == 0 && !s.heir); err != nil {
		s.events.Warn("closing the listeners", zap.Error(err))
	}
	s.listeners = nil
}

// close frees what is open, after the server has ended.
func (s *Server) close() {
	s.endProcesses()
	defer s.closeAdmin() // the last that can tell what holds up the end
	s.closeListeners()
	if s.sites != nil {
		s.sites.Close()
	}
	if s.pool != nil && !s.abandoned && !grace.Finishes(s.pool.Close, grace.Close) {
		s.events.Warn("work on a file system that does not answer is given up")
	}
	if !grace.Finishes(s.cutting.Wait, grace.Close) {
		s.events.Warn("what a reload has replaced is given up")
	}
	if s.access != nil {
		if err := s.access.Close(); err != nil {
			s.events.Error("closing the access log", zap.Error(err))
		}
	}
}

// announce writes the start-up lines.
func (s *Server) announce() {
	say := func(format string, args ...any) { s.events.Say(zap.InfoLevel, fmt.Sprintf(format, args...)) }
	for i, l := range s.listeners {
		where := l.Where()
		if i == 0 {
			say("serving %s at %s", served(s.cfg), where)
		} else {
			say("and at %s", where)
		}
		if contained() { // its addresses are its engine's: other machines know it by a port of the host
			continue
		}
		for _, url := range l.Others() {
			say("from other machines %s", url)
		}
	}
	for _, line := range sitesServed(s.cfg) {
		say("%s", line)
	}
	parts := []string{s.serving.choice.String()}
	if len(s.cfg.Sites) == 1 {
		parts = []string{"listing " + onOff(s.cfg.Sites[0].Listing), s.serving.choice.String()}
	}
	switch {
	case s.serving.choice.Loops:
		parts = append(parts, counted(s.serving.loops, "loop"))
	case s.serving.choice.Threads:
		parts = append(parts, s.serving.describeThreads())
	}
	if s.cfg.AccessLog.Output != "-" {
		parts = append(parts, "access log "+s.cfg.AccessLog.Output)
	}
	if most := listener.BacklogMax(); most > 0 && most < s.cfg.Backlog {
		parts = append(parts, fmt.Sprintf("backlog %d of %d (net.core.somaxconn)", most, s.cfg.Backlog))
	}
	for _, l := range s.admin {
		say("control plane at %s", l.Where())
	}
	say("%s", strings.Join(parts, ", "))
}

// status is what the server does, in one line for systemctl status.
func (s *Server) status() string {
	var at []string
	for _, l := range s.listeners {
		at = append(at, l.Where())
	}
	return fmt.Sprintf("serving %s at %s, %s", served(s.cfg), strings.Join(at, ", "), s.serving.choice)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// connConfig is the part of the configuration that connections obey.
func (s *Server) connConfig(cfg *config.Config) *conn.Config {
	return &conn.Config{
		Server: cfg.ServerHeader,
		Limits: http1.Limits{
			RequestLine: cfg.Limits.RequestLine, Head: cfg.Limits.Head, Fields: cfg.Limits.Fields, Body: cfg.Limits.Body,
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
		Clients:              &s.clients,
	}
}
