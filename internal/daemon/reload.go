package daemon

import (
	"errors"
	"runtime"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/eventlog"
	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/workers"
)

// change is a configuration that can be put in force: everything new is open, and nothing has changed yet.
type change struct {
	state
	old   state            // the state that it replaces; at the start, the listeners that were inherited
	log   *eventlog.Output // where events are to go; nil if that stays as it is
	admin adminChange
	procs int      // GOMAXPROCS before
	keys  []string // the keys of the configuration that a reload changes
	err   error    // why there is no change
}

// starts reports whether the server starts with this change.
func (c *change) starts() bool { return c.old.model == nil }

// reload begins to read the configuration again. It goes on in reloaded.
func (s *Server) reload() {
	switch v := s.happen(reloadAsked); {
	case v == refuse && s.phase() == upgrading:
		s.events.Warn("not reloaded: an upgrade is under way, after which the new process reloads")
	case v == refuse:
		s.events.Warn("not reloaded: the server is stopping")
	case v == act:
		s.notify.Reloading()
		s.beginReload()
	}
}

// read reads the configuration and prepares what is new in it.
func (s *Server) read(old state, a *grace.Attempt) *change {
	cfg, err := s.load(a)
	if err != nil {
		return &change{err: err}
	}
	c, err := s.prepare(cfg, old, a)
	if err != nil {
		return &change{err: err}
	}
	c.keys = config.Diff(old.cfg, cfg)
	return c
}

// prepare opens what cfg asks for and old has not. On an error everything is as it was.
func (s *Server) prepare(cfg *config.Config, old state, a *grace.Attempt) (c *change, err error) {
	c = &change{state: state{cfg: cfg, connections: s.connections(cfg), sites: old.sites, access: old.access}, old: old}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.undo(s))
			c = nil
		}
	}()
	if c.model, err = choose(cfg); err != nil {
		return c, err
	}
	if bound := c.model.bound; bound.Name != "" && !c.model.choice.Threads {
		s.events.Warn("the limit of threads may be too low for the loops and workers: "+
			"Go ends the program that is refused one; raise it, or lower workers",
			zap.String("limit", bound.Name), zap.Uint64("value", bound.Value))
	}
	if err = c.openSites(s, a); err != nil {
		return c, err
	}
	a.WaitFor("the log")
	if err = c.openLogs(s); err != nil {
		return c, err
	}
	if !a.GoOn() {
		return c, errors.New("it is given up: nobody waits for it any more")
	}
	if s.pool == nil {
		s.pool = workers.NewPool(cfg.Workers)
	}
	if c.listeners, err = listener.Open(cfg, cfg.Listen, c.model.sockets(cfg), old.listeners); err != nil {
		c.listeners = old.listeners
		return c, err
	}
	if err = c.openAdmin(); err != nil {
		return c, err
	}
	if c.model.like(old.model) {
		c.model = old.model
		return c, nil
	}
	c.procs, err = s.startModel(c.model, &c.state)
	return c, err
}

// openSites opens the sites, if they are other ones or served in another way.
func (c *change) openSites(s *Server, a *grace.Attempt) error {
	c.gatekeepers = newGatekeepers(c.cfg, &c.old)
	kept := s.cachedDescriptors(c.cfg)
	a.WaitFor("a file of passwords")
	if !c.starts() && sameSites(c.cfg, c.old.cfg) && kept == s.cachedDescriptors(c.old.cfg) {
		c.sites.Reread()
		return nil
	}
	if kept < 0 {
		s.events.Warn("limits.connections leaves no descriptors to keep files open: raise LimitNOFILE= or ulimit -n",
			zap.Int("limits.connections", c.cfg.Limits.Connections))
	}
	sites, err := openSites(c.cfg, kept, c.gatekeepers, static.Tell{Warn: s.limiter.WarnPath, Fail: s.limiter.FailPath},
		a)
	if err != nil {
		return &config.UnusableError{Err: err}
	}
	c.sites = sites
	return nil
}

// openLogs opens the log of events and the access log, if they are other ones.
func (c *change) openLogs(s *Server) (err error) {
	old := &c.old
	if old.cfg == nil || c.cfg.Log != old.cfg.Log {
		if c.log, err = s.events.Open(c.cfg.Log); err != nil {
			return err
		}
	}
	switch {
	case old.cfg != nil && c.cfg.AccessLog == old.cfg.AccessLog:
	case c.cfg.AccessLog.Output == "off":
		c.access = nil
	default:
		var access *accesslog.Log
		if access, err = s.openAccessLog(c.cfg.AccessLog); err == nil {
			c.access = access
		}
	}
	return err
}

// undo closes what was opened in vain.
func (c *change) undo(s *Server) error {
	old := &c.old
	var errs []error
	if c.procs > 0 {
		runtime.GOMAXPROCS(c.procs)
	}
	if m := c.model; m != nil && m != old.model && m.server != nil {
		if err := m.server.Serve(make([][]model.Listener, m.lists())); err == nil {
			m.server.Drain(0)
			errs = append(errs, m.server.Wait().Err)
		}
	}
	for _, l := range c.admin.listeners {
		errs = append(errs, l.Close())
	}
	errs = append(errs, listener.Close(c.sockets(), old.sockets(), true))
	if c.log != nil {
		s.events.Leave(c.log)
	}
	if c.access != nil && c.access != old.access {
		errs = append(errs, c.access.Close())
	}
	if c.sites != nil && c.sites != old.sites {
		c.sites.Close()
	}
	return errors.Join(errs...)
}

