//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
)

// eachModel runs test on every kind of model that this machine has.
func eachModel(t *testing.T, test func(t *testing.T, m iomodel.Model, options ...option)) {
	for _, c := range kinds() {
		t.Run(c.Name+"/"+c.Trigger.String(), func(t *testing.T) {
			test(t, c.Model, func(o *iomodel.Options) { o.Trigger = c.Trigger })
		})
	}
	for _, m := range iomodel.Models() {
		if err := m.Probe(); err != nil {
			t.Run(m.Name, func(t *testing.T) {
				t.Log(err)
				testkit.Skip(t, m.Name)
			})
		}
	}
}

// What a server counts is what its clients saw, whatever drives it.
func TestCountersAreWhatClientsSaw(t *testing.T) {
	eachModel(t, func(t *testing.T, m iomodel.Model, options ...option) {
		s := start(t, m, options...)
		c, other := s.dial(t), s.dial(t)
		for range 20 {
			c.get("/small")
		}
		other.get("/shared")
		other.get("/file")
		other.get("/defer")
		other.send(request("/none"))
		other.answer(404)
		other.send("GET / HTTP/9.9\r\n\r\n")
		other.answer(505)
		other.end()
		other.Close()
		var got conn.Counters
		eventually(t, func() error {
			got = s.Counters()
			return checkCounters(&got, m)
		})
		c.Close()
		eventually(t, func() error {
			if got := s.Counters(); got.Open() != 0 {
				return fmt.Errorf("%d connections are open", got.Open())
			}
			return nil
		})
		s.stop(0)
		after := s.Counters()
		if after.Requests != got.Requests || after.Accepted != 2 || after.Open() != 0 || after.Silent != 0 {
			t.Errorf("after the end: %+v", after)
		}
	})
}

// checkCounters says what is not as the two clients of the test above had it.
func checkCounters(c *conn.Counters, m iomodel.Model) error {
	var wrong []string
	check := func(what string, got, want any) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s: %v, want %v", what, got, want))
		}
	}
	check("requests", c.Requests, [6]uint64{2: 23, 4: 1, 5: 1})
	check("latencies", c.Latency.Count(), uint64(25))
	check("accepted", c.Accepted, uint64(2))
	check("open", c.Open(), uint64(1))
	check("idle", c.Connections[conn.PhaseIdle], uint64(1))
	check("jobs", [2]uint64{c.JobsSubmitted, c.JobsInFlight()}, [2]uint64{1, 0})
	check("files and memory", c.SentMemory+c.SentFile >= uint64(len(body)), true)
	check("all bodies", c.SentCopied+c.SentMemory+c.SentFile > 2*uint64(len(body)), true)
	check("received", c.Received, uint64(20*len(request("/small"))+len(request("/shared"))+len(request("/file"))+
		len(request("/defer"))+len(request("/none"))+len("GET / HTTP/9.9\r\n\r\n")))
	for _, call := range []conn.Call{conn.CallAccept, conn.CallRecv, conn.CallSend, conn.CallSendFile,
		conn.CallShutdown, conn.CallClose} {
		least := map[conn.Call]uint64{conn.CallAccept: 2, conn.CallRecv: 25, conn.CallSend: 25, conn.CallSendFile: 0,
			conn.CallShutdown: 1, conn.CallClose: 1}[call]
		if m.Name == "io_uring" && call != conn.CallShutdown && call != conn.CallClose {
			continue // its operations are no calls
		}
		check(call.String(), c.Unknown.Has(call) || c.Calls[call] >= least, true)
	}
	for call := range conn.NumCalls {
		check(call.String()+" without and with EAGAIN", c.Calls[call] >= c.Again[call], true)
	}
	if !c.Unknown.Has(conn.CallWait) {
		check("waiting calls", c.Calls[conn.CallWait] > 0, m.Name != "spin")
	}
	check("ring operations", c.Operations > 0, m.Name == "io_uring")
	loops := int64(0)
	if m.Loops {
		loops = 2
	}
	check("loops", c.Loops, loops)
	check("waits", c.Waits > 0, m.Loops)
	check("events", c.Events >= 20, m.Loops)
	check("batches", c.Batch.Count() > 20, m.Loops)
	check("unknown calls", c.Unknown != 0, m.Name == "goroutine" || m.Name == "netpoll")
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// A connection over the limit is counted as refused; the idle one that makes room, as evicted.
func TestCountersOfTheLimitOfConnections(t *testing.T) {
	eachModel(t, func(t *testing.T, m iomodel.Model, options ...option) {
		s := start(t, m, append(options, func(o *iomodel.Options) { o.Connections, o.Loops = 1, 1 })...)
		idle := s.dial(t)
		idle.get("/small")
		eventually(t, func() error { // it is idle when its turn is over, which is after the answer
			if c := s.Counters(); c.Connections[conn.PhaseIdle] != 1 {
				return fmt.Errorf("phases %v", c.Connections)
			}
			return nil
		})
		busy := s.dial(t)
		busy.get("/small")
		idle.end()
		busy.send("GET /small HTTP/1.1\r\nHost: a\r\n") // and not the end of it
		eventually(t, func() error {
			if c := s.Counters(); c.Connections[conn.PhaseHead] != 1 || c.Evicted != 1 {
				return fmt.Errorf("evicted %d, phases %v", c.Evicted, c.Connections)
			}
			return nil
		})
		if m.Name == "blocking" {
			return // the thread that waits for the rest answers the next one's too
		}
		third := s.dial(t)
		third.send(request("/small"))
		third.answer(503)
		eventually(t, func() error {
			if c := s.Counters(); c.Refused != 1 || c.Requests[5] != 1 {
				return fmt.Errorf("refused %d, requests %v", c.Refused, c.Requests)
			}
			return nil
		})
	})
}

// Asking for the counters is for any goroutine, at any time.
func TestCountersWhileServing(t *testing.T) {
	eachModel(t, func(t *testing.T, m iomodel.Model, options ...option) {
		s := start(t, m, options...)
		stop, done := make(chan struct{}), make(chan uint64)
		go func() {
			var last uint64
			for {
				c := s.Counters()
				if c.Requests[2] < last {
					t.Errorf("%d requests, and %d before", c.Requests[2], last)
				}
				last = c.Requests[2]
				select {
				case <-stop:
					done <- s.Counters().Requests[2]
					return
				default:
				}
			}
		}()
		c := s.dial(t)
		for range 200 {
			c.get("/small")
		}
		c.Close()
		eventually(t, func() error {
			if got := s.Counters(); got.Requests[2] != 200 || got.Open() != 0 {
				return fmt.Errorf("%d requests, %d open", got.Requests[2], got.Open())
			}
			return nil
		})
		close(stop)
		if n := <-done; n != 200 {
			t.Errorf("%d requests were counted of 200", n)
		}
	})
}

// lists deals out the test's one listener to what the model has.
func lists(m iomodel.Model, o *iomodel.Options, fd int) [][]model.Listener {
	if !m.Loops {
		return [][]model.Listener{{{FD: fd}}}
	}
	all := make([][]model.Listener, o.Loops)
	for i := range all {
		all[i] = []model.Listener{{FD: fd, Shared: o.Loops > 1}}
	}
	return all
}
