package iomodel

import "github.com/evhttpd/evhttpd/poller"

// models lists every way to drive connections, from the simplest to those that
// the kernel does most for. Of those that can run, auto takes the first event
// loop with an edge trigger.
var models = []Model{
	blocking(),
	readiness(Model{
		Name: "spin", Class: "non-blocking", Mechanism: "recv on every connection in turn", Triggers: poller.Level,
		Cannot: "Keeps one CPU a loop busy, requests or none, and tries every connection in each turn.",
	}),
	readiness(Model{
		Name: "select", Class: "multiplexing", Mechanism: "pselect6", Triggers: poller.Level,
		Cannot:    "A wait costs time in proportion to the highest descriptor, ready or not.",
		ownLimits: selectLimits,
	}),
	readiness(Model{
		Name: "poll", Class: "multiplexing", Mechanism: "ppoll", Triggers: poller.Level,
		Cannot: "A wait costs time in proportion to the connections, ready or not.",
	}),
	readiness(Model{
		Name: "epoll", Class: "multiplexing", Mechanism: "epoll_wait", Triggers: poller.Level | poller.Edge,
		ownLimits: epollLimits,
	}),
	readiness(Model{
		Name: "kqueue", Class: "multiplexing", Mechanism: "kevent, EV_CLEAR for edge",
		Triggers: poller.Level | poller.Edge,
	}),
	readiness(Model{
		Name: "sigio", Class: "signal-driven", Mechanism: "F_SETSIG real-time signal, signalfd", Triggers: poller.Edge,
		Cannot: "A signal names a descriptor and little more: whoever was signalled is asked again, in one ppoll. " +
			"Listeners, which loops may share, are in each.",
		ownLimits: sigioLimits,
	}),
	ioUring(),
	goroutine(),
	netpollModel(),
}
