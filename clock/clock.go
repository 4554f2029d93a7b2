// Package clock reads the time. What is stepped by a loop does not: it is given the time of the batch.
//
// It imports only package time.
package clock

import "time"

// started is what Time.Mono counts from: one base for the whole process,
// since what is cached is shared by loops.
var started = time.Now()

// Time is the time of a batch of events: read once a batch by a loop, after each
// call that may block by a thread.
type Time struct {
	Mono int64 // nanoseconds, only differences mean something
	Wall int64 // nanoseconds since 1970
}

// Now reads the clock.
func Now() Time {
	now := time.Now()
	// Never 0, which stands for no time.
	return Time{Mono: int64(now.Sub(started)) + 1, Wall: now.UnixNano()}
}

// Mono reads Time.Mono alone, which takes half the time.
func Mono() int64 { return int64(time.Since(started)) + 1 }
