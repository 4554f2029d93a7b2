// Package grace bounds the time that the end of something waits for what may hang.
//
// It imports nothing but the standard library.
package grace

import "time"

// Close is how long the end of the server waits for each thing that may hang: a worker in a file system that does not
// answer, a log that is not read.
const Close = time.Second

// Finishes calls f and reports whether it returned within grace. If it did not, the call goes on, perhaps until the
// process ends.
func Finishes(f func(), grace time.Duration) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(grace):
		return false
	}
}
