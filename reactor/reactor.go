package reactor

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/model"
)

// failedGrace is how long the other loops may go on with what is in flight when
// one has failed.
const failedGrace = 10 * time.Second

// Reactor is a number of loops that share the load.
type Reactor struct {
	opts   Options
	loops  []*Loop
	adopts atomic.Uint32 // counts adoptions, for the loop whose turn it is
	wg     sync.WaitGroup
}

// New returns a reactor of n loops. They run from Serve on.
func New(n int, opts Options) (*Reactor, error) {
	r := &Reactor{opts: opts}
	r.opts.Options = opts.Complete()
	// Go's runtime opens a poller of its own for the first timer of the
	// process, and is lost without (netpollinit failed): now there are descriptors.
	time.Sleep(time.Nanosecond)
	for range n {
		l, err := newLoop(&r.opts)
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

// Serve starts the loops, once. Each accepts from its own list of listeners:
// listeners[i] are loop i's.
//
// A loop ends early only when its poller fails. The others then drain, for the
// clients of a lost loop would wait in its listeners' queues unheard: Wait
// returns soon, with the error.
func (r *Reactor) Serve(listeners [][]model.Listener) error {
	if len(listeners) != len(r.loops) {
		return errLists(len(listeners), len(r.loops))
	}
	for i, l := range r.loops {
		l.acceptor.set(listeners[i])
		l.acceptor.watch(clock.Mono())
	}
	for i, l := range r.loops {
		l.index = i
		r.wg.Go(func() {
			l.run()
			if l.ended.Load().Err != nil {
				r.Drain(failedGrace)
			}
		})
	}
	return nil
}

func errLists(lists, loops int) error {
	return fmt.Errorf("reactor: %d lists of listeners for %d loops", lists, loops)
}

// Drain lets what is in flight finish within grace and then ends the loops.
// What waits in the listeners' queues is accepted first. It returns when no
// loop accepts any more: then the owner may close the listeners, so that
// late clients are refused at once rather than kept waiting. A second Drain with less grace ends the loops sooner.
func (r *Reactor) Drain(grace time.Duration) {
	r.stopAccepting(func(l *Loop) { l.drain(grace) })
}

// stopAccepting has every loop call do, and returns when none accepts any more.
func (r *Reactor) stopAccepting(do func(*Loop)) {
	for _, l := range r.loops {
		l.post(do)
	}
	for _, l := range r.loops {
		<-l.acceptor.stopped
	}
}

// Wait returns when all loops have ended, with what that cut off and why, if
// a loop failed.
func (r *Reactor) Wait() model.Ended {
	r.wg.Wait()
	var all model.Ended
	for _, l := range r.loops {
		e := l.ended.Load()
		all.Idle += e.Idle
		all.Cut += e.Cut
		all.Err = errors.Join(all.Err, e.Err)
	}
	return all
}

// Open is the number of connections now, of all servers that share Options.Open.
func (r *Reactor) Open() int { return int(r.opts.Open.Load()) }

// Ping sends every loop a message through its own inbox and waits until all of
// them have handled it, at most for timeout. A loop that is stuck is the error;
// one that has ended is not. It may be called from any goroutine, after Serve.
func (r *Reactor) Ping(timeout time.Duration) error {
	all := make([]model.Pinged, len(r.loops))
	for i, l := range r.loops {
		all[i] = model.Pinged{
			Name:  "loop " + strconv.Itoa(i),
			Pulse: &l.pulse,
			// When the loop has ended, its pulse has too.
			Nudge: func() { l.post(func(l *Loop) { l.pulse.Beat() }) },
		}
	}
	return model.Ping(timeout, all)
}
