//go:build !linux

package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what the process has used: its other threads do nothing that counts while something is measured.
func cpuTime() (time.Duration, error) {
	var usage unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err
}
