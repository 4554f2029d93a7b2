//go:build !linux

package machine

import (
	"errors"
	"net/netip"
	"runtime"
	"time"
)

// describe knows nothing more here.
func (f *Fingerprint) describe() {}

// AllowedCPUs are as many as Go sees: only Linux tells which of them this process may use.
func AllowedCPUs() []int {
	cpus := make([]int, runtime.NumCPU())
	for i := range cpus {
		cpus[i] = i
	}
	return cpus
}

// Siblings are not known here.
func Siblings(int) []int { return nil }

var errPin = errors.New("machine: threads are pinned to CPUs on Linux only")

// PinThread does nothing here but say so.
func PinThread([]int) error { return errPin }

// PinProcess does nothing here but say so.
func PinProcess([]int) error { return errPin }

// CPUTime of another process is not known here.
func CPUTime(int) (time.Duration, bool) { return 0, false }

// Resident memory of another process is not known here.
func Resident(int) (int64, bool) { return 0, false }

// Switches of another process are not known here.
func Switches(int) (voluntary, involuntary int64, ok bool) { return 0, 0, false }

// Listeners are not known here.
func Listeners(netip.AddrPort) []int { return nil }

// UnixListeners cannot be had here.
func UnixListeners(string) []int { return nil }

// Usage of all CPUs is not known here.
func Usage() (busy, stolen time.Duration, ok bool) { return 0, 0, false }
