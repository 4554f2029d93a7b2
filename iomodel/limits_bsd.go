//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package iomodel

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/poller"
)

// queueNames is what the systems call the cap of a listener's queue.
var queueNames = []string{"kern.ipc.soacceptqueue", "kern.ipc.somaxconn", "kern.somaxconn"}

// descriptorCeiling is how far RLIMIT_NOFILE can be raised from now.
func descriptorCeiling(now uint64) (before string, more uint64) {
	if most, err := unix.SysctlUint32("kern.maxfilesperproc"); err == nil && uint64(most) > now {
		return "", uint64(most)
	}
	return "", 4 * now
}

// queueLimits is what caps a listener's queue (listen(2)).
func queueLimits() []Limit {
	for _, name := range queueNames {
		if now, err := unix.SysctlUint32(name); err == nil {
			return []Limit{{
				Name: name, Value: uint64(now),
				Bounds: "connections that wait to be accepted, a listening socket; it caps backlog, 4096 by default",
				Lift:   []Lift{{inShell, fmt.Sprintf("sysctl -w %s=%d", name, max(4*now, 4096))}},
			}}
		}
	}
	return nil
}

// epollLimits is none: there is no epoll here.
func epollLimits() []Limit { return nil }

// selectLimits is the C library's fd_set, which cannot be longer.
func selectLimits() []Limit {
	b, ok := poller.Lookup("select")
	if !ok || b.MaxFD == 0 {
		return nil
	}
	return []Limit{{
		Name: "FD_SETSIZE", Value: uint64(b.MaxFD),
		Bounds: "the highest descriptor that a set has room for, compiled in; beyond, a connection is refused: " +
			"use poll or kqueue, or lower limits.connections",
	}}
}

// sigioLimits is none: real-time signals for descriptors are Linux's.
func sigioLimits() []Limit { return nil }

// ringLimits is none: io_uring is Linux's.
func ringLimits() []Limit { return nil }

// threadLimits are all that bound the threads of this process.
func threadLimits() []Limit { return nil }

// tasksAllowed is how many threads this process may have, and the limit that says so.
func tasksAllowed() (most uint64, by Limit) { return Unlimited, Limit{} }
