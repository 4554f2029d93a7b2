package iomodel

import (
	"fmt"
	"runtime"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/reactor"
)

// readiness is the model of a poller's backend: event loops of package reactor.
func readiness(name, class, mechanism string, triggers poller.Trigger) Model {
	return Model{
		Name:      name,
		Class:     class,
		Mechanism: mechanism,
		Triggers:  triggers,
		Loops:     true,
		Probe: func() error {
			if _, ok := poller.Lookup(name); !ok {
				return fmt.Errorf("%s has no %s", runtime.GOOS, name)
			}
			return nil
		},
		New: func(o Options) (Server, error) {
			o.Backend, _ = poller.Lookup(name)
			return newLoops(o)
		},
	}
}

// newLoops returns a server of event loops over Options.Backend. On an error it returns no server, rather than a
// nil *reactor.Reactor, which as a Server would not be nil.
func newLoops(o Options) (Server, error) {
	r, err := reactor.New(o.Loops, o.Options)
	if err != nil {
		return nil, err
	}
	return r, nil
}
