package iomodel

import (
	"math"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
)

// unusedEvery is how often Update looks whether the old settings are still used.
const unusedEvery = time.Millisecond

// settings are what a turn is made with: a reload publishes new ones.
type settings struct {
	config      *conn.Config
	connections int
	newHandler  func() conn.Handler
	log         conn.AccessLog
	workspaces  sync.Pool // *conn.Workspace, lent for one turn
}

// publish has turns that begin from here on use these settings.
func (s *ownedServer) publish(t *settings) {
	t.workspaces.New = func() any { return s.newWorkspace(t) }
	s.settings.Store(t)
}

func (s *ownedServer) newWorkspace(t *settings) *conn.Workspace {
	w := conn.NewWorkspace(t.config, t.newHandler(), t.log)
	w.Waker, w.Share = s, s.share
	return w
}

// Update implements [Server]. Connections that wait look at their timeouts anew.
func (s *ownedServer) Update(set model.Settings) {
	old := s.settings.Load()
	t := &settings{config: set.Config, connections: set.Connections, newHandler: old.newHandler, log: old.log}
	if set.NewHandler != nil {
		t.newHandler = set.NewHandler
	}
	if set.Relog {
		t.log = nil
		if set.NewLog != nil {
			t.log = set.NewLog()
		}
	}
	s.publish(t)
	s.nudge()
	for s.used(old) {
		time.Sleep(unusedEvery)
	}
	if set.Relog && old.log != nil {
		old.log.Tick(math.MaxInt64) // later than anything can wait
	}
}

// useSettings notes which settings the turn is made with, so that Update knows. The
// second look finds those that were replaced before the note could be seen.
func (c *ownedConn) useSettings() *settings {
	for {
		t := c.server.settings.Load()
		c.using.Store(t)
		if c.server.settings.Load() == t {
			return t
		}
	}
}

// used reports whether a turn is made with those settings.
func (s *ownedServer) used(t *settings) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if c.using.Load() == t {
			return true
		}
	}
	return false
}

// nudge has every connection look around: its timeout may have changed, or another server wait for it.
//
// The protocol: nudge counts, then ends the waits that it can. A connection notes the count when
// a turn begins, before it reads the settings; when its wait can be ended from outside, which is once the deadline
// is set, or the lock of its turn is free, it asks by nudgedSince whether it has missed one. Whichever is second
// sees the other, so that no connection waits on without having looked.
func (s *ownedServer) nudge() {
	s.epoch.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.transport.nudge()
		c.wake()
	}
}

// nudgedSince reports whether there was a nudge since then (ownedConn.epoch).
func (s *ownedServer) nudgedSince(epoch uint64) bool { return s.epoch.Load() != epoch }
