// Package iomodel knows every way to drive connections by name: what is
// available on this machine, with which triggers, and why something is not.
//
// It imports reactor, conn and poller, and knows no file, site or configuration file.
package iomodel

import (
	"fmt"
	"strings"

	"github.com/evhttpd/evhttpd/poller"
)

// Auto is the name that stands for the platform's default.
const Auto = "auto"

// Choice is a model as it will run.
type Choice struct {
	Backend poller.Backend
	Trigger poller.Trigger
}

// String returns the choice in the words of the start-up line.
func (c Choice) String() string { return c.Backend.Name + " " + triggerName(c.Trigger) }

// Resolve finds the model of that name with that trigger (edge, level or
// auto). A model that is not available here is an error that lists those that
// are: one is never replaced by another.
func Resolve(name, trigger string) (Choice, error) {
	backends := poller.Backends()
	if len(backends) == 0 {
		return Choice{}, fmt.Errorf("no IO model is available on this platform")
	}
	backend := backends[0]
	if name != Auto {
		var ok bool
		if backend, ok = poller.Lookup(name); !ok {
			return Choice{}, fmt.Errorf("IO model %q is not available here; available: %s", name, strings.Join(Names(), ", "))
		}
	}
	c := Choice{Backend: backend}
	switch {
	case trigger == "edge" || trigger == Auto && backend.Triggers&poller.Edge != 0:
		c.Trigger = poller.Edge
	default:
		c.Trigger = poller.Level
	}
	if backend.Triggers&c.Trigger == 0 {
		return Choice{}, fmt.Errorf("IO model %s has no %s trigger; it has: %s", backend.Name, trigger, triggerName(backend.Triggers))
	}
	return c, nil
}

// Names lists what --io-model takes here.
func Names() []string {
	names := []string{Auto}
	for _, b := range poller.Backends() {
		names = append(names, b.Name)
	}
	return names
}

func triggerName(t poller.Trigger) string {
	switch t {
	case poller.Edge:
		return "edge"
	case poller.Level:
		return "level"
	default:
		return "edge, level"
	}
}
