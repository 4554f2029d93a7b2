package iomodel_test

import (
	"testing"

	"github.com/evhttpd/evhttpd/iomodel"
)

// TestProcessorForEachWorker: a loop that its poller has woken need not wait for a worker that waits for a disk.
func TestProcessorForEachWorker(t *testing.T) {
	for _, m := range iomodel.Models() {
		want := 2 + 1 // package net's own threads are Go's to count
		switch {
		case m.Threads:
			want = 7 + 1
		case m.Loops:
			want = 2 + 16 + 1
		}
		if got := (iomodel.Choice{Model: m}).MaxProcs(&iomodel.Options{Loops: 2, Threads: 7,
			Workers: 16}); got != want {
			t.Errorf("%s: GOMAXPROCS %d, not %d", m.Name, got, want)
		}
	}
}
