package iomodel

import "github.com/evhttpd/evhttpd/poller"

// models lists every way to drive connections, from the simplest to those that
// the kernel does most for. Of those that can run, auto takes the first event
// loop with an edge trigger.
var models = []Model{
	blocking(),
	readiness("spin", "non-blocking", "recv on every connection in turn", poller.Level),
	readiness("select", "multiplexing", "pselect6", poller.Level),
	readiness("poll", "multiplexing", "ppoll", poller.Level),
	readiness("epoll", "multiplexing", "epoll_wait", poller.Level|poller.Edge),
	readiness("kqueue", "multiplexing", "kevent, EV_CLEAR for edge", poller.Level|poller.Edge),
	readiness("sigio", "signal-driven", "F_SETSIG real-time signal, signalfd", poller.Edge),
	ioUring(),
	goroutine(),
	netpollModel(),
}
