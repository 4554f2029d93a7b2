package iomodel

import "github.com/evhttpd/evhttpd/iomodel/ring"

// ioUring is the model of io_uring(7): the loops of package reactor over completions.
func ioUring() Model {
	return Model{
		Name:      "io_uring",
		Class:     "asynchronous",
		Mechanism: "io_uring_enter",
		Loops:     true,
		Probe:     ring.Probe,
		New:       func(o Options) (Server, error) { return loops(ring.New(o.Loops, o.Options)) },
	}
}
