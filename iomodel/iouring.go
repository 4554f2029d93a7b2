package iomodel

import "github.com/evhttpd/evhttpd/poller"

// ioUring is the model of io_uring(7): the loops of package reactor over completions.
func ioUring() Model {
	return Model{
		Name:      "io_uring",
		Class:     "asynchronous",
		Mechanism: "io_uring_enter",
		Loops:     true,
		Probe:     probeRing,
		New: func(o Options) (Server, error) {
			o.Backend = poller.Backend{Name: "io_uring", Open: openRing}
			return newLoops(o)
		},
	}
}
