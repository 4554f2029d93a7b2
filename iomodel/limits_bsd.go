//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package iomodel

import "github.com/evhttpd/evhttpd/internal/quota"

// queueNames is what the systems call the cap of a listener's queue.
var queueNames = []string{"kern.ipc.soacceptqueue", "kern.ipc.somaxconn", "kern.somaxconn"}

// descriptorCeiling is how far RLIMIT_NOFILE can be raised from now.
func descriptorCeiling(now uint64) (before string, more uint64) {
	if most, ok := quota.Setting("kern.maxfilesperproc"); ok && most > now {
		return "", most
	}
	return "", 4 * now
}

// queueLimits is what caps a listener's queue (listen(2)).
func queueLimits() (limits []Limit) {
	for _, name := range queueNames {
		if limits == nil {
			limits = setting(name, 4096,
				"connections that wait to be accepted, a listening socket; it caps backlog, 4096 by default")
		}
	}
	return limits
}

// threadLimits are all that bound the threads of this process.
func threadLimits() []Limit { return nil }
