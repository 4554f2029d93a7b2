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
			return reactor.New(o.Loops, o.Options)
		},
	}
}
