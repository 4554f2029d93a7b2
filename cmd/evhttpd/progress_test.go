package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
)

// TestProgressWithoutTerminal: a log gets a line a round, and not one a measurement.
func TestProgressWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	for round := 1; round <= 2; round++ {
		for range 3 {
			p.step(experiment.Progress{Round: round, Rounds: 2, Left: time.Minute})
		}
	}
	p.clear()
	if got, want := b.String(), "evhttpd: round 1 of 2, 1m0s left\nevhttpd: round 2 of 2, 1m0s left\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
