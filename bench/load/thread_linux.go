package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU is what the calling thread has used, and how often it was preempted.
func threadCPU() (cpu time.Duration, preempted int64, known bool) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		return 0, 0, false
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), usage.Nivcsw, true
}

// pinThread has the calling thread run on that CPU alone.
func pinThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("load: pinning a loop to CPU %d: sched_setaffinity: %w", cpu, err)
	}
	return nil
}
