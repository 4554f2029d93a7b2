package grace

import "sync/atomic"

// Attempt is work that may hang while it waits for something, and not from some step on: until then whoever waits for
// it may give it up. The zero Attempt has just begun. Its methods may be called from any goroutine.
type Attempt struct {
	end   atomic.Int32
	waits atomic.Pointer[string]
}

// What has been decided about an attempt.
const (
	undecided int32 = iota
	goesOn
	givenUp
)

// GoOn reports whether the attempt is not given up, and has it not be given up later.
func (a *Attempt) GoOn() bool {
	return a.end.CompareAndSwap(undecided, goesOn) || a.end.Load() == goesOn
}

// GiveUp reports whether the attempt is given up. It may be too late for that.
func (a *Attempt) GiveUp() bool { return a.end.CompareAndSwap(undecided, givenUp) }

// WaitFor notes what is waited for from now on.
func (a *Attempt) WaitFor(what string) { a.waits.Store(&what) }

// Waits is what is waited for; "" before the first WaitFor.
func (a *Attempt) Waits() string {
	if what := a.waits.Load(); what != nil {
		return *what
	}
	return ""
}
