package iomodel

import "github.com/evhttpd/evhttpd/iomodel/ring"

// ioUring is the model of io_uring(7): the loops of package reactor over completions.
func ioUring() Model {
	return Model{
		Name:      "io_uring",
		Class:     "asynchronous",
		Mechanism: "io_uring_enter",
		Loops:     true,
		Cannot: "What is sent is copied once more, to memory that the kernel may see; bodies over 8 KiB and files " +
			"are sent by direct calls.",
		ownLimits: ringLimits,
		Probe:     ring.Probe,
		New:       func(o Options) (Server, error) { return loops(ring.New(o.Loops, o.Options)) },
	}
}
