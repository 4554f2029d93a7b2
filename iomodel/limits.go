package iomodel

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Limit is something of this machine that bounds a model, and what lifts it.
type Limit struct {
	Name   string // as the system calls it: RLIMIT_NOFILE, net.core.somaxconn
	Value  uint64 // as it is now for this process; Unlimited
	Bounds string // what it counts, and what happens beyond
	Lift   []Lift // ways to raise it, any one of which will do; none: it cannot be raised
}

// Lift is one way to raise a limit.
type Lift struct {
	Where string // shell, root shell, systemd unit, docker, command line
	Do    string // exactly what to type or to write there
}

// threadsDefault is Options.Threads unless it is configured.
const threadsDefault = 256

// Unlimited is the Value of a limit that is not set.
const Unlimited = ^uint64(0)

// Where a limit is lifted.
const (
	inShell   = "root shell" // ulimit: beyond the hard limit root alone may go
	inUnit    = "systemd unit"
	inDocker  = "docker"
	inCommand = "command line"
)

// Limits lists what bounds the model on this machine as it is now: those of
// every model first. What this system does not have is not listed.
func (m Model) Limits() []Limit {
	limits := append(descriptorLimits(), queueLimits()...)
	if m.ownLimits != nil {
		limits = append(limits, m.ownLimits()...)
	}
	return limits
}

// descriptorLimits is RLIMIT_NOFILE. Go has raised the soft limit to the hard
// one before main, so that one counts.
func descriptorLimits() []Limit {
	now, err := resourceLimit(unix.RLIMIT_NOFILE)
	if err != nil {
		return nil
	}
	l := Limit{
		Name: "RLIMIT_NOFILE", Value: now,
		Bounds: "open descriptors of the process; a connection is one, a cached file another",
	}
	if now != Unlimited {
		before, more := descriptorCeiling(now)
		l.Bounds += fmt.Sprintf("; limits.connections is 90 %%: %d, and cache.descriptors at most %d",
			now/10*9, (now-now/10*9)/2)
		l.Lift = []Lift{
			{inShell, fmt.Sprintf("%sulimit -n %d", before, more)},
			{inUnit, fmt.Sprintf("LimitNOFILE=%d", more)},
			{inDocker, fmt.Sprintf("docker run --ulimit nofile=%d", more)},
		}
	}
	return []Limit{l}
}

// blockingLimits are the threads that the program allows itself, and the
// tightest of what the machine allows it.
func blockingLimits() []Limit {
	own := Limit{
		Name:  "--threads",
		Value: threadsDefault,
		Bounds: "connections served at a time, by default; at most 8192, since Go ends a program that has 10000 " +
			"threads. A connection takes two threads of the limit below, its own and Go's; with fewer, the server " +
			"lowers the number",
		Lift: []Lift{{inCommand, fmt.Sprintf("--threads %d", ThreadsMax)}},
	}
	limits := []Limit{own}
	if l, ok := tightest(threadLimits()); ok {
		limits = append(limits, l)
	}
	return limits
}

// tightest returns the smallest of limits, the first of equals, unless none is set.
func tightest(limits []Limit) (least Limit, ok bool) {
	least.Value = Unlimited
	for _, l := range limits {
		if l.Value < least.Value {
			least, ok = l, true
		}
	}
	return least, ok
}

// resourceLimit returns a soft limit of this process (getrlimit(2)).
func resourceLimit(resource int) (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return 0, err
	}
	// RLIM_INFINITY has all bits set, but on the BSDs for the sign.
	if uint64(l.Cur) >= 1<<63-1 {
		return Unlimited, nil
	}
	return uint64(l.Cur), nil
}
