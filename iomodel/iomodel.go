// Package iomodel knows every way to drive connections by name: what is
// available on this machine, with which triggers, and why something is not.
// A new model is one file here and one line in the list of models.
//
// It imports reactor, conn, poller and sendfile, and, each in one file of its
// own, internal/uring and cloudwego/netpoll; it knows no file, site or configuration file.
package iomodel

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/reactor"
)

// Auto stands for the platform's default model, or for a model's default trigger.
const Auto = "auto"

// Server is a model at work.
type Server interface {
	// Serve starts accepting. listeners[i] are for loop i; a model without
	// loops gets one list. The sockets stay the caller's.
	Serve(listeners [][]reactor.Listener) error
	// Drain accepts what waits in the listeners' queues and no more, makes
	// every answer its connection's last, and ends when no connection is left
	// or grace is over. It returns when nothing is accepted any more: then the
	// caller may close the listeners. A second Drain changes nothing.
	Drain(grace time.Duration)
	// Wait returns when the server has ended, with what that cut off.
	Wait() reactor.Ended
	// Open is the number of connections now.
	Open() int
}

// Options are what a server is made with.
type Options struct {
	reactor.Options
	Loops   int // for models that have loops
	Threads int // for models that have a thread a connection
}

// Model is one way to drive connections.
type Model struct {
	Name      string
	Class     string         // in Stevens' terms; empty: in none of them
	Mechanism string         // the calls that it stands on
	Triggers  poller.Trigger // the choice it has; 0: none
	Loops     bool           // it runs loops, each with its own listeners; else one list serves all
	// Probe reports why the model cannot run on this machine as it is now; nil: it can.
	Probe func() error
	// Procs is what GOMAXPROCS is to be; nil: as many as there are loops, and one more.
	Procs func(*Options) int
	New   func(Options) (Server, error)
}

// Choice is a model as it will run.
type Choice struct {
	Model
	Trigger poller.Trigger // 0: the model has no such choice
}

// String returns the choice in the words of the start-up line.
func (c Choice) String() string {
	if c.Trigger == 0 {
		return c.Name
	}
	return c.Name + " " + TriggerNames(c.Trigger)
}

// Start returns a server of the chosen model.
func (c Choice) Start(o Options) (Server, error) {
	o.Trigger = c.Trigger
	return c.New(o)
}

// MaxProcs is what GOMAXPROCS is to be for the choice.
func (c Choice) MaxProcs(o *Options) int {
	if c.Procs != nil {
		return c.Procs(o)
	}
	// One more than the loops: workers and the log's writer need not wait for a loop.
	return o.Loops + 1
}

// Resolve finds the model of that name with that trigger (edge, level or
// auto). A model that cannot run here is an error with the reason and the list
// of those that can: one is never replaced by another.
func Resolve(name, trigger string) (Choice, error) {
	m, err := lookup(name)
	if err != nil {
		return Choice{}, err
	}
	c := Choice{Model: m}
	switch {
	case trigger == Auto && m.Triggers&poller.Edge != 0:
		c.Trigger = poller.Edge
	case trigger == Auto:
		c.Trigger = m.Triggers
	case trigger == "edge":
		c.Trigger = poller.Edge
	default:
		c.Trigger = poller.Level
	}
	switch {
	case c.Trigger&m.Triggers == c.Trigger:
		return c, nil
	case m.Triggers == 0:
		return Choice{}, fmt.Errorf("IO model %s has no choice of trigger: leave it at auto", m.Name)
	default:
		return Choice{}, fmt.Errorf("IO model %s has no %s trigger, only %s", m.Name, trigger, TriggerNames(m.Triggers))
	}
}

// lookup returns the model of that name, if it can run.
func lookup(name string) (Model, error) {
	var available []string
	var reason error
	known := false
	for _, m := range models {
		err := m.Probe()
		if err == nil {
			available = append(available, m.Name)
			if m.Name == name || name == Auto && m.Loops && m.Triggers&poller.Edge != 0 {
				return m, nil
			}
		} else if m.Name == name {
			known, reason = true, err
		}
	}
	if !known {
		reason = errors.New("there is no such model")
	}
	return Model{}, fmt.Errorf("IO model %q: %w; available here: %s", name, reason, strings.Join(available, ", "))
}

// Models lists every model, those first that auto prefers, available here or not.
func Models() []Model { return models }

// Names lists the models by name.
func Names() []string {
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	return names
}

// TriggerNames spells out a set of triggers; a dash if it is empty.
func TriggerNames(t poller.Trigger) string {
	switch t {
	case poller.Edge:
		return "edge"
	case poller.Level:
		return "level"
	case poller.Edge | poller.Level:
		return "level, edge"
	default:
		return "-"
	}
}
