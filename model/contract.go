package model

import (
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/workers"
)

// Options are what a server of any model is made with.
type Options struct {
	Config *conn.Config
	// NewHandler and NewLog make one of each for a loop; NewLog may be nil. Servers without loops call NewLog once,
	// and what it returns must then be safe for all connections at a time and hand its lines over by
	// itself: Tick is called at the end alone.
	NewHandler func() conn.Handler
	NewLog     func() conn.AccessLog
	Pool       *workers.Pool
	// Connections is the most that are open at a time; 0: no limit. Beyond it the longest idle
	// connection is closed, and if there is none the new one gets 503. A loop closes idle ones of its own only.
	Connections int
	// Open counts the connections of all servers that it is given to, as far as
	// Connections is concerned; nil: of this one.
	Open *atomic.Int64
	// Budget bounds the memory that connections hold, of all servers that it is given to; nil: no bound.
	Budget *conn.Budget
	// Warn takes what an operator should know; err may be nil. It is called from
	// many goroutines, as often as it happens, and must not block. It may be nil.
	Warn func(what string, err error)
}

// Complete returns the options with what may be nil filled in.
func (o Options) Complete() Options {
	if o.Open == nil {
		o.Open = new(atomic.Int64)
	}
	if o.Budget == nil {
		o.Budget = new(conn.Budget)
	}
	if o.Warn == nil {
		o.Warn = func(string, error) {}
	}
	return o
}

// Settings are what a reload changes while a server runs. They are taken over between two connections' turns.
type Settings struct {
	Config      *conn.Config
	Connections int // as [Options.Connections]
	// NewHandler makes the handlers that replace those in use; nil: those stay.
	NewHandler func() conn.Handler
	// Relog: NewLog makes the logs that replace those in use, nil for none; else those stay.
	// A line that was begun is ended in the log that it was begun for.
	Relog  bool
	NewLog func() conn.AccessLog
}

// Listener is a listening socket that connections are accepted from. It is non-blocking
// and belongs to whoever opened it; a server never closes it.
type Listener struct {
	FD     int
	Shared bool // other loops accept from it too
}

// Handed is a connection on its way from one server to another. It is between
// two requests; nothing of it has been read and not answered.
type Handed struct {
	FD   int // non-blocking, and its receiver's to close
	Conn conn.Conn
}

// Ended says what a server's end cut off.
type Ended struct {
	Idle int // connections between two requests
	Cut  int // connections within one
	Err  error
}
