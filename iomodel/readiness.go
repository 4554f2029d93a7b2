package iomodel

import (
	"fmt"
	"runtime"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/reactor"
)

// readiness completes the model of the poller's backend of its name: event loops of package reactor.
func readiness(m Model) Model {
	m.Loops = true
	m.Probe = func() error {
		if _, ok := poller.Lookup(m.Name); !ok {
			return fmt.Errorf("%s has no %s", runtime.GOOS, m.Name)
		}
		return nil
	}
	m.New = func(o Options) (Server, error) {
		backend, _ := poller.Lookup(m.Name)
		return loops(reactor.New(o.Loops, reactor.Options{Options: o.Options, Backend: backend, Trigger: o.Trigger}))
	}
	return m
}

// loops is a reactor as a Server. A nil *reactor.Reactor would be a Server that is not nil.
func loops(r *reactor.Reactor, err error) (Server, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}
