//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// choices is every way to run a server here.
func choices() (all []iomodel.Choice) {
	for _, m := range iomodel.Models() {
		if m.Probe() != nil {
			continue
		}
		if m.Triggers == 0 {
			all = append(all, iomodel.Choice{Model: m})
		}
		for _, trigger := range []poller.Trigger{poller.Level, poller.Edge} {
			if m.Triggers&trigger != 0 {
				all = append(all, iomodel.Choice{Model: m, Trigger: trigger})
			}
		}
	}
	return all
}

// kinds is every kind of model here, each once: of those whose loops wait by a poller, that of the default
// backend alone unless the tests run in their long form.
func kinds() []iomodel.Choice {
	byDefault := poller.Backends()[0].Name
	return slices.DeleteFunc(choices(), func(c iomodel.Choice) bool {
		return !testkit.All() && c.Trigger != 0 && (c.Name != byDefault || c.Trigger != poller.Edge)
	})
}

// relay is a chain of servers over one listener, of which the last one serves.
type relay struct {
	*server
	t    *testing.T
	now  atomic.Pointer[iomodel.Server]
	gone sync.WaitGroup
}

// begin starts the first server of a chain. It ends before the test does, and leaves nothing behind.
func begin(t *testing.T, c iomodel.Choice, options ...option) *relay {
	t.Helper()
	// What a process has one of, it has now: netpoll's pollers.
	for _, m := range iomodel.Models() {
		if m.Name == "netpoll" && m.Probe() == nil {
			start(t, m).stop(0)
		}
	}
	before, others := descriptors(), goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, others)
		eventually(t, func() error {
			if after := descriptors(); after != before {
				return fmt.Errorf("%d descriptors are open, %d were before", after, before)
			}
			return nil
		})
	})
	options = append(options, func(o *iomodel.Options) { o.Trigger, o.Open = c.Trigger, new(atomic.Int64) })
	r := &relay{server: start(t, c.Model, options...), t: t}
	first := r.Server
	r.now.Store(&first)
	t.Cleanup(func() {
		(*r.now.Load()).Drain(0)
		r.gone.Wait()
	})
	return r
}

// pass has a new server take over from the one that serves, and returns that.
func (r *relay) pass(c iomodel.Choice) (old iomodel.Server) {
	r.t.Helper()
	next, err := c.Start(r.opts)
	must(r.t, err)
	must(r.t, next.Serve(lists(c.Model, &r.opts, r.fd)))
	old = *r.now.Swap(&next)
	old.Handover(func(h model.Handed) bool {
		for {
			to := r.now.Load()
			switch {
			case (*to).Adopt(h):
				return true
			case to == r.now.Load():
				return false
			}
		}
	})
	r.gone.Go(func() { old.Wait() })
	r.Server = next // of which stop is the end
	return old
}

// TestHandover: from every kind of model to every kind, an idle connection goes on
// with its counters, one within an answer when that is whole, and a new one on
// the new server; the old one ends by itself.
func TestHandover(t *testing.T) {
	for _, from := range kinds() {
		t.Run(from.String(), func(t *testing.T) {
			for _, to := range kinds() {
				t.Run(to.String(), func(t *testing.T) { testHandover(t, from, to) })
			}
		})
	}
}

func testHandover(t *testing.T, from, to iomodel.Choice) {
	const requests = 4 // a connection may make
	r := begin(t, from, withConfig(func(c *conn.Config) { c.Requests = requests }))
	idle, silent, busy := r.dial(t), r.dial(t), r.dial(t)
	idle.get("/small")
	idle.get("/small")
	busy.send(request("/shared"))
	head := make([]byte, 1000)
	if _, err := busy.r.Peek(len(head)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // silent too has been accepted
		if n := r.Open(); n != 3 {
			return fmt.Errorf("%d connections are open", n)
		}
		return nil
	})
	old := r.pass(to)
	moves := from.Name != "netpoll"
	if _, last := idle.get("/small"); last == moves {
		t.Errorf("the third answer is the last one: %v", last)
	}
	if moves {
		if _, last := idle.get("/small"); !last {
			t.Errorf("the connection's requests are counted anew")
		}
	}
	idle.end()
	must(t, idle.Close())
	if _, last := silent.get("/small"); last == moves {
		t.Errorf("the first answer is the last one: %v", last)
	}
	if got, last := busy.answer(200); !bytes.Equal(got, body) || last {
		t.Errorf("%d bytes, not the body; the last one: %v", len(got), last)
	}
	if _, last := busy.get("/small"); last == moves {
		t.Errorf("behind the body: the answer is the last one: %v", last)
	}
	if !moves {
		must(t, silent.Close()) // else the old server lingers
		must(t, busy.Close())
	}
	ended := make(chan model.Ended, 1)
	go func() { ended <- old.Wait() }()
	select {
	case e := <-ended:
		if e != (model.Ended{}) {
			t.Errorf("the old server cut off %+v", e)
		}
	case <-time.After(patience):
		t.Fatal("the old server does not end")
	}
	fresh := r.dial(t)
	fresh.get("/small")
}

