package daemon

import (
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/eventlog"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/workers"
)

// change is a reload that is ready to be made: everything new is open, and
// nothing has changed yet.
type change struct {
	state
	old     state            // that it is made for
	log     *eventlog.Target // of events; nil: it stays
	control []net.Listener   // of a new control plane, if replane
	replane bool
	procs   int // GOMAXPROCS before
	err     error
}

// reload begins to read the configuration again. It goes on in reloaded.
func (s *Server) reload() {
	switch {
	case s.stopping:
		s.events.Warn("not reloaded: the server is stopping")
		return
	case s.upgrading != nil:
		s.events.Warn("not reloaded: an upgrade is under way, after which the new process reloads")
		return
	case s.reloading != nil || s.settling != nil:
		s.again = true
		return
	}
	s.notify.Reloading()
	result := make(chan *change, 1)
	s.reloading = result
	old := s.state
	go func() {
		cfg, err := s.opts.Load()
		c := &change{}
		if err == nil {
			c, err = s.prepare(cfg, old)
		}
		if err != nil {
			c = &change{err: err}
		}
		result <- c
	}()
}

// prepare opens what cfg asks for and old has not. On an error everything is as it was.
func (s *Server) prepare(cfg *config.Config, old state) (c *change, err error) {
	c = &change{state: state{cfg: cfg, sites: old.sites, access: old.access}, old: old}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.undo())
			c = nil
		}
	}()
	if c.serving, err = choose(cfg); err != nil {
		return c, err
	}
	if bound := c.serving.bound; bound.Name != "" && !c.serving.choice.Threads {
		s.events.Warn("the limit of threads may be too low for the loops and workers: Go ends the program that is refused one; raise it, or lower workers",
			zap.String("limit", bound.Name), zap.Uint64("value", bound.Value))
	}
	c.doormen = newDoormen(cfg, &old)
	kept := s.cachedDescriptors(cfg)
	if old.cfg == nil || !sameSites(cfg, old.cfg) || kept != s.cachedDescriptors(old.cfg) {
		if kept < 0 {
			s.events.Warn("limits.connections leaves no descriptors to keep files open: raise LimitNOFILE= or ulimit -n",
				zap.Int("limits.connections", cfg.Limits.Connections))
		}
		if c.sites, err = openSites(cfg, kept, c.doormen, static.Tell{Warn: s.limiter.WarnPath, Fail: s.limiter.FailPath}); err != nil {
			c.sites = old.sites
			return c, &config.UnusableError{Err: err}
		}
	} else {
		c.sites.Reread()
	}
	if err = c.openLogs(s, &old); err != nil {
		return c, err
	}
	if c.listeners, err = listener.Open(cfg, cfg.Listen, c.serving.sockets(cfg), old.listeners); err != nil {
		c.listeners = old.listeners
		return c, err
	}
	if err = c.openAdmin(&old); err != nil {
		return c, err
	}
	if c.serving.like(old.serving) {
		c.serving = old.serving
		return c, nil
	}
	c.procs, err = s.start(c.serving, &c.state)
	return c, err
}

// openLogs opens the log of events and the access log, if they are other ones.
func (c *change) openLogs(s *Server, old *state) (err error) {
	if old.cfg == nil || c.cfg.Log != old.cfg.Log {
		if c.log, err = s.events.Open(c.cfg.Log.Output); err != nil {
			return err
		}
	}
	switch {
	case old.cfg != nil && c.cfg.AccessLog == old.cfg.AccessLog:
	case c.cfg.AccessLog.Output == "off":
		c.access = nil
	default:
		var access *accesslog.Log
		if access, err = openAccessLog(c.cfg.AccessLog, s.events.Logger); err == nil {
			c.access = access
		}
	}
	return err
}

// undo closes what was opened in vain.
func (c *change) undo() error {
	old := &c.old
	var errs []error
	if c.procs > 0 {
		runtime.GOMAXPROCS(c.procs)
	}
	if srv := c.serving; srv != nil && srv != old.serving && srv.server != nil {
		if err := srv.server.Serve(make([][]model.Listener, srv.lists())); err == nil {
			srv.server.Drain(0)
			errs = append(errs, srv.server.Wait().Err)
		}
	}
	for _, l := range c.control {
		errs = append(errs, l.Close())
	}
	errs = append(errs, listener.Close(c.sockets(), old.sockets(), true))
	if c.log != nil {
		c.log.Close()
	}
	if c.access != nil && c.access != old.access {
		errs = append(errs, c.access.Close())
	}
	if c.sites != nil && c.sites != old.sites {
		c.sites.Close()
	}
	return errors.Join(errs...)
}

// reloaded makes the change, or says why there is none.
func (s *Server) reloaded(c *change) {
	switch before := s.cfg; {
	case c.err == nil && s.stopping:
		c.err = errors.Join(errors.New("the server is stopping"), c.undo())
	case c.err == nil:
		if c.err = s.commit(c, s.state); c.err == nil {
			s.changed, s.reloads = config.Diff(before, s.cfg), true
			return
		}
	}
	s.control.failures.Add(1)
	s.control.stale.Store(true)
	s.events.Error("not reloaded, nothing has changed: " + oneLine(c.err))
	if !s.stopping {
		s.notify.Ready(s.status())
	}
	s.finishReload()
}

