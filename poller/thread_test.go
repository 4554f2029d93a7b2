//go:build unix

package poller

import (
	"runtime"
	"testing"
	"time"
)

// currentThread is the id of the calling thread, where tests need it.
var currentThread func() int

// threaded makes the owner's calls on one thread of its own, as a loop does.
type threaded struct {
	Poller
	thread  int
	calls   chan ownerCall
	results chan ownerResult
}

// ownerCall is a call of one of the owner's methods: a value, so that sending
// it allocates nothing.
type ownerCall struct {
	method  byte // 'a', 'm', 'r', 'w', 'c': its initial
	fd      int
	token   Token
	want    Interest
	flags   Flags
	events  []Event
	timeout time.Duration
}

type ownerResult struct {
	n   int
	err error
}

// onThread starts the thread, which ends with the test.
func onThread(t testing.TB, p Poller) *threaded {
	on := &threaded{Poller: p, calls: make(chan ownerCall), results: make(chan ownerResult)}
	started, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if currentThread != nil {
			on.thread = currentThread()
		}
		close(started)
		on.serve()
	}()
	<-started
	t.Cleanup(func() { close(on.calls); <-ended })
	return on
}

func (on *threaded) serve() {
	for c := range on.calls {
		var r ownerResult
		switch c.method {
		case 'a':
			r.err = on.Poller.Add(c.fd, c.token, c.want, c.flags)
		case 'm':
			r.err = on.Poller.Modify(c.fd, c.token, c.want)
		case 'r':
			r.err = on.Poller.Remove(c.fd)
		case 'w':
			r.n, r.err = on.Poller.Wait(c.events, c.timeout)
		case 'c':
			r.err = on.Poller.Close()
		}
		on.results <- r
	}
}

func (on *threaded) call(c ownerCall) ownerResult {
	on.calls <- c
	return <-on.results
}

// Add implements Poller.
func (on *threaded) Add(fd int, token Token, want Interest, flags Flags) error {
	return on.call(ownerCall{method: 'a', fd: fd, token: token, want: want, flags: flags}).err
}

// Modify implements Poller.
func (on *threaded) Modify(fd int, token Token, want Interest) error {
	return on.call(ownerCall{method: 'm', fd: fd, token: token, want: want}).err
}

// Remove implements Poller.
func (on *threaded) Remove(fd int) error {
	return on.call(ownerCall{method: 'r', fd: fd}).err
}

// Wait implements Poller.
func (on *threaded) Wait(events []Event, timeout time.Duration) (int, error) {
	r := on.call(ownerCall{method: 'w', events: events, timeout: timeout})
	return r.n, r.err
}

// Close implements Poller.
func (on *threaded) Close() error { return on.call(ownerCall{method: 'c'}).err }

// openHere opens a poller whose thread is the caller's own.
func openHere(t testing.TB, b Backend, trigger Trigger) *subject {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	p, err := b.Open(Options{Trigger: trigger})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return newSubject(p, b, trigger)
}