// TestHandoverUnderLoad: while servers of every model take over from each
// other, every request on connections that are kept and on new ones is answered whole.
func TestHandoverUnderLoad(t *testing.T) {
	all := choices()
	r := begin(t, all[0])
	var stop atomic.Bool
	var asked, lost atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for !stop.Load() {
				asked.Add(1)
				if err := r.oneSession(i%4 == 0, &stop, &asked); err != nil {
					lost.Add(1)
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		for _, c := range all {
			seen := asked.Load()
			r.pass(c)
			eventually(t, func() error {
				if n := asked.Load() - seen; n < 100 {
					return fmt.Errorf("%d requests were made of %s", n, c)
				}
				return nil
			})
		}
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d requests, %d lost", asked.Load(), lost.Load())
}

// oneSession makes requests on one connection until the server says that it
// closes, or one alone. An error is a request that got no whole answer.
func (r *relay) oneSession(one bool, stop *atomic.Bool, asked *atomic.Int64) error {
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		closes, err := askOnce(c)
		if err != nil {
			return err
		}
		if closes || one || stop.Load() {
			return nil
		}
		asked.Add(1)
	}
}

// askOnce makes a request of a known answer.
func askOnce(c net.Conn) (closes bool, err error) {
	const want = "\r\n\r\nok\n"
	if _, err := c.Write([]byte(request("/small"))); err != nil {
		return false, err
	}
	var got []byte
	var p [512]byte
	for !bytes.HasSuffix(got, []byte(want)) {
		n, err := c.Read(p[:])
		if err != nil {
			return false, fmt.Errorf("after %q: %w", got, err)
		}
		got = append(got, p[:n]...)
	}
	return bytes.Contains(got, []byte("Connection: close")), nil
}

// TestListenAnew: listeners come and go while the server serves; what waits in
// the queue of one that is gone is served, and the connections stay.
func TestListenAnew(t *testing.T) {
	for _, c := range choices() {
		t.Run(c.String(), func(t *testing.T) {
			r := begin(t, c)
			kept := r.dial(t)
			kept.get("/small")
			first, addr := r.fd, r.addr
			r.listen(t) // a second one, which is r.fd from now on
			must(t, r.SetListeners(lists(c.Model, &r.opts, r.fd)))
			queued := r.dial(t)
			queued.get("/small")
			// The first has been given up: nobody answers there now.
			late, err := net.Dial("tcp", addr)
			must(t, err)
			defer late.Close()
			must(t, unix.Close(first))
			if n, err := late.Read(make([]byte, 1)); err == nil {
				t.Errorf("%d bytes from a listener that is gone", n)
			}
			kept.get("/small")
		})
	}
}

// TestUpdate: connections that are open go on under new settings: the handler,
// the log and a shorter timeout, also those that wait.
func TestUpdate(t *testing.T) {
	for _, c := range choices() {
		t.Run(c.String(), func(t *testing.T) {
			r := begin(t, c)
			one, two := r.dial(t), r.dial(t)
			one.get("/small")
			two.get("/small")
			config := *r.opts.Config
			config.Server = "anew"
			var log lines
			replaced := &answers{t: t, file: r.file}
			set := model.Settings{Config: &config, NewHandler: func() conn.Handler { return replaced },
				Relog: true, NewLog: func() conn.AccessLog { return &log }}
			r.Update(set)
			if log.n.Load() != 0 || r.log.ended.Load() == 0 {
				t.Error("the old log's lines were not handed over")
			}
			one.get("/defer")
			if replaced.jobs.Load() != 1 || log.n.Load() != 1 {
				t.Errorf("%d jobs of the new handler, %d lines in the new log", replaced.jobs.Load(), log.n.Load())
			}
			shorter := config
			shorter.KeepAlive = 10 * time.Millisecond
			r.Update(model.Settings{Config: &shorter})
			one.end()
			two.end()
		})
	}
}

// TestWaitAgain: whoever waits for an end that has been waited for closes nothing: the
// server's descriptors have other owners by then.
func TestWaitAgain(t *testing.T) {
	eachModel(t, func(t *testing.T, m iomodel.Model, options ...option) {
		s := start(t, m, options...)
		s.dial(t).get("/small")
		s.stop(0)
		var others []*os.File
		for range 32 { // at least as many as the server had
			f, err := os.Open(os.DevNull)
			must(t, err)
			others = append(others, f)
		}
		s.Wait()
		for _, f := range others {
			if err := f.Close(); err != nil {
				t.Errorf("somebody else's descriptor: %v", err)
			}
		}
	})
}
