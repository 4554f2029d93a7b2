package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what the calling thread has used.
func cpuTime() (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano()), err
}
