// Package iomodel knows every way to drive connections by name: what is
// available on this machine, with which triggers, and why something is not.
//
// A new model is one file, with a function that returns its [Model], and one line in the list in
// models.go: flags, checks, reports and the tests here go by that list. For a readiness
// mechanism, which is a poller.Backend, the line alone does. A model that gives each connection a
// thread or goroutine stands on ownedServer and brings an ownedTransport; any other one implements
// [Server] itself. Outside, docs/io-models.md describes each model, and the end-to-end tests name
// those that they run on (variants in test/main_test.go).
//
// It imports conn, model, poller, reactor, sendfile, socket, internal/quota, iomodel/ring and, in one file,
// cloudwego/netpoll; it knows no file, site or configuration file.
package iomodel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// Auto stands for the platform's default model, or for a model's default trigger.
const Auto = "auto"

// Server is a model at work.
type Server interface {
	// Serve starts accepting. listeners[i] are for loop i; a model without
	// loops gets one list. The sockets stay the caller's.
	Serve(listeners [][]model.Listener) error
	// SetListeners replaces the listeners that are accepted from. It returns when what
	// waited in the queues of those that are gone has been accepted: then the
	// caller may close them. On an error nothing has changed.
	SetListeners(listeners [][]model.Listener) error
	// Update replaces the settings, for connections that are open too. When it
	// returns the old ones are not used any more, but by jobs that the pool has and for
	// access lines that were begun.
	Update(model.Settings)
	// Adopt takes over a connection from another server, from any goroutine. It
	// reports false when this one takes none any more; then it is the caller's still.
	Adopt(model.Handed) bool
	// Handover accepts what waits in the listeners' queues and no more, gives
	// each connection to to as soon as it is between two requests, and ends when none is
	// left. It returns when nothing is accepted any more. Connections that cannot
	// move, and those that to refuses, are closed in order behind their next answer.
	Handover(to func(model.Handed) bool)
	// Drain accepts what waits in the listeners' queues and no more, makes
	// every answer its connection's last, and ends when no connection is left
	// or grace is over. It returns when nothing is accepted any more: then the
	// caller may close the listeners. A second Drain with less grace ends the server sooner.
	Drain(grace time.Duration)
	// Wait returns when the server has ended, with what that cut off. Any number
	// of goroutines may call it, any number of times.
	Wait() model.Ended
	// Ping waits, at most for timeout, until everything that goes round has done
	// so once: every loop has handled a message through its own inbox; a model
	// without loops, its acceptors have come back to accepting. The error
	// names the first that has not. What has ended is not stuck. It may be called from any goroutine, after Serve.
	Ping(timeout time.Duration) error
	// Open is the number of connections now.
	Open() int
	// Counters is what happened so far. It takes a second at most, which is when a
	// loop that is stuck is waited for no longer, and may be called from any
	// goroutine, from Serve on and after the end.
	Counters() conn.Counters
}

// Options are what a server is made with.
type Options struct {
	model.Options
	Trigger poller.Trigger // for models that have a choice
	Loops   int            // for models that have loops
	Threads int            // for models that have a thread a connection
	Workers int            // threads of Pool, for MaxProcs
}

// Model is one way to drive connections.
type Model struct {
	Name      string
	Class     string         // in Stevens' terms; empty: in none of them
	Mechanism string         // the calls that it stands on
	Triggers  poller.Trigger // the choice it has; 0: none
	Loops     bool           // it runs loops, each with its own listeners; else one list serves all
	Threads   bool           // it has at most Options.Threads threads, and serves no more connections at a time
	// Probe reports why the model cannot run on this machine as it is now; nil: it can.
	Probe func() error
	// Cannot is what the model cannot do here, or only at a price, in whole sentences; empty: nothing.
	Cannot string
	// ownLimits lists what bounds this model besides what bounds all; nil: nothing does.
	ownLimits func() []Limit
	// MaxProcs overrides GOMAXPROCS. nil: loops + 1, plus Options.Workers if the model runs loops.
	MaxProcs func(*Options) int
	New      func(Options) (Server, error)
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
	return c.Name + " " + c.Trigger.String()
}

// Start returns a server of the chosen model.
func (c Choice) Start(o Options) (Server, error) {
	o.Trigger = c.Trigger
	return c.New(o)
}

// MaxProcs is what GOMAXPROCS is to be for the choice.
func (c Choice) MaxProcs(o *Options) int {
	if c.Model.MaxProcs != nil {
		return c.Model.MaxProcs(o)
	}
	// One more than the loops: the log's writer need not wait for a loop.
	if !c.Loops {
		return o.Loops + 1
	}
	// And one a worker. Who waits for a disk in a system call keeps its processor of Go's until the runtime's
	// monitor takes it away, which looks every 10 ms when it has found little to do: with fewer processors than loops
	// and workers a loop that its poller has woken was seen to wait so long for one.
	return o.Loops + o.Workers + 1
}

// Resolve finds the model of that name with that trigger (edge, level or
// auto). A model that cannot run here is an error with the reason and the list
// of those that can: one is never replaced by another. The errors begin with
// the name, to follow the flag or the key that it was given with.
func Resolve(name, trigger string) (Choice, error) { return resolve(models, name, trigger) }

func resolve(models []Model, name, trigger string) (Choice, error) {
	m, err := lookup(models, name)
	if err != nil {
		return Choice{}, err
	}
	auto := m.Triggers
	if auto&poller.Edge != 0 {
		auto = poller.Edge
	}
	want, ok := map[string]poller.Trigger{"edge": poller.Edge, "level": poller.Level, Auto: auto}[trigger]
	if !ok {
		return Choice{}, fmt.Errorf("%q: there is no %q trigger: want edge, level, auto", m.Name, trigger)
	}
	if want&m.Triggers == want {
		return Choice{Model: m, Trigger: want}, nil
	}
	can := "there is no choice of trigger, leave it at auto"
	if m.Triggers != 0 {
		can = fmt.Sprintf("it has %s only", m.Triggers)
	}
	return Choice{}, fmt.Errorf("%q cannot be driven with the %s trigger: %s; with %s here: %s",
		m.Name, trigger, can, trigger, available(models, func(m Model) bool { return m.Triggers&want != 0 }))
}

// lookup returns the model of that name, if it can run.
func lookup(models []Model, name string) (Model, error) {
	all := func(Model) bool { return true }
	reason := errors.New("there is no such model")
	for _, m := range models {
		switch {
		case name == Auto && m.isDefault() && m.Probe() == nil:
			return m, nil
		case name == m.Name:
			if reason = m.Probe(); reason == nil {
				return m, nil
			}
		}
	}
	if name == Auto {
		reason = errors.New("no event loop with an edge trigger can run here")
	}
	if !strings.HasPrefix(reason.Error(), name+": ") { // else it names the model already
		reason = fmt.Errorf("%q: %w", name, reason)
	}
	return Model{}, fmt.Errorf("%w; available here: %s", reason, available(models, all))
}

// isDefault reports whether auto takes the model where it can run.
func (m Model) isDefault() bool { return m.Loops && m.Triggers&poller.Edge != 0 }

// available lists those of the picked models that can run here.
func available(models []Model, pick func(Model) bool) string {
	var names []string
	for _, m := range models {
		if pick(m) && m.Probe() == nil {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Models lists every model, available here or not, in the order of their table in docs/io-models.md.
func Models() []Model { return slices.Clone(models) }

// Names lists the models by name.
func Names() []string {
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	return names
}
