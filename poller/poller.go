// Package poller says which descriptors are ready. It holds one file a
// kernel mechanism (epoll, kqueue, ...), each with the same functions in the
// same order, behind one contract, [Poller].
//
// The contract: a false event is allowed, a missed one is not. An event is a
// hint that a call may now make progress; only the call itself tells the truth.
//
// It imports golang.org/x/sys and nothing of this project.
package poller

import (
	"errors"
	"time"
)

// Ready is a set of directions. As an interest it says what to wait for, as
// part of an [Event] what may be done now.
type Ready uint8

// The bits of a Ready. Hangup is only ever reported, never asked for: the
// peer has closed its sending side or the connection is gone. An error on a
// descriptor is reported as all three, so that whatever call comes next meets it.
const (
	Readable Ready = 1 << iota
	Writable
	Hangup
)

// Interest is the Readable and Writable bits of a Ready that Wait is to report.
// 0 keeps the descriptor registered and silent, as far as the kernel allows:
// epoll with a level trigger still reports a hangup, and goes on doing so.
type Interest = Ready

// Trigger is a set of ways to report readiness.
type Trigger uint8

// Level reports a descriptor in every Wait for as long as it is ready. Edge
// reports it once each time it becomes ready (and when it is added or modified
// while it is ready): whoever is told must go on until the call would block.
const (
	Level Trigger = 1 << iota
	Edge
)

// Token names the owner of a descriptor in events: by convention a slot's
// index in the low 32 bits and its generation in the high 32, so that an event
// for a connection that has been closed misses its successor in the same slot.
// A Token is never a pointer: the kernel keeps it where the garbage collector cannot see.
type Token uint64

// Event says what may be done with the descriptor that Token was added with.
type Event struct {
	Token Token
	Ready Ready
}

// Flags modify one Add.
type Flags uint8

const (
	// ForceLevel reports this descriptor level-triggered whatever the
	// poller's trigger is: for listeners, of which a batch of connections is
	// accepted and the rest left for the next Wait.
	ForceLevel Flags = 1 << iota
	// Exclusive wakes one of the pollers that share this descriptor rather
	// than all (EPOLLEXCLUSIVE, Linux 4.5). A hint: ignored elsewhere. A
	// descriptor added with it cannot be modified, only removed.
	Exclusive
)

// Poller waits for many descriptors at once. All methods but Wake are for the
// one goroutine that owns the poller.
type Poller interface {
	// Add registers fd, which must be non-blocking, under token. What is
	// ready already is reported by the next Wait, edge or not.
	Add(fd int, token Token, want Interest, flags Flags) error
	// Modify replaces the interest and the token of a registered fd, and
	// rearms it: what is ready now is reported by the next Wait, edge or not.
	Modify(fd int, token Token, want Interest) error
	// Remove forgets fd. It must come before fd is closed: a descriptor whose
	// duplicate lives on keeps reporting. Events of fd that the kernel has
	// handed out already may still be in the caller's batch.
	Remove(fd int) error
	// Wait fills events and returns their number. A negative timeout waits
	// without bound, 0 does not wait at all. It returns 0, nil when the time
	// is up, when Wake was called, and when a signal interrupted it (EINTR).
	Wait(events []Event, timeout time.Duration) (int, error)
	// Wake makes a Wait that runs now, or else the next one, return. Calls
	// before that Wait returns are coalesced. It may be called from any
	// goroutine, also after Close (then it does nothing).
	Wake() error
	// Close frees the poller's own descriptors, not those added to it.
	Close() error
}

// Options are what a Backend's Open honours; a backend says in its comment which.
type Options struct {
	// Trigger is Level or Edge and must be one the backend can do.
	Trigger Trigger
}

// Backend is one way to implement Poller.
type Backend struct {
	Name     string  // as in io_model
	Triggers Trigger // what it can do: Level, Edge or both
	MaxFD    int     // the highest number of descriptors it can watch; 0: no limit of its own
	Open     func(Options) (Poller, error)
}

// ErrTrigger is returned by Open for a trigger that the backend cannot do.
var ErrTrigger = errors.New("poller: the backend does not have this trigger")

// Backends lists what this platform has, in the order of preference.
func Backends() []Backend { return backends }

// Lookup returns the backend of that name.
func Lookup(name string) (Backend, bool) {
	for _, b := range backends {
		if b.Name == name {
			return b, true
		}
	}
	return Backend{}, false
}
