package iomodel

import (
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/model"
)

// TestFit: a model with a thread a connection has as many as the limit of threads allows, two for each, with
// room for Go's own; others are left as they are.
func TestFit(t *testing.T) {
	for _, c := range []struct {
		name    string
		model   string
		most    uint64
		threads int // then; 0: an error
	}{
		{"more than enough", "blocking", 10_000, 256},
		{"just enough", "blocking", 2*256 + 1 + 16 + runtimeTasks, 256},
		{"one too few", "blocking", 2*256 + 16 + runtimeTasks, 255},
		{"a small group", "blocking", 256, 103},
		{"one connection", "blocking", 2*1 + 1 + 16 + runtimeTasks, 1},
		{"none", "blocking", 2*1 + 16 + runtimeTasks, 0},
		{"loops", "poll", 20, 256},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := lookup(models, c.model)
			if err != nil {
				t.Fatal(err)
			}
			choice := Choice{Model: m}
			o := Options{Options: model.Options{}, Loops: 2, Threads: 256, Workers: 16}
			if uint64(choice.tasks(&o)) > c.most {
				err = choice.fit(&o, c.most, Limit{Name: "pids.max"})
			}
			if c.threads == 0 {
				if err == nil || !strings.Contains(err.Error(), "pids.max leaves this process") {
					t.Errorf("%d threads, %v; want an error that says why", o.Threads, err)
				}
				return
			}
			if err != nil || o.Threads != c.threads {
				t.Errorf("%d threads, %v; want %d", o.Threads, err, c.threads)
			}
			if m.Threads && uint64(choice.tasks(&o)) > c.most {
				t.Errorf("%d threads may come to %d of %d", o.Threads, choice.tasks(&o), c.most)
			}
		})
	}
}
