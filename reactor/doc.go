// Package reactor is the event loop over a [poller.Poller]: it accepts
// connections, steps those that are ready, gives each a bounded turn, runs
// their timers, and brings back work that was done elsewhere.
//
// A loop is a goroutine locked to its thread. It owns its connections, their
// slots and their timers alone, so nothing on the way of a request takes a lock.
//
// It imports conn, model, poller, sendfile and socket, and knows no file,
// site or configuration file.
package reactor
