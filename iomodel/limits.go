package iomodel

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/quota"
	"github.com/evhttpd/evhttpd/poller"
)

// Limit is something of this machine that bounds a model, and what lifts it.
type Limit struct {
	Name   string // as the system calls it: RLIMIT_NOFILE, net.core.somaxconn
	Value  uint64 // as it is now for this process; Unlimited
	Bounds string // what it counts, and what happens beyond
	Lift   []Lift // ways to raise it, any one of which will do; none: it cannot be raised
	free   uint64 // of a limit of threads: how many more there may be
}

// Lift is one way to raise a limit.
type Lift struct {
	Where string `json:"where"` // shell, root shell, systemd unit, docker, command line
	Do    string `json:"do"`    // exactly what to type or to write there
}

// threadsDefault is Options.Threads unless it is configured.
const threadsDefault = 256

// rlimitSigpending is RLIMIT_SIGPENDING of <asm-generic/resource.h>: it is Linux's, as sigio is.
const rlimitSigpending = 11

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
	now, err := softLimit(unix.RLIMIT_NOFILE)
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
		l.Lift = rlimitLifts(fmt.Sprintf("%sulimit -n %d", before, more), "NOFILE", more)
	}
	return []Limit{l}
}

// epollLimits is what one user may register with epoll (epoll(7)).
func epollLimits() []Limit {
	return setting("fs.epoll.max_user_watches", 0, "descriptors registered with epoll by one user's processes; "+
		"beyond, a connection is closed at once")
}

// selectLimits is the C library's fd_set, which cannot be longer; on Linux the sets are as long as they have to be.
func selectLimits() []Limit {
	b, _ := poller.Lookup("select")
	if b.MaxFD == 0 {
		return nil
	}
	return []Limit{{
		Name: "FD_SETSIZE", Value: uint64(b.MaxFD),
		Bounds: "the highest descriptor that a set has room for, compiled in; beyond, a connection is refused: " +
			"use poll or kqueue, or lower limits.connections",
	}}
}

// sigioLimits is the length of the queue of real-time signals (getrlimit(2)).
func sigioLimits() []Limit {
	return rlimit(rlimitSigpending, "SIGPENDING", "ulimit -i", 1, "signals queued for all processes of this user; "+
		"beyond, SIGIO stands for all that found no room, and every descriptor is asked about once: slow, nothing is "+
		"lost")
}

// ringLimits is the memory that a user may have locked (getrlimit(2)).
func ringLimits() []Limit {
	return rlimit(unix.RLIMIT_MEMLOCK, "MEMLOCK", "ulimit -l", 1024, "locked memory, in bytes, of all processes of "+
		"this user that lack CAP_IPC_LOCK. A loop's ring takes 200 KiB of it, or 36 or 12 if all loops and those of "+
		"an upgrade would not fit otherwise")
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

// rlimit is a limit of getrlimit(2), RLIMIT_name, and how it is raised to four times as much; none: the system does not
// tell. ulimit is the shell's command, which counts in units.
func rlimit(resource int, name, ulimit string, unit uint64, bounds string) []Limit {
	now, err := softLimit(resource)
	if err != nil {
		return nil
	}
	l := Limit{Name: "RLIMIT_" + name, Value: now, Bounds: bounds}
	if now != Unlimited {
		l.Lift = rlimitLifts(fmt.Sprintf("%s %d", ulimit, 4*now/unit), name, 4*now)
	}
	return []Limit{l}
}

// rlimitLifts are the ways to raise RLIMIT_name, with the shell's command for it.
func rlimitLifts(command, name string, to uint64) []Lift {
	return []Lift{
		{inShell, command},
		{inUnit, fmt.Sprintf("Limit%s=%d", name, to)},
		{inDocker, fmt.Sprintf("docker run --ulimit %s=%d", strings.ToLower(name), to)},
	}
}

// softLimit returns a soft limit of this process (getrlimit(2)).
func softLimit(resource int) (uint64, error) {
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

// setting is the limit of that kernel setting, none if the kernel has none.
// more is what to raise it to; 0, or if it is that already, four times as much.
func setting(name string, more uint64, bounds string) []Limit {
	now, ok := quota.Setting(name)
	if !ok {
		return nil
	}
	if now >= more {
		more = 4 * now
	}
	lift := []Lift{{inShell, fmt.Sprintf("sysctl -w %s=%d", name, more)}}
	return []Limit{{Name: name, Value: now, Bounds: bounds, Lift: lift}}
}