// reloaded puts the change in force, or says why there is none.
func (s *Server) reloaded(c *change) {
	switch {
	case c.err != nil:
	case s.happen(prepared) == refuse:
		c.err = errors.Join(errors.New("the server is stopping"), c.undo(s))
	default:
		if c.err = s.commit(c); c.err == nil {
			return // it goes on in settled
		}
	}
	s.happen(refused)
	s.plane.failures.Add(1)
	s.plane.stale.Store(true)
	s.events.Error("not reloaded, nothing has changed: " + oneLine(c.err))
	if !s.ends() {
		s.notify.Ready(s.status())
	}
	s.resume()
}

// settled is called when all that serve know the change.
func (s *Server) settled(c *change) {
	s.happen(settled)
	if !c.starts() {
		s.plane.reloads.Add(1)
		s.plane.stale.Store(false)
		s.events.Info("reloaded", zap.Strings("changed", c.keys), zap.Stringer("io_model", s.model.choice))
		if !s.ends() {
			s.notify.Ready(s.status())
		}
	}
	s.resume()
}

// oneLine puts the lines of an error behind each other.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// commit puts the change in force. On an error nothing has changed.
func (s *Server) commit(c *change) error {
	m, old := c.model, &c.old
	unwanted := listener.Gone(old.listeners, c.sockets())
	if m != old.model {
		accepts := c.listeners
		if c.starts() { // what waits in the queues of inherited sockets that are not wanted is accepted
			accepts = slices.Concat(accepts, unwanted)
		}
		if err := m.server.Serve(m.share(c.cfg, accepts)); err != nil {
			m.server = nil // it has freed itself
			return errors.Join(err, c.undo(s))
		}
		s.models.add(m)
		go s.await(m)
	}
	s.state = c.state
	now := c.state // a copy of its own, which does not keep c.old in memory
	s.current.Store(&now)
	s.shared.budget.SetLimit(buffers(c.cfg))
	boundMemory(c.cfg, m)
	c.gatekeepers.verifier.Widen(c.cfg.Threads / verifyingPart)
	if c.log != nil {
		s.events.Change(c.log)
	}
	s.happen(committed) // before the control plane is asked whether the server is ready
	former := s.changeAdmin(&c.admin)
	if s.pool.Resize(c.cfg.Workers); m == old.model {
		m.options.Workers = c.cfg.Workers
		runtime.GOMAXPROCS(m.choice.MaxProcs(&m.options))
	}
	if c.starts() {
		for _, l := range unwanted {
			s.events.Warn("an inherited socket is not in listen, and is closed", zap.String("socket", l.Origin()))
		}
	}
	s.replaced.Go(func() {
		s.settle(c)
		if former != nil {
			s.endAdmin(former, old.adminListeners, c.adminListeners, true)
		}
		s.post(func() { s.settled(c) })
		s.retire(c)
	})
	return nil
}

// settle brings the change to all that serve, and closes the listeners that are not wanted any more when their queues
// are accepted.
func (s *Server) settle(c *change) {
	old, now := &c.old, &c.state
	gone := listener.Gone(old.listeners, now.sockets())
	for _, l := range gone {
		if err := l.RemoveFile(); err != nil {
			s.events.Warn("removing a Unix socket", zap.Error(err))
		}
	}
	if !c.starts() {
		s.update(c)
	}
	switch {
	case !c.starts() && old.model != now.model:
		old.model.server.Handover(s.adopt)
	case !c.starts() || len(gone) > 0:
		if err := now.model.server.SetListeners(now.model.share(now.cfg, now.listeners)); err != nil {
			s.events.Error("the listeners cannot be changed: the old ones go on", zap.Error(err))
			return
		}
	}
	if !c.starts() && !listener.SameOptions(old.cfg, now.cfg) {
		if err := listener.Retune(now.cfg, now.sockets()); err != nil {
			s.events.Warn("a reload is not complete", zap.Error(err))
		}
	}
	if err := listener.Close(old.listeners, now.sockets(), true); err != nil {
		s.events.Warn("closing listeners that are not wanted any more", zap.Error(err))
	}
}

// update gives the new settings to all models that were at work before the change.
func (s *Server) update(c *change) {
	for _, m := range s.models.list() {
		if m == c.model && m != c.old.model {
			continue // it was started with them
		}
		set := s.settings(m, &c.state)
		if c.sites == c.old.sites {
			set.NewHandler = nil
		}
		set.Relog = c.access != c.old.access
		m.server.Update(set)
	}
}

// retire closes what the change has replaced when nobody uses it any more: sites after their last jobs, an access log
// after the last line that was begun for it.
func (s *Server) retire(c *change) {
	old := &c.old
	if old.sites != nil && old.sites != c.sites {
		s.replaced.Go(func() {
			s.pool.Flush()
			old.sites.Close()
		})
	}
	if old.access != nil && old.access != c.access {
		s.replaced.Go(func() {
			<-old.access.Retire()
			if err := old.access.Close(); err != nil {
				s.events.Error("closing the old access log", zap.Error(err))
			}
		})
	}
}
