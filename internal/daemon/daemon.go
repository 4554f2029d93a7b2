// Package daemon is the running server: it opens the listeners, starts the
// loops over the configured site, says what it does, and ends in order.
//
// It wires everything and may import every other package but cmd.
package daemon

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/reactor"
)

// ConfigError is an error of what the operator wrote, found when it was put to use.
type ConfigError struct{ Err error }

// Error returns the text of the error within.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the error within.
func (e *ConfigError) Unwrap() error { return e.Err }

// CheckModel reports why a model cannot run here with that trigger.
func CheckModel(name, trigger string) error {
	_, err := iomodel.Resolve(name, trigger)
	return err
}

// ModelNames lists what io_model may be.
func ModelNames() string {
	return strings.Join(append([]string{iomodel.Auto}, iomodel.Names()...), ", ")
}

// Server is a running server.
type Server struct {
	cfg       *config.Config
	events    *eventLog
	control   control
	model     iomodel.Choice
	loops     int
	listeners []*listener
	site      *static.Site
	access    *accesslog.Log
	pool      *reactor.Pool
	server    iomodel.Server
	signals   chan os.Signal
}

// Run serves cfg until it is told to stop. Start-up lines and events go to
// stderr. A *ConfigError means that the configuration is wrong; any other error
// is one of running.
func Run(cfg *config.Config, stderr io.Writer) error {
	s := &Server{cfg: cfg, signals: make(chan os.Signal, 4)}
	var err error
	if s.events, err = newEventLog(cfg.Log, stderr); err != nil {
		return err
	}
	defer s.events.sink.close()
	s.control.started = time.Now()
	// Before the listeners are open: a stop that comes early is not missed.
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) means it
		signal.Notify(s.signals, syscall.SIGHUP)
	}
	defer signal.Stop(s.signals)
	defer s.close()
	if err := s.open(); err != nil {
		return err
	}
	s.control.counts.add(s.server)
	s.publish()
	if err := s.openAdmin(); err != nil {
		return err
	}
	if err := s.server.Serve(share(s.listeners, s.lists())); err != nil {
		return err
	}
	s.control.ready.Store(true)
	s.announce(stderr)
	return s.run(stderr)
}

// open makes everything ready; nothing is served yet.
func (s *Server) open() error {
	var err error
	if s.model, err = iomodel.Resolve(s.cfg.IOModel, s.cfg.Trigger); err != nil {
		return &ConfigError{err}
	}
	if s.loops = s.cfg.Loops; s.loops == 0 {
		s.loops = runtime.GOMAXPROCS(0) // affinity and cgroup quota
	}
	if s.site, err = openSite(s.cfg, s.events.Logger); err != nil {
		return &ConfigError{err}
	}
	if s.cfg.AccessLog.Output != "off" {
		if s.access, err = openAccessLog(s.cfg.AccessLog, s.events.Logger); err != nil {
			return err
		}
	}
	if s.listeners, err = listenAll(s.cfg, s.sockets()); err != nil {
		return err
	}
	s.pool = reactor.NewPool(s.cfg.Workers)
	options := iomodel.Options{
		Options: reactor.Options{
			Config:      connConfig(s.cfg),
			NewHandler:  s.site.ThreadHandler,
			Pool:        s.pool,
			Connections: s.connections(),
			Warn:        warner(s.events.Logger),
		},
		Loops:   s.loops,
		Threads: s.cfg.Threads,
	}
	if s.model.Loops {
		options.NewHandler = s.site.Handler
	}
	switch {
	case s.access == nil:
	case s.model.Loops:
		options.NewLog = func() conn.AccessLog { return s.access.Loop() }
	default:
		options.NewLog = func() conn.AccessLog { return s.access.Shared() }
	}
	runtime.GOMAXPROCS(s.model.MaxProcs(&options))
	s.server, err = s.model.Start(options)
	return err
}

// sockets is how many listening sockets an address has.
func (s *Server) sockets() int {
	if s.cfg.Accept == "shared" || reusePort == 0 {
		return 1
	}
	return s.lists()
}

// lists is how many lists of listeners the model takes.
func (s *Server) lists() int {
	if s.model.Loops {
		return s.loops
	}
	return 1
}

// connections is the limit of connections: 90 % of the descriptors, unless it is configured.
func (s *Server) connections() int {
	if s.cfg.Limits.Connections > 0 {
		return s.cfg.Limits.Connections
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		s.events.Warn("the limit of descriptors cannot be read; connections are not limited", zap.Error(err))
		return 0
	}
	return int(min(uint64(limit.Cur), 1<<30) * 9 / 10)
}

