//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"errors"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/iomodel"
)

// TestJobsOfWhomNobodyWaits: a job that runs is told when its connection has been answered
// without it, and is counted as dropped. Where jobs run on the connection's own thread there is nobody to tell.
func TestJobsOfWhomNobodyWaits(t *testing.T) {
	for _, c := range kinds() {
		if c.Threads {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			s := start(t, c.Model, func(o *iomodel.Options) { o.Trigger = c.Trigger },
				withConfig(func(c *conn.Config) { c.Deferred = 50 * time.Millisecond }))
			demand := make(chan conn.Demand, 1)
			let := make(chan struct{})
			asks := func(d conn.Demand) { demand <- d; <-let }
			s.asks.Store(&asks)
			a := s.dial(t)
			a.send(request("/defer"))
			d := <-demand
			a.answer(503)
			eventually(t, func() error {
				if d.Wanted() {
					return errors.New("the job is wanted still")
				}
				return nil
			})
			close(let)
			eventually(t, func() error {
				if n := s.Counters(); n.JobsDropped != 1 || n.JobsInFlight() != 0 {
					return errors.New("it is not counted as dropped")
				}
				return nil
			})
		})
	}
}

// TestJobsOfWhoHasGone: a connection that is reset while its job runs is noticed, and its job told; one whose client
// has closed its side alone gets its answer.
func TestJobsOfWhoHasGone(t *testing.T) {
	for _, c := range kinds() {
		if c.Threads {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			s := start(t, c.Model, func(o *iomodel.Options) { o.Trigger = c.Trigger })
			demand := make(chan conn.Demand, 2)
			let := make(chan struct{})
			asks := func(d conn.Demand) { demand <- d; <-let }
			s.asks.Store(&asks)
			gone := s.dial(t)
			gone.send(request("/defer"))
			of := <-demand
			half := s.dial(t)
			half.send(request("/defer"))
			<-demand
			must(t, half.CloseWrite())
			must(t, gone.SetLinger(0))
			gone.Close()
			eventually(t, func() error {
				if of.Wanted() {
					return errors.New("the job of a connection that was reset is wanted still")
				}
				return nil
			})
			close(let)
			half.answer(200)
		})
	}
}
