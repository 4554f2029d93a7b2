package iomodel

import "github.com/evhttpd/evhttpd/poller"

// models lists every way to drive connections. Of those that can run, auto
// takes the first with an edge trigger.
var models = []Model{
	readiness("epoll", "multiplexing", "epoll_wait", poller.Level|poller.Edge),
	readiness("kqueue", "multiplexing", "kevent", poller.Level|poller.Edge),
	readiness("poll", "multiplexing", "ppoll", poller.Level),
	readiness("select", "multiplexing", "pselect6", poller.Level),
	readiness("sigio", "signal-driven", "F_SETSIG, signalfd", poller.Edge),
	readiness("spin", "non-blocking", "recv in turn", poller.Level),
}