// hasSettled is called when all that serve know the change.
func (s *Server) hasSettled() {
	if s.reloads { // else it was the start that has settled
		s.control.reloads.Add(1)
		s.control.stale.Store(false)
		s.events.Info("reloaded", zap.Strings("changed", s.changed), zap.Stringer("io_model", s.serving.choice))
		if !s.stopping {
			s.notify.Ready(s.status())
		}
	}
	s.finishReload()
}

// finishReload goes on after a reload.
func (s *Server) finishReload() {
	switch {
	case s.again:
		s.again = false
		s.reload()
	case s.upgrades:
		s.upgrades = false
		s.upgrade()
	}
}

// oneLine puts the lines of an error behind each other.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// commit puts the change in the place of old. On an error nothing has changed.
func (s *Server) commit(c *change, old state) error {
	srv := c.serving
	unwanted := listener.Gone(old.listeners, c.sockets())
	if srv != old.serving {
		serve := c.listeners
		if old.serving == nil { // what was inherited and is not wanted is accepted from, for the last time
			serve = slices.Concat(serve, unwanted)
		}
		if err := srv.server.Serve(srv.share(c.cfg, serve)); err != nil {
			srv.server = nil // it has freed itself
			return errors.Join(err, c.undo())
		}
		s.servers.add(srv)
		go s.await(srv)
	}
	s.state = c.state
	s.current.Store(srv)
	s.budget.SetLimit(buffers(c.cfg))
	if c.log != nil {
		s.events.Change(c.cfg.Log, c.log)
	}
	if c.access != nil && c.access != old.access {
		s.control.logs.add(c.access)
	}
	s.publish()
	if old.serving == nil {
		s.ready.Store(true) // before the control plane is asked
	}
	former := s.changePlane(c)
	if s.pool.Resize(c.cfg.Workers); srv == old.serving {
		runtime.GOMAXPROCS(srv.choice.MaxProcs(&iomodel.Options{Loops: srv.loops, Threads: srv.threads, Workers: c.cfg.Workers}))
	}
	for _, l := range unwanted {
		if old.serving == nil {
			s.events.Warn("an inherited socket is not in listen, and is closed", zap.String("socket", l.Unwanted()))
		}
	}
	s.cutting.Add(1)
	settled := make(chan struct{})
	s.settling = settled
	go func(now state, pool *workers.Pool) {
		defer s.cutting.Done()
		s.settle(&old, &now)
		if former != nil {
			s.closePlane(former, old.admin, now.admin, true)
		}
		close(settled)
		s.retire(&old, &now, pool)
	}(s.state, s.pool)
	return nil
}

// settle brings the change to all that serve, and closes the listeners that
// are not wanted when their queues are accepted.
func (s *Server) settle(old, now *state) {
	for _, l := range listener.Gone(old.listeners, now.sockets()) {
		if err := l.RemoveFile(); err != nil {
			s.events.Warn("removing a Unix socket", zap.Error(err))
		}
	}
	for _, srv := range s.servers.list() {
		if old.serving == nil || srv == now.serving && srv != old.serving {
			continue // it was started so
		}
		set := s.settings(srv, now)
		if now.sites == old.sites {
			set.NewHandler = nil
		}
		set.Relog = now.access != old.access
		srv.server.Update(set)
	}
	switch {
	case old.serving != nil && old.serving != now.serving:
		old.serving.server.Handover(s.adopt)
	case old.serving != nil || len(listener.Gone(old.listeners, now.sockets())) > 0:
		if err := now.serving.server.Listen(now.serving.share(now.cfg, now.listeners)); err != nil {
			s.events.Error("the listeners cannot be changed: the old ones go on", zap.Error(err))
			return
		}
	}
	if old.cfg != nil && (old.cfg.Backlog != now.cfg.Backlog || old.cfg.DeferAccept != now.cfg.DeferAccept || old.cfg.UnixMode != now.cfg.UnixMode) {
		if err := listener.Retune(now.cfg, now.sockets()); err != nil {
			s.events.Warn("a reload is not complete", zap.Error(err))
		}
	}
	if err := listener.Close(old.listeners, now.sockets(), true); err != nil {
		s.events.Warn("closing listeners that are not wanted any more", zap.Error(err))
	}
}

// retire closes what the change has replaced, when nobody uses it any more: a
// site, its last jobs; a log, the last line that was begun for it.
func (s *Server) retire(old, now *state, pool *workers.Pool) {
	if old.sites != nil && old.sites != now.sites {
		s.cutting.Go(func() {
			pool.Flush()
			old.sites.Close()
		})
	}
	if old.access != nil && old.access != now.access {
		s.cutting.Go(func() {
			<-old.access.Retire()
			if err := old.access.Close(); err != nil {
				s.events.Error("closing the old access log", zap.Error(err))
			}
			s.control.logs.remove(old.access)
		})
	}
}
