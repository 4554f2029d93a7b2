package bench

import (
	"errors"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/scenario"
)

// TestQuickEndsAfterItsMinute: whatever it is at.
func TestQuickEndsAfterItsMinute(t *testing.T) {
	c := &comparison{Options: Options{Quick: true, Loops: 1, Binary: "/bin/true"}, began: time.Now().Add(-quickMax),
		out: &results.Results{}, cells: scenario.Quick(1000).Cells, subjects: make([]subject, 1)}
	if err := c.rounds(t.Context()); !errors.Is(err, errMinute) {
		t.Errorf("%v", err)
	}
}
