package iomodel

// ioUring is the model of io_uring(7): the loops of package reactor over completions.
func ioUring() Model {
	return Model{
		Name:      "io_uring",
		Class:     "asynchronous",
		Mechanism: "io_uring_enter",
		Loops:     true,
		Probe:     probeRing,
		New:       newIOUring,
	}
}
