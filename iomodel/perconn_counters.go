package iomodel

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/sendfile"
)

// counterShards is how many a server has: with one, a thousand threads would
// wait for each other.
const counterShards = 8

// counterShard is what a part of a server's turns have counted. A Workspace counts in plain
// memory of its own; what a turn has added is moved here when it is over, since there may
// be no other turn on that Workspace for a long time, or ever.
type counterShard struct {
	mu    sync.Mutex
	count conn.Counters
	_     [64]byte // the next one's lock is on another cache line
}

// nextShard deals out the shards to counts that are of no connection.
var nextShard atomic.Uint32

// addCounters adds to the server's counters.
func (s *ownedServer) addCounters(delta *conn.Counters) {
	s.shards[nextShard.Add(1)%counterShards].add(delta)
}

func (t *counterShard) add(delta *conn.Counters) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.Add(delta)
}

// account moves to the server what the turn has counted.
func (c *ownedConn) account() {
	count := &c.local.Counters
	c.local.Settle(c.turnEnded)
	phase, _ := c.conn.Phase()
	if c.left {
		phase = conn.NumPhases
	}
	if c.countedPhase != phase {
		if c.countedPhase != conn.NumPhases {
			count.Connections[c.countedPhase]-- // the sum of all is right
		}
		if phase != conn.NumPhases {
			count.Connections[phase]++
		}
		c.countedPhase = phase
	}
	c.server.shards[c.token%counterShards].add(count)
	*count = conn.Counters{}
}

// called counts a system call of the turn.
func (c *ownedConn) called(call conn.Call, err error) { called(&c.local.Counters, call, err) }

func called(count *conn.Counters, call conn.Call, err error) {
	count.Calls[call]++
	if err == unix.EAGAIN {
		count.Again[call]++
	}
}

// calledSendfile counts what sendfile.Send did for the turn.
func (c *ownedConn) calledSendfile(f *sendfile.File, err error) {
	if f.Copied() {
		c.called(conn.CallSend, err)
	} else {
		c.called(conn.CallSendFile, err)
	}
}

// Counters implements [Server].
func (s *ownedServer) Counters() (sum conn.Counters) {
	for i := range s.shards {
		t := &s.shards[i]
		t.mu.Lock()
		sum.Add(&t.count)
		t.mu.Unlock()
	}
	sum.Unknown = s.unknown
	sum.Resting = int64(s.resting.Load())
	return sum
}