// run waits for signals until the server has stopped. SIGHUP stops it too: a
// terminal was closed.
func (s *Server) run(stderr io.Writer) error {
	ended := make(chan reactor.Ended, 1)
	go func() { ended <- s.server.Wait() }()
	accepted := make(chan struct{}) // nothing is any more
	draining := false
	for {
		select {
		case e := <-ended:
			s.control.counts.remove(s.server)
			s.events.Info("stopped", zap.Int("idle_closed", e.Idle), zap.Int("cut", e.Cut))
			return e.Err
		case sig := <-s.signals:
			switch {
			case sig == syscall.SIGUSR1:
				s.reopen()
			case draining:
				s.pool = nil // whoever is stuck in it is not waited for
				return fmt.Errorf("stopped at once by a second signal (%v): connections in flight were cut", sig)
			default:
				draining = true
				s.control.drain()
				fmt.Fprintf(stderr, "evhttpd: stopping: %s may finish within %v; a second signal stops at once\n",
					counted(s.server.Open(), "connection"), s.cfg.Timeouts.Drain)
				go func() {
					s.server.Drain(s.cfg.Timeouts.Drain)
					close(accepted)
				}()
			}
		case <-accepted:
			accepted = nil
			s.closeListeners() // late clients are refused at once, not kept waiting
		}
	}
}

// counted puts a number before a noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// reopen opens the access log's file anew, after it was moved away.
func (s *Server) reopen() {
	if err := s.events.reopen(); err != nil {
		s.events.Error("the log cannot be reopened; the old file goes on", zap.Error(err))
	}
	if s.access == nil {
		return
	}
	if err := s.access.Reopen(); err != nil {
		s.events.Error("the access log cannot be reopened; the old file goes on", zap.Error(err))
		return
	}
	s.events.Info("access log reopened")
}

// closeListeners stops listening, once.
func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		if err := l.closeAll(); err != nil {
			s.events.Warn("closing a listener", zap.Error(err))
		}
	}
	s.listeners = nil
}

// close frees what is open, after the server has ended.
func (s *Server) close() {
	defer s.closeAdmin()
	s.closeListeners()
	if s.site != nil {
		s.site.Close()
	}
	if s.pool != nil && !finishes(s.pool.Close, closeGrace) {
		s.events.Warn("work on a file system that does not answer is given up")
	}
	if s.access != nil {
		if err := s.access.Close(); err != nil {
			s.events.Error("closing the access log", zap.Error(err))
		}
	}
}

// closeGrace is how long the end waits for what may hang: a worker in a file
// system that does not answer, a log that nobody reads.
const closeGrace = time.Second

// finishes calls f and reports whether it returned within grace. If not, the
// call goes on until the process ends.
func finishes(f func(), grace time.Duration) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(grace):
		return false
	}
}

// announce writes the start-up lines.
func (s *Server) announce(w io.Writer) {
	root := s.cfg.Sites[0].Root
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	for i, l := range s.listeners {
		where := l.url()
		if where == "" {
			where = "unix:" + l.unix
		}
		if i == 0 {
			fmt.Fprintf(w, "evhttpd: serving %s at %s\n", root, where)
		} else {
			fmt.Fprintf(w, "evhttpd: and at %s\n", where)
		}
		for _, url := range l.others() {
			fmt.Fprintf(w, "evhttpd: from other machines %s\n", url)
		}
	}
	parts := []string{"listing " + onOff(s.cfg.Sites[0].Listing), s.model.String()}
	switch {
	case s.model.Loops:
		parts = append(parts, counted(s.loops, "loop"))
	case s.model.Threads:
		parts = append(parts, "at most "+strconv.Itoa(s.cfg.Threads)+" threads")
	}
	if s.cfg.AccessLog.Output != "-" {
		parts = append(parts, "access log "+s.cfg.AccessLog.Output)
	}
	if most := backlogMax(); most > 0 && most < s.cfg.Backlog {
		parts = append(parts, fmt.Sprintf("backlog %d of %d (net.core.somaxconn)", most, s.cfg.Backlog))
	}
	for _, url := range s.adminURLs() {
		fmt.Fprintf(w, "evhttpd: control plane at %s\n", url)
	}
	fmt.Fprintf(w, "evhttpd: %s\n", strings.Join(parts, ", "))
}

// others returns the URLs by which other machines find a listener that is not
// bound to one address: of each family, the address that packets to the world would have.
func (l *listener) others() []string {
	if l.unix != "" || !l.addr.Addr().IsUnspecified() {
		return nil
	}
	worlds := []string{"192.0.2.1:9", "[2001:db8::1]:9"} // documentation's addresses (RFC 5737, RFC 3849)
	if l.addr.Addr().Is4() {
		worlds = worlds[:1]
	}
	var urls []string
	for _, world := range worlds {
		c, err := net.Dial("udp", world) // asks the routing table; sends nothing
		if err != nil {
			continue // no route
		}
		ip := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		c.Close()
		if ip.IsGlobalUnicast() {
			other := listener{addr: netip.AddrPortFrom(ip, l.addr.Port())}
			urls = append(urls, other.url())
		}
	}
	return urls
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// connConfig is the part of the configuration that connections obey.
func connConfig(cfg *config.Config) *conn.Config {
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
	}
}

// warnEvery is how often the same warning is repeated.
const warnEvery = time.Minute
