//go:build !linux

package load

import (
	"fmt"
	"runtime"
	"time"
)

// threadCPU is not known here.
func threadCPU() (cpu time.Duration, preempted int64, known bool) { return 0, 0, false }

// pinThread is not possible here.
func pinThread(cpu int) error {
	return fmt.Errorf("load: %s cannot pin a loop to CPU %d: leave CPUs empty", runtime.GOOS, cpu)
}
