package bench

import (
	"errors"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/scenario"
)

// TestQuickEndsAfterItsMinute: whatever it is at.
func TestQuickEndsAfterItsMinute(t *testing.T) {
	c := comparing(Options{Options: experiment.Options{Binary: "/bin/true"}, Quick: true, Loops: 1})
	c.Head.Began, c.cells, c.subjects = time.Now().Add(-quickMax), scenario.Quick(1000).Cells, make([]subject, 1)
	if err := c.rounds(t.Context()); !errors.Is(err, errMinute) {
		t.Errorf("%v", err)
	}
}
