package grace

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestAttemptHasOneEnd: of those who give an attempt up and the one that goes on one side wins, and stays so.
func TestAttemptHasOneEnd(t *testing.T) {
	for range 200 {
		var a Attempt
		var wentOn, gaveUp atomic.Int32
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				if a.GiveUp() {
					gaveUp.Add(1)
				}
			})
		}
		all.Go(func() {
			if a.GoOn() {
				wentOn.Add(1)
			}
		})
		all.Wait()
		if wentOn.Load()+gaveUp.Load() != 1 || a.GoOn() != (wentOn.Load() == 1) || a.GiveUp() {
			t.Fatalf("it went on %d times and was given up %d times", wentOn.Load(), gaveUp.Load())
		}
	}
}
