// Package daemon is the running server: it opens the listeners, starts the
// loops over the configured site, says what it does, and ends in order.
//
// It imports every room that a server consists of, and nothing imports it but cmd.
package daemon

import (
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/eventlog"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/sink"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/systemd"
	"github.com/evhttpd/evhttpd/internal/upgrade"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/workers"
)

// Options are what a server is started with.
type Options struct {
	// Load reads the configuration: at the start, and at each reload, for which it is called
	// on a goroutine of its own while the server serves. It tells of each root before it looks at it, which may block.
	Load func(looks func(root string)) (*config.Config, error)
	// File is the configuration file, if there is one. Without a file, SIGHUP in a terminal's foreground means that
	// the terminal is gone.
	File    string
	Version string // of this program, for the control plane
	// Complaint returns the lines for standard error about an error that ends the server.
	Complaint func(error) string
}

// Told is an error that Run has said on standard error already.
type Told struct{ error }

// Unwrap returns the error within.
func (e *Told) Unwrap() error { return e.error }

// state is what a server serves with. It is not changed: a reload replaces it.
type state struct {
	cfg            *config.Config
	connections    int // the limit of connections; 0 is no limit
	listeners      []*listener.Listener
	adminListeners []*listener.Listener // of the control plane
	sites          *site.Router
	gatekeepers    gatekeepers
	access         *accesslog.Log // nil if there is no access log
	model          *runningModel
}

// sockets are all listeners.
func (st *state) sockets() []*listener.Listener {
	return slices.Concat(st.listeners, st.adminListeners)
}

// Server is a running server. Its methods and fields are for the goroutine of run, if they do not say otherwise.
type Server struct {
	lifecycle
	opts    Options
	events  *eventlog.Log
	limiter *eventlog.Limiter
	notify  *systemd.Notifier
	pool    *workers.Pool
	plane   adminPlane

	state                         // what it serves with, less what is closed at the end
	current atomic.Pointer[state] // the same as it was put in force, for any goroutine

	models   models // the models at work
	shared   shared
	ended    model.Ended    // the sum of the models that have ended
	replaced sync.WaitGroup // what reloads have replaced and is still in use

	signals   chan os.Signal
	inbox     chan func()   // what other goroutines have run do
	closed    chan struct{} // closed when nobody looks into inbox any more
	reopening chan struct{} // a log is to be opened anew
	held      atomic.Int32  // reloads that were given up and wait still

	stopOnHangup bool      // SIGHUP means that the terminal is gone
	stoppedAt    time.Time // when the first signal to stop came

	succession
}

// shared is what all models of the process count together.
type shared struct {
	open    atomic.Int64 // connections
	clients conn.Clients // connections of each client
	budget  conn.Budget  // memory that connections hold
}

// newServer returns a server that does not serve yet.
func newServer(opts Options, events *eventlog.Log) *Server {
	s := &Server{
		opts: opts, events: events, limiter: eventlog.NewLimiter(events.Logger), notify: systemd.New(events.Logger),
		signals: make(chan os.Signal, 4), inbox: make(chan func()), closed: make(chan struct{}),
		reopening:    make(chan struct{}, 1),
		stopOnHangup: opts.File == "" && inForeground(),
	}
	s.plane.started = time.Now()
	return s
}

// Run serves until it is told to stop. A *config.UnusableError means that what was configured cannot be used; an
// error of Load is returned as it is; any other is one of running. Those that were said on standard error are in a
// *Told.
func Run(opts Options) (err error) {
	// Package os has the runtime end the process if nobody reads standard output or error any more, unless somebody
	// asks for the signal (os/signal). Ignored it would be ignored by a new process too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	events := eventlog.New(sink.Inherited(unix.Stderr))
	defer func() {
		if err != nil {
			events.Complain(opts.Complaint(err))
			err = &Told{err}
		}
		events.Close()
	}()
	s := newServer(opts, events)
	// Before the listeners are open: a stop that comes early is not missed. Signals are taken to the very end, since
	// signal.Stop would give them their default action back: a reload in the last moment would be death by SIGHUP.
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) has it ignored
		signal.Notify(s.signals, syscall.SIGHUP)
	}
	if os.Getpid() == 1 {
		reapOrphans()
	}
	defer s.close()
	defer func() { s.predecessor.Tell(err) }()
	if err := s.start(); err != nil {
		return err
	}
	defer s.notify.Watch(func(timeout time.Duration) error { return s.current.Load().model.server.Ping(timeout) })()
	return s.run()
}

