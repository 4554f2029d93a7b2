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
			backend, _ := poller.Lookup(name)
			return loops(reactor.New(o.Loops, reactor.Options{Options: o.Options, Backend: backend, Trigger: o.Trigger}))
		},
	}
}

// loops is a reactor as a Server. A nil *reactor.Reactor would be a Server that is not nil.
func loops(r *reactor.Reactor, err error) (Server, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}
