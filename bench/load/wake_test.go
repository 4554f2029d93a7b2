package load

import (
	"testing"
	"time"
)

// TestWaitSeesWhatItWasWokenFor: a busy loop asks for events without waiting first.
// That takes a wake-up with it, and must not be followed by a wait: the loop
// would begin up to waitMax late, and a short window would be over.
func TestWaitSeesWhatItWasWokenFor(t *testing.T) {
	for name, wake := range map[string]func(r *run){
		"start": func(r *run) { r.start.Store(1); r.wake() },
		"halt":  (*run).halt,
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{opts: Options{Loops: 1}, epoch: time.Now(), ready: make(chan struct{}, 1)}
			l, err := newLoop(r, 0)
			if err != nil {
				t.Fatal(err)
			}
			r.loops = append(r.loops, l)
			// The loop asks for the time before it waits, and only then.
			const asleep = -1
			l.now, l.busy = asleep, true
			wake(r)
			if n, err := l.wait(); err != nil || n != 0 {
				t.Fatal(n, err)
			}
			if l.now != asleep {
				t.Error("it waited")
			}
			if err := l.close(); err != nil {
				t.Error(err)
			}
		})
	}
}
