package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
)

const (
	// othersShare of all CPUs is how much others may work before it is said.
	othersShare = 0.03
	// look is how long others are watched before anything is measured: of so many ticks of 10 ms, two are within
	// othersShare on two CPUs.
	look = 400 * time.Millisecond
)

// watchOthers begins to watch the machine. What it returns tells what others have used since, and what a hypervisor
// took, as shares of all CPUs; 0 where that is not known.
func watchOthers() func() (others, stolen float64) {
	began, own := time.Now(), machine.OwnUsage()
	busy, taken, known := machine.Usage()
	return func() (others, stolen float64) {
		busyNow, takenNow, knownNow := machine.Usage()
		if !known || !knownNow {
			return 0, 0
		}
		all := float64(time.Since(began)) * float64(runtime.NumCPU())
		return float64(busyNow-busy-(machine.OwnUsage()-own)) / all, float64(takenNow-taken) / all
	}
}

// busyNow looks for a moment at a machine on which nothing is measured yet, and says so if others work there.
func busyNow(ctx context.Context) string {
	watched := watchOthers()
	select {
	case <-time.After(look):
	case <-ctx.Done():
	}
	switch others, stolen := watched(); {
	case others > othersShare:
		return fmt.Sprintf("This machine is busy: other programs use %.0f %% of its CPUs. They will be in all "+
			"figures; stop them first (top shows them).", 100*others)
	case stolen > othersShare:
		return fmt.Sprintf("This machine is busy: its hypervisor takes %.0f %% of its CPUs' time. That will be in "+
			"all figures.", 100*stolen)
	default:
		return ""
	}
}

// noteOthers notes what others used of the machine meanwhile, if that is enough to be in the figures; of other servers
// that are measured nothing, since they are such others.
func (c *comparison) noteOthers(others, stolen float64) {
	switch {
	case others > othersShare && len(c.asked.Targets) == 0:
		c.Note("Other programs used %.0f %% of this machine's CPUs meanwhile: they are in the latencies and in the "+
			"intervals. Stop them and measure again.", 100*others)
	case stolen > othersShare:
		c.Note("The hypervisor took %.0f %% of the CPUs' time meanwhile: it is in all figures.", 100*stolen)
	}
}
