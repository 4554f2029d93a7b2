package iomodel

import (
	"fmt"
	"os"
)

// runtimeTasks is room for threads beside those that run goroutines (GOMAXPROCS), those of workers, and those
// of blocking connections: what Go's runtime has of its own, and calls that block (logs, files that are closed, name
// look-ups). 28 were counted beside 256 connections and 64 threads of the garbage collector.
const runtimeTasks = 32

// tasks is how many threads the choice may come to have.
func (c Choice) tasks(o *Options) int {
	n := c.MaxProcs(o) + o.Workers + runtimeTasks
	if c.Threads {
		n += o.Threads
	}
	return n
}

// Fit lowers Options.Threads to what this process may have (pids.max, RLIMIT_NPROC, kernel.threads-max), since Go
// ends the program when it is refused a thread. It returns the limit that is too low for what the options ask
// for; its Name is empty if there is none. A model with a thread a connection that has not even one is an error.
func (c Choice) Fit(o *Options) (Limit, error) {
	most, by := tasksAllowed()
	if uint64(c.tasks(o)) <= most {
		return Limit{}, nil
	}
	return by, c.fit(o, most, by)
}

// fit does so where the process may have most threads by a limit that is too low.
func (c Choice) fit(o *Options, most uint64, by Limit) error {
	if !c.Threads {
		return nil // it has those that it needs in any case, or not
	}
	need := c.tasks(o)
	one, two := *o, *o
	one.Threads, two.Threads = 1, 2
	base, each := c.tasks(&one), c.tasks(&two)-c.tasks(&one)
	if uint64(base) > most {
		return fmt.Errorf("io_model %s: %s leaves this process %d threads, and it takes %d to serve one connection: "+
			"raise the limit to %d for %d connections at a time, or take a model with loops",
			c.Name, by.Name, most, base, need, o.Threads)
	}
	o.Threads = 1 + (int(most)-base)/each
	return nil
}

// tasksAllowed is how many threads this process may have as things stand, and the limit that says so.
// Go ends the program when it is refused a thread (runtime: failed to create new OS thread).
func tasksAllowed() (most uint64, by Limit) {
	most = Unlimited
	own, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return most, by // another system's limits are not known
	}
	for _, l := range threadLimits() {
		if here := l.free + uint64(len(own)); here < most && l.Value != Unlimited {
			most, by = here, l
		}
	}
	return most, by
}
