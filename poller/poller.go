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
	"fmt"
	"slices"
	"syscall"
	"time"
)

// Ready is a set of directions. As an interest it says what to wait for, as
// part of an [Event] what may be done now.
type Ready uint8

// The bits of a Ready. Hangup is only ever reported, never asked for: the
// peer has closed its sending side or the connection is gone. An error on a
// descriptor, or a connection gone in both directions, is reported as all
// three, whatever was asked for, so that whatever call comes next meets it.
// Hangup comes with Readable (the end of the stream is there to be read) and,
// while the connection lives, to an interest in Readable only.
//
// Some kernel interfaces cannot tell a hangup from data: select and spin report
// it, and an error, in the directions that were asked for, and poll outside
// Linux reports a half-close so. They are level-triggered: the next call tells.
const (
	Readable Ready = 1 << iota
	Writable
	Hangup
	// Urgent is only ever reported, by pollers with an edge trigger on Linux: the stream has an urgent byte
	// (MSG_OOB, tcp(7)) that was not passed yet. A recv stops there and is short although more is behind it, for
	// which there is no edge. Pollers with a level trigger report that as Readable again.
	Urgent
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

// String names the triggers of the set: "level", "edge", "level, edge"; a dash if it is empty.
func (t Trigger) String() string {
	switch t {
	case Level:
		return "level"
	case Edge:
		return "edge"
	case Level | Edge:
		return "level, edge"
	}
	return "-"
}

// Token names the owner of a descriptor in events: by convention a slot's
// index in the low 32 bits and its generation in the high 32, so that an event
// for a connection that has been closed misses its successor in the same slot.
// A Token is never a pointer: the kernel keeps it where the garbage collector cannot see.
// The token of which all bits are set is the poller's own: Add and Modify refuse it.
type Token uint64

// tokenWake marks the descriptor behind Wake. No slot has that index.
const tokenWake = ^Token(0)

// Event says what may be done with the descriptor that Token was added with.
type Event struct {
	Token Token
	Ready Ready
}

// Flags modify one Add. A descriptor that was added with flags cannot be modified, only removed.
type Flags uint8

const (
	// ForceLevel reports this descriptor level-triggered whatever the
	// poller's trigger is: for listeners, of which a batch of connections is
	// accepted and the rest left for the next Wait.
	ForceLevel Flags = 1 << iota
	// Exclusive wakes one of the pollers that share this descriptor rather
	// than all (EPOLLEXCLUSIVE, Linux 4.5). A hint: ignored elsewhere.
	Exclusive
)

// Poller waits for many descriptors at once. All methods but Wake are for the
// one goroutine that owns the poller, which for sigio must be locked to its OS
// thread (runtime.LockOSThread) from the first Wait to Close.
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
	// Wait fills events and returns their number. It waits no longer than timeout, nor than
	// WaitMax, which a negative timeout stands for; 0 does not wait at all. It returns 0, nil when the time
	// is up (never before), when Wake was called, and when a signal
	// interrupted it (EINTR). After an error that is [Transient] nothing was lost, and it may
	// be called again. events must have room for one at least; a call
	// fills 512 at most, and what did not fit comes in the next calls. (spin
	// never waits: it returns at once, whatever the timeout.)
	Wait(events []Event, timeout time.Duration) (int, error)
	// Wake makes a Wait that runs now, or else the next one, return. Calls
	// before that Wait returns are coalesced. It may be called from any
	// goroutine, also after Close (then it does nothing). After an error
	// nothing is pending: the next call tries again.
	Wake() error
	// Close frees the poller's own descriptors, not those added to it.
	// Closing again does nothing.
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

// Errors of a caller's mistake. Test for them with errors.Is.
var (
	// ErrTrigger is returned by Open for a trigger that the backend cannot
	// do, or for none or both of them.
	ErrTrigger = errors.New("poller: the backend does not have this trigger")
	// ErrToken is returned by Add and Modify for the one token that is reserved.
	ErrToken = errors.New("poller: the token with all bits set is reserved")
	// ErrNoRoom is returned by Wait for an empty slice of events.
	ErrNoRoom = errors.New("poller: Wait needs room for one event at least")
)

// Transient reports whether a Wait failed for a reason that passes by itself. What it may fail with, beside EINTR,
// which is no error here, and mistakes such as EBADF, which last:
//
//	epoll_pwait      nothing, says epoll_wait(2); a kernel without memory is survived all the same
//	ppoll            ENOMEM, and EAGAIN on other systems, says poll(2); EINVAL: see pollAll
//	pselect6         ENOMEM, says select(2)
//	kevent           ENOMEM, says kevent(2) of FreeBSD
//	read             of an eventfd or a signalfd: EAGAIN, which is no error here either
//	io_uring_enter   EAGAIN and EBUSY, says io_uring_enter(2), and ENOMEM
func Transient(err error) bool {
	passes := []error{syscall.ENOMEM, syscall.EAGAIN, syscall.EBUSY, syscall.ENOBUFS, syscall.EINTR}
	return slices.ContainsFunc(passes, func(e error) bool { return errors.Is(err, e) })
}

// backend returns the backend that open makes pollers of. Its Open refuses a trigger that it cannot do.
func backend(name string, triggers Trigger, maxFD int, open func(Trigger) (Poller, error)) Backend {
	return Backend{Name: name, Triggers: triggers, MaxFD: maxFD, Open: func(o Options) (Poller, error) {
		if t := o.Trigger; t != Level && t != Edge || triggers&t == 0 {
			return nil, fmt.Errorf("%w: %s takes one of: %s; asked for: %s", ErrTrigger, name, triggers, t)
		}
		return open(o.Trigger)
	}}
}

// Calls counts what a poller asks of the kernel, but for Wake, Open and Close.
type Calls struct {
	Wait       uint64 // system calls of Wait
	Control    uint64 // system calls of Add, Modify and Remove
	Operations uint64 // requests to io_uring
	// Overflows is how often the queue by which the kernel tells of events was full (sigio: RLIMIT_SIGPENDING).
	// No event is lost: all descriptors are asked about instead, which is slow.
	Overflows uint64
}

// Counter is implemented by pollers that make system calls; spin makes none.
type Counter interface {
	// Calls is for the poller's owner, as Wait is.
	Calls() Calls
}

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
