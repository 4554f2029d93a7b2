package reactor

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Reactor is a number of loops that share the load.
type Reactor struct {
	opts  Options
	loops []*Loop
	open  atomic.Int64
	wg    sync.WaitGroup
}

// New returns a reactor of n loops. They run from Serve on.
func New(n int, opts Options) (*Reactor, error) {
	r := &Reactor{opts: opts}
	for range n {
		l, err := newLoop(&r.opts, &r.open)
		if err != nil {
			for _, l := range r.loops {
				l.end(nil)
			}
			return nil, err
		}
		r.loops = append(r.loops, l)
	}
	return r, nil
}

// Serve starts the loops. Each accepts from its own list of listeners:
// listeners[i] are loop i's.
func (r *Reactor) Serve(listeners [][]Listener) error {
	if len(listeners) != len(r.loops) {
		return fmt.Errorf("reactor: %d lists of listeners for %d loops", len(listeners), len(r.loops))
	}
	for i, l := range r.loops {
		l.listeners.list = listeners[i]
		l.listen()
	}
	for _, l := range r.loops {
		r.wg.Go(l.run)
	}
	return nil
}

// Drain stops accepting and lets what is in flight finish within grace.
func (r *Reactor) Drain(grace time.Duration) {
	for _, l := range r.loops {
		l.post(func(l *Loop) { l.drain(grace) })
	}
}

// Wait returns when all loops have ended, with what that cut off.
func (r *Reactor) Wait() Ended {
	r.wg.Wait()
	var all Ended
	for _, l := range r.loops {
		e := l.ended.Load()
		all.Idle += e.Idle
		all.Cut += e.Cut
		all.Err = errors.Join(all.Err, e.Err)
	}
	return all
}

// Open is the number of connections now.
func (r *Reactor) Open() int { return int(r.open.Load()) }
