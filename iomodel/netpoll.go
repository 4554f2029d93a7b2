package iomodel

// netpollModel is the model of cloudwego/netpoll: its level-triggered pollers
// (Options.Loops of them) read what comes into buffers of their own, and its
// goroutine pool runs the connection's turns, one at a time. An idle connection has no goroutine;
// one that waits for room or for work keeps it.
//
// Accepting is ours, since netpoll's server cannot stop accepting without closing
// idle connections. So is what is sent, by the descriptor: its Writer gives up when the client has
// closed its sending side, and waits for all to be sent at once.
//
// What its pollers are reading cannot be asked, so that connections cannot move: see ownedTraits.immovable. They
// wait without a bound (golang/go#81759).
func netpollModel() Model {
	return Model{
		Name:      "netpoll",
		Mechanism: "cloudwego/netpoll: level-triggered epoll or kqueue, and a goroutine pool",
		Cannot: "Holds no client back: what is sent is read at once, so one with more than 256 KiB of requests not " +
			"yet taken is closed. Its pollers are the process's and outlive the server.",
		ownLimits: epollLimits,
		Probe:     probeNetpoll,
		New:       newNetpoll,
	}
}
