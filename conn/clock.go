package conn

import "time"

// started is what Clock.Mono counts from: one base for the whole process,
// since what is cached is shared by loops.
var started = time.Now()

// Now reads the clock.
func Now() Clock {
	now := time.Now()
	// Never 0, which stands for no time.
	return Clock{Mono: int64(now.Sub(started)) + 1, Wall: now.UnixNano()}
}

// Mono reads Clock.Mono alone, which takes half the time.
func Mono() int64 { return int64(time.Since(started)) + 1 }
