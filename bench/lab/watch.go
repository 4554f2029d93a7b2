package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/poller"
)

// waitBound is the timeout of a wait that may block. One that may, and one that may not (0), differ for
// poll and select though something is ready: the first enters itself into the wait queue of every
// descriptor that it looks at before it finds one ready (do_select and do_poll in fs/select.c).
const waitBound = time.Second

// watcher is what an experiment waits with.
type watcher interface {
	// add has fd, which is not ready, watched for reading.
	add(fd int, token poller.Token) error
	remove(fd int) error
	// wait fills events. It returns 0 when nothing was ready within the bound; and a hint may be false.
	wait(events []poller.Event) (int, error)
	close() error
}

// settler is a watcher that is not done with removals and additions when it has been told of them.
type settler interface {
	// settle returns when it is. It may lose events.
	settle() error
}

// watching is one way to wait: a subject.
type watching struct {
	experiment.Subject
	open func() (watcher, error)
}

// polled is a watcher over a backend of package poller.
type polled struct {
	poller.Poller
	timeout time.Duration
}

func (p polled) add(fd int, token poller.Token) error { return p.Add(fd, token, poller.Readable, 0) }
func (p polled) remove(fd int) error                  { return p.Remove(fd) }
func (p polled) wait(events []poller.Event) (int, error) {
	return p.Wait(events, p.timeout)
}
func (p polled) close() error { return p.Close() }

// watchings lists the ways to wait for at most so long that there are here: first the preferred backend with a level
// trigger, as the originals had it, then the same once more as a control, then the others. With a timeout,
// poll and select come without one too.
func (s *session) watchings(timeout time.Duration) ([]watching, error) {
	backends := poller.Backends()
	if len(backends) == 0 {
		return nil, fmt.Errorf("there is no poller for this system")
	}
	var all []watching
	for i, b := range backends {
		for _, trigger := range []poller.Trigger{poller.Level, poller.Edge} {
			if b.Triggers&trigger == 0 {
				continue
			}
			name := b.Name
			if b.Triggers == poller.Level|poller.Edge && trigger == poller.Edge {
				name += " edge"
			}
			all = append(all, overBackend(name, b, trigger, timeout))
			if i == 0 && trigger == poller.Level {
				control := overBackend(name+" (control)", b, trigger, timeout)
				control.Control = true
				all = append(all, control)
			}
		}
		if timeout > 0 && (b.Name == "poll" || b.Name == "select") {
			all = append(all, overBackend(b.Name+", timeout 0", b, poller.Level, 0))
		}
	}
	openRing := func() (watcher, error) { return openRing(timeout) }
	if ring, err := openRing(); err != nil {
		s.Note("io_uring is left out: %v", err)
	} else if err := ring.close(); err != nil {
		return nil, err
	} else {
		all = append(all, watching{Subject: experiment.Subject{Name: "io_uring poll"}, open: openRing})
	}
	return all, nil
}

func overBackend(name string, b poller.Backend, trigger poller.Trigger, timeout time.Duration) watching {
	return watching{Subject: experiment.Subject{Name: name}, open: func() (watcher, error) {
		p, err := b.Open(poller.Options{Trigger: trigger})
		return polled{p, timeout}, err
	}}
}

// subjects are a grid's, of these ways.
func subjects(ways []watching) []experiment.Subject {
	var all []experiment.Subject
	for _, w := range ways {
		all = append(all, w.Subject)
	}
	return all
}

// watch has all descriptors watched, with their index as token.
func watch(p watcher, fds []int) error {
	for i, fd := range fds {
		if err := p.add(fd, poller.Token(i)); err != nil {
			return err
		}
	}
	return nil
}

// forget ends a watcher so that no trace of it is left on the descriptors, which the next one uses too.
func forget(p watcher, fds []int) (err error) {
	for _, fd := range fds {
		err = errors.Join(err, p.remove(fd))
	}
	return errors.Join(err, p.close())
}

// timed repeats an operation for so long and returns the CPU time of one in seconds.
func timed(long time.Duration, operation func() error) (float64, error) {
	count, batch := 0, 1
	spent, err := cost(func() error {
		for began, last := time.Now(), time.Duration(0); count == 0 || last < long; {
			for range batch {
				if err := operation(); err != nil {
					return err
				}
			}
			count += batch
			now := time.Since(began)
			if now-last < time.Millisecond { // the clock is not to be looked at all the time
				batch *= 2
			}
			last = now
		}
		return nil
	})
	return spent.Seconds() / float64(count), err
}

// cost is the CPU time of a function.
func cost(of func() error) (time.Duration, error) {
	before, err := cpuTime()
	if err != nil {
		return 0, err
	}
	if err := of(); err != nil {
		return 0, err
	}
	after, err := cpuTime()
	return after - before, err
}
