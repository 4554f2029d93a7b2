package load

import (
	"math"
	"time"
)

// phase is how far a loop has come.
type phase uint8

const (
	ramping   phase = iota // connections are opened, and nothing is asked for
	warming                // requests are made that are not measured
	measuring              // the window is open
	draining               // it is over, and late answers are waited for
)

// window is the time that is measured, and the client's own use of the CPU in it.
type window struct {
	phase       phase
	from, until int64 // on the loop's clock
	end         int64 // of the time to drain it
	ended       int64 // when draining began: at until, or before if all requests were made
	cpu         LoopResult
}

// contains reports whether a time lies in the window.
func (w *window) contains(at int64) bool { return w.phase != ramping && at >= w.from && at < w.until }

// start settles when the window begins and ends for requests of which the first is due at that time.
func (w *window) start(at int64, opts *Options) {
	w.phase = warming
	w.from = at + int64(opts.WarmUp)
	w.until = w.from + int64(opts.Duration)
	w.end = w.until + int64(opts.Drain)
}

// next is when the phase changes by time alone, for a loop that waits.
func (w *window) next(now int64) int64 {
	switch {
	case w.phase == ramping || w.phase == draining && now < w.until: // all requests made, other loops are not done
		return math.MaxInt64
	case w.phase == warming:
		return w.from
	case w.phase == measuring:
		return w.until
	default:
		return w.end
	}
}

// advance notes the use of the CPU where the window begins and ends; finished says that all requests are made and
// over. It reports whether the window has ended just now.
func (w *window) advance(now int64, finished bool) bool {
	if w.phase == warming && now >= w.from {
		w.phase = measuring
		w.cpu.CPU, w.cpu.Preempted, w.cpu.Known = threadCPU()
	}
	if w.phase == draining || now < w.until && !finished {
		return false
	}
	w.ended = min(now, w.until)
	if w.phase == measuring {
		cpu, preempted, _ := threadCPU()
		w.cpu.CPU, w.cpu.Preempted = cpu-w.cpu.CPU, preempted-w.cpu.Preempted
		if length := w.ended - w.from; length > 0 {
			w.cpu.Share = float64(w.cpu.CPU) / float64(length)
		}
	}
	w.phase = draining
	return true
}

// length is how long the window was, for a loop that has ended at that time.
func (w *window) length(now int64) time.Duration {
	switch w.phase {
	case ramping:
		return 0
	case draining:
		return time.Duration(w.ended - w.from)
	default:
		return time.Duration(min(now, w.until) - w.from)
	}
}
