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

// usage is what the machine and this program had used at a time.
type usage struct {
	at                time.Time
	busy, stolen, own time.Duration
	known             bool
}

func readUsage() usage {
	u := usage{at: time.Now(), own: machine.OwnUsage()}
	u.busy, u.stolen, u.known = machine.Usage()
	return u
}

// since is what others used from then until now, and what a hypervisor took, as shares of all CPUs.
func (u usage) since(then usage) (others, stolen float64, known bool) {
	if !u.known || !then.known {
		return 0, 0, false
	}
	all := float64(u.at.Sub(then.at)) * float64(runtime.NumCPU())
	return float64(u.busy-then.busy-(u.own-then.own)) / all, float64(u.stolen-then.stolen) / all, true
}

// busyNow looks for a moment at a machine on which nothing is measured yet, and says so if others work there.
func busyNow(ctx context.Context) string {
	before := readUsage()
	select {
	case <-time.After(look):
	case <-ctx.Done():
	}
	others, stolen, known := readUsage().since(before)
	switch {
	case known && others > othersShare:
		return fmt.Sprintf("This machine is busy: other programs use %.0f %% of its CPUs. They will be in all "+
			"figures; stop them first (top shows them).", 100*others)
	case known && stolen > othersShare:
		return fmt.Sprintf("This machine is busy: its hypervisor takes %.0f %% of its CPUs' time. That will be in all "+
			"figures.", 100*stolen)
	default:
		return ""
	}
}

// watchOthers begins to watch what others use of the machine. The function that it returns says so if that is
// enough to be in the figures; of other servers that are measured it says nothing, since they are such others.
func watchOthers() func(targets bool) string {
	began := readUsage()
	return func(targets bool) string {
		others, stolen, known := readUsage().since(began)
		switch {
		case known && others > othersShare && !targets:
			return fmt.Sprintf("Other programs used %.0f %% of this machine's CPUs meanwhile: they are in the "+
				"latencies and in the intervals. Stop them and measure again.", 100*others)
		case known && stolen > othersShare:
			return fmt.Sprintf("The hypervisor took %.0f %% of the CPUs' time meanwhile: it is in all figures.",
				100*stolen)
		default:
			return ""
		}
	}
}
