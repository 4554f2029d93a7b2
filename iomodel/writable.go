//go:build darwin || dragonfly || freebsd || linux

package iomodel

import (
	"fmt"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// writableWatcher tells when sockets that were full have room: one goroutine and
// one poller for all connections that wait, so that none of them needs a thread.
type writableWatcher struct {
	poller  poller.Poller
	warn    func(string, error)
	failing model.Backoff // of waits
	done    chan struct{}

	mu     sync.Mutex
	come   []*writableWait // to be watched
	leave  []*writableWait // not to be watched any more
	closed bool
}

// writableWait is one connection that waits.
type writableWait struct {
	fd   int
	done chan struct{} // closed when fd is not watched any more: nobody else waits for it until then
}

func newWritableWatcher(warn func(string, error)) (*writableWatcher, error) {
	b := poller.Backends()[0]
	p, err := b.Open(poller.Options{Trigger: poller.Level})
	if err != nil {
		return nil, fmt.Errorf("iomodel: opening %s: %w", b.Name, err)
	}
	w := &writableWatcher{poller: p, warn: warn, done: make(chan struct{})}
	go w.run()
	return w, nil
}

// close ends the watch when nobody waits. Only the first call does.
func (w *writableWatcher) close() error {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if closed {
		return nil
	}
	_ = w.poller.Wake() // as in tell
	<-w.done
	return w.poller.Close()
}

// await waits until fd can be written to or is broken, until wakeup rings, or
// no longer than timeout. fd may be closed as soon as it has returned.
func (w *writableWatcher) await(fd int, timeout time.Duration, wakeup <-chan struct{}) {
	ask := &writableWait{fd: fd, done: make(chan struct{})}
	w.tell(&w.come, ask)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ask.done:
		return
	case <-wakeup:
	case <-timer.C:
	}
	w.tell(&w.leave, ask)
	<-ask.done
}

// tell hands ask to the goroutine that watches.
func (w *writableWatcher) tell(list *[]*writableWait, ask *writableWait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, ask)
	// If the wake-up cannot be written, ask is found when the wait ends, poller.WaitMax later at most.
	_ = w.poller.Wake()
}

// run watches until close.
func (w *writableWatcher) run() {
	defer close(w.done)
	asks := make(map[int]*writableWait) // by descriptor, which is their token too
	events := make([]poller.Event, 128)
	for {
		w.mu.Lock()
		come, leave, closed := w.come, w.leave, w.closed
		w.come, w.leave = nil, nil
		w.mu.Unlock()
		if closed {
			return
		}
		for _, ask := range come {
			if err := w.poller.Add(ask.fd, poller.Token(ask.fd), poller.Writable, 0); err != nil {
				close(ask.done) // the socket says itself what it lacks
				continue
			}
			asks[ask.fd] = ask
		}
		for _, ask := range leave {
			w.release(asks, ask)
		}
		n, err := w.poller.Wait(events, poller.WaitMax)
		if err != nil {
			w.warn("waiting for room in sockets fails: it is tried again, at least once a second", err)
			time.Sleep(w.failing.Fail(clock.Mono()))
			continue
		}
		w.failing.Succeed()
		for _, e := range events[:n] {
			w.release(asks, asks[int(e.Token)])
		}
	}
}

// release ends a wait, if it has not ended yet.
func (w *writableWatcher) release(asks map[int]*writableWait, ask *writableWait) {
	if ask == nil || asks[ask.fd] != ask {
		return
	}
	delete(asks, ask.fd)
	// Failing, it is not watched either: the descriptor is the connection's, which is not closed yet.
	_ = w.poller.Remove(ask.fd)
	close(ask.done)
}
