package load

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// run is what the loops of one Run share.
type run struct {
	opts   Options
	loops  []*loop
	epoch  time.Time
	active bool // some role makes requests after the ramp

	ready    chan struct{} // from each loop once, when its ramp is over
	start    atomic.Int64  // nanoseconds since epoch when the first request is due; 0: not yet known
	halted   atomic.Bool
	finished atomic.Int32 // loops that have made all their requests
}

// Run does what o says and returns when it is done; its time is bounded by
// Ramp, WarmUp, Duration and Drain. A server's failures are part of the
// Result, not an error: an error is a mistake in o, a limit of this machine, or ctx's
// end. In that last case the Result says what was found until then.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := o.checkAddresses(); err != nil {
		return nil, err
	}
	r := &run{opts: o, epoch: time.Now(), ready: make(chan struct{}, o.Loops),
		active: slices.ContainsFunc(o.Roles, func(r Role) bool { return !r.Idle })}
	for i := range o.Loops {
		l, err := newLoop(r, i)
		if err != nil {
			for _, l := range r.loops {
				err = errors.Join(err, l.close())
			}
			return nil, err
		}
		r.loops = append(r.loops, l)
	}
	err := r.drive(ctx)
	return r.result(), errors.Join(err, context.Cause(ctx))
}

// drive starts the loops, lets them begin together, and returns when all have ended.
func (r *run) drive(ctx context.Context) error {
	defer context.AfterFunc(ctx, r.halt)()
	errs := make(chan error, len(r.loops))
	for _, l := range r.loops {
		go func() {
			err := l.work()
			if err != nil {
				r.halt() // the others have nothing to add
			}
			errs <- err
		}()
	}
	ended := make(chan struct{})
	marked := make(chan struct{})
	go func() {
		defer close(marked)
		if r.awaitRamp(ended) {
			r.callMarks(ended)
		}
	}()
	var err error
	for range r.loops {
		err = errors.Join(err, <-errs)
	}
	close(ended)
	<-marked
	return err
}

// awaitRamp sets the start when every loop is ready or the ramp's time is up.
// It reports false when the run has ended before.
func (r *run) awaitRamp(ended <-chan struct{}) bool {
	late := time.NewTimer(r.opts.Ramp)
	defer late.Stop()
	for waiting := len(r.loops); waiting > 0; waiting-- {
		select {
		case <-r.ready:
		case <-late.C:
			waiting = 1
		case <-ended:
			return false
		}
	}
	r.start.Store(int64(time.Since(r.epoch)))
	r.wake()
	return true
}

// callMarks calls OnBegin and OnEnd at their times.
func (r *run) callMarks(ended <-chan struct{}) {
	from := r.epoch.Add(time.Duration(r.start.Load()) + r.opts.WarmUp)
	if !sleepUntil(from, ended) {
		return
	}
	if r.opts.OnBegin != nil {
		r.opts.OnBegin()
	}
	sleepUntil(from.Add(r.opts.Duration), ended)
	if r.opts.OnEnd != nil {
		r.opts.OnEnd()
	}
}

// sleepUntil reports false when the run ended first.
func sleepUntil(at time.Time, ended <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ended:
		return false
	}
}

// halt ends all loops.
func (r *run) halt() {
	r.halted.Store(true)
	r.wake()
}

func (r *run) wake() {
	for _, l := range r.loops {
		// A loop that cannot be woken looks for itself within waitMax.
		_ = l.poller.Wake()
	}
}

// loopFinished counts a loop without more to do; the last one ends the run.
func (r *run) loopFinished() {
	if int(r.finished.Add(1)) == len(r.loops) {
		r.halt()
	}
}

// result merges what the loops, which have ended, counted.
func (r *run) result() *Result {
	out := &Result{Began: r.epoch.Add(time.Duration(r.start.Load()))}
	for i := range r.opts.Roles {
		out.Roles = append(out.Roles, newRoleResult(r.opts.Roles[i].Name))
	}
	for _, l := range r.loops {
		for i := range l.groups {
			l.groups[i].sum()
			out.Roles[i].merge(&l.groups[i].result)
		}
		out.Loops = append(out.Loops, l.window.cpu)
		out.Window = max(out.Window, l.window.length(l.now))
	}
	for i := range out.Roles {
		out.Roles[i].Latency.sum()
	}
	return out
}
