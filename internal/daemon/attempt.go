package daemon

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
)

const (
	// reloadMax is how long a reload waits for the files that it reads and opens: the configuration, roots, logs. It
	// takes milliseconds, unless a file system does not answer.
	reloadMax = 20 * time.Second
	// heldMax bounds the reloads that were given up and wait still, with a thread each.
	heldMax = 8
	// startSlow is after how long it is said what the start waits for.
	startSlow = 5 * time.Second
)

// load reads the configuration.
func (s *Server) load(a *grace.Attempt) (*config.Config, error) {
	a.WaitFor("the configuration")
	return s.opts.Load(func(root string) { a.WaitFor("the root " + root) })
}

// beginReload reads the configuration and prepares what is new in it. It goes on in reloaded, with an error if a file
// system does not answer: what serves goes on, and another reload may be asked for.
func (s *Server) beginReload() {
	if s.held.Load() >= heldMax {
		s.reloaded(&change{err: fmt.Errorf("%d reloads wait still for file systems that do not answer: mend those, "+
			"or restart", heldMax)})
		return
	}
	a := new(grace.Attempt)
	timeout := time.AfterFunc(reloadMax, func() {
		if !a.GiveUp() {
			return
		}
		s.held.Add(1)
		err := fmt.Errorf("%s has not answered for %v: its file system hangs", a.Waits(), reloadMax)
		s.post(func() { s.reloaded(&change{err: err}) })
	})
	go func(old state) {
		c := s.read(old, a)
		if timeout.Stop(); a.GoOn() {
			s.post(func() { s.reloaded(c) })
		} else {
			s.held.Add(-1)
		}
	}(s.state)
}

// prepareFirst reads the configuration and prepares it. It may take as long as a file system does not answer, which is
// said; a signal to stop ends it.
func (s *Server) prepareFirst(inherited []*listener.Listener) *change {
	a, done := new(grace.Attempt), make(chan *change, 1)
	go func() {
		cfg, err := s.load(a)
		if err != nil {
			done <- &change{err: err}
			return
		}
		c, err := s.prepare(cfg, state{listeners: inherited}, a)
		if err != nil {
			c = &change{err: withDescriptors(err, cfg)}
		}
		done <- c
	}()
	slow, stops := time.After(startSlow), make(chan os.Signal, 1)
	// They come to s.signals as well, where they wait for a start that ends in time.
	signal.Notify(stops, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(stops)
	for {
		select {
		case c := <-done:
			return c
		case <-slow:
			s.events.Warn("the start waits for " + a.Waits() + ", which does not answer")
		case sig := <-stops:
			if !grace.Finishes(func() { done <- <-done }, grace.Close) && a.GiveUp() {
				return &change{err: fmt.Errorf("stopped by a signal (%v) before it served: %s does not answer", sig,
					a.Waits())}
			}
		}
	}
}