// start puts the first configuration in force, with the listeners that the process was started with.
func (s *Server) start() error {
	inherited, ready, err := listener.Inherit()
	if ready >= 0 {
		s.predecessor = &upgrade.Predecessor{FD: ready}
	}
	if err != nil {
		return err
	}
	c := s.prepareFirst(inherited)
	if c.err != nil {
		return c.err
	}
	if err := s.commit(c); err != nil {
		return withDescriptors(err, c.cfg)
	}
	if err := checkDescriptors(); err != nil {
		return err
	}
	go s.reopenLogs()
	s.announce()
	s.notify.Ready(s.status())
	s.predecessor.Tell(nil)
	s.predecessor = nil
	return nil
}

// inForeground reports whether a terminal's user waits for this process.
func inForeground() bool {
	for _, fd := range []int{unix.Stdin, unix.Stdout, unix.Stderr} {
		if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
			return true
		}
	}
	return false
}

// run does what signals and other goroutines ask for until the server has ended.
func (s *Server) run() error {
	for {
		select {
		case do := <-s.inbox:
			do()
		case sig := <-s.signals:
			s.signalled(sig)
			if s.phase() == abandoned {
				return s.cut(sig)
			}
		}
		if len(s.models.list()) == 0 && s.phase() != rescuing {
			s.events.Info("stopped", zap.Int("idle_closed", s.ended.Idle), zap.Int("cut", s.ended.Cut))
			return s.ended.Err
		}
	}
}

// post has run do something. Any goroutine may call it.
func (s *Server) post(do func()) {
	select {
	case s.inbox <- do:
	case <-s.closed:
	}
}

// echoMax is how long after a signal that stops the server another one counts as the same. timeout(1) and supervisors
// signal the process and then its group, and Ctrl-C comes from the terminal and from a parent that passes it on.
// Nobody can have seen in that time that the first one was not enough.
const echoMax = 250 * time.Millisecond

// signalled does what a signal asks for, except for cut, which run does.
func (s *Server) signalled(sig os.Signal) {
	switch {
	case sig == syscall.SIGUSR1:
		s.reopen()
	case sig == syscall.SIGUSR2:
		s.upgrade()
	case sig == syscall.SIGHUP && !s.stopOnHangup:
		s.reload()
	case time.Since(s.stoppedAt) >= echoMax:
		s.stop()
	}
}

// resume does what was asked for in a phase in which it was not possible.
func (s *Server) resume() {
	switch {
	case s.resumes(reloadAsked):
		s.reload()
	case s.resumes(upgradeAsked):
		s.upgrade()
	}
}

// reopen has the files of the logs opened anew, after they were moved away.
func (s *Server) reopen() {
	select {
	case s.reopening <- struct{}{}:
	default: // it is asked for already
	}
}

// reopenLogs opens the log of events and the access log whenever that is asked for. It runs on a goroutine of its
// own: opening may take as long as a file system or a name server does not answer, and no signal waits for it.
func (s *Server) reopenLogs() {
	for range s.reopening {
		if err := s.events.Reopen(); err != nil {
			s.events.Error("the log cannot be reopened; the old file goes on", zap.Error(err))
		}
		access := s.current.Load().access
		if access == nil {
			continue
		}
		switch err := access.Reopen(); {
		case err == nil:
			s.events.Info("access log reopened")
		case !errors.Is(err, os.ErrClosed): // closed: a reload has put another one in its place
			s.events.Error("the access log cannot be reopened; the old file goes on", zap.Error(err))
		}
	}
}
