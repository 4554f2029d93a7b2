package iomodel

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/sendfile"
)

// tallies is how many of them a crew has: with one, a thousand threads would
// wait for each other.
const tallies = 8

// tally is what a part of a crew's turns have counted. A Workspace counts in plain
// memory of its own; what a turn has added is moved here when it is over, since there may
// be no other turn on that Workspace for a long time, or ever.
type tally struct {
	mu    sync.Mutex
	count conn.Counters
	_     [64]byte // the next one's lock is on another cache line
}

// nextTally deals out the tallies to who has no token.
var nextTally atomic.Uint32

// tally adds to the crew's counters.
func (c *crew) tally(delta *conn.Counters) { c.counted[nextTally.Add(1)%tallies].add(delta) }

func (t *tally) add(delta *conn.Counters) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.Add(delta)
}

// account moves to the crew what the link's turn has counted.
func (k *link) account() {
	count := &k.local.Counters
	k.local.Settle(k.asked)
	phase, _ := k.conn.Phase()
	if k.ended {
		phase = conn.NumPhases
	}
	if k.phase != phase {
		if k.phase != conn.NumPhases {
			count.Connections[k.phase]-- // the sum of all is right
		}
		if phase != conn.NumPhases {
			count.Connections[phase]++
		}
		k.phase = phase
	}
	k.crew.counted[k.token%tallies].add(count)
	*count = conn.Counters{}
}

// called counts a system call of the turn.
func (k *link) called(call conn.Call, err error) { called(&k.local.Counters, call, err) }

func called(count *conn.Counters, call conn.Call, err error) {
	count.Calls[call]++
	if err == unix.EAGAIN {
		count.Again[call]++
	}
}

// calledSendfile counts what sendfile.Send did for the turn.
func (k *link) calledSendfile(f *sendfile.File, err error) {
	if f.Copied() {
		k.called(conn.CallSend, err)
	} else {
		k.called(conn.CallSendFile, err)
	}
}

// Counters implements [Server].
func (c *crew) Counters() (sum conn.Counters) {
	for i := range c.counted {
		t := &c.counted[i]
		t.mu.Lock()
		sum.Add(&t.count)
		t.mu.Unlock()
	}
	sum.Unknown = c.unknown
	sum.Resting = int(c.resting.Load())
	return sum
}
