package ring

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/reactor"
	"github.com/evhttpd/evhttpd/uring"
)

// size is the size of a loop's ring. The kernel charges its memory to RLIMIT_MEMLOCK of the user, all of
// the user's processes together, unless the process has CAP_IPC_LOCK.
type size struct {
	// requests is the room for requests between two calls of io_uring_enter: a recv and a
	// send for every connection of a batch. With less there are more calls.
	requests uint32
	// completions is the room for what completes between two batches. The kernel keeps
	// what is beyond it, at the price of an allocation each.
	completions uint32
}

// sizes are those that are tried, one after the other, until the rings of all loops have the memory, and those of
// another process beside them: 200, 36 and 12 KiB a loop. Debian's limit is 8 MiB.
var sizes = [...]size{{1024, 8192}, {256, 1024}, {64, 256}}

const (
	// The memory of rings that are closed is given back by the kernel a moment later (io_ring_exit_work in
	// io_uring/io_uring.c): where it lacks memory it is asked again so many times, with a pause.
	tries    = 20
	tryPause = 10 * time.Millisecond
)

// patiently does again what lacks memory.
func patiently(do func() error) error {
	for range tries {
		if err := do(); !errors.Is(err, unix.ENOMEM) {
			return err
		}
		time.Sleep(tryPause)
	}
	return do()
}

func smallest() size { return sizes[len(sizes)-1] }

// Probe reports why there is no io_uring here that a loop could use; nil: there is.
func Probe() error {
	return patiently(func() error { return uring.Probe(smallest().requests, smallest().completions) })
}

// New returns a reactor of n loops with the largest rings that there is memory for.
func New(n int, options model.Options) (*reactor.Reactor, error) {
	var err error
	for i, size := range sizes {
		opener := opener{size: size, loops: n, spare: i < len(sizes)-1}
		o := reactor.Options{Options: options, Backend: poller.Backend{Name: "io_uring", Open: opener.open}}
		var r *reactor.Reactor
		if r, err = reactor.New(n, o); err == nil {
			return r, nil
		}
		if !errors.Is(err, unix.ENOMEM) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %d loops do not fit, with the smallest rings there are; run fewer (--loops)", err, n)
}

// opener opens the rings of a server.
type opener struct {
	size   size
	loops  int
	opened int
	spare  bool // there must be room for the smallest rings of another process that takes over (an upgrade)
}

// open returns the Completer of one loop.
func (o *opener) open(poller.Options) (poller.Poller, error) {
	var r *ring
	err := patiently(func() (err error) {
		r, err = newRing(o.size, recvBuffers)
		return err
	})
	if err != nil {
		return nil, err
	}
	if o.opened++; o.opened == o.loops && o.spare {
		if err := roomFor(o.loops); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// roomFor reports whether there is memory for that many of the smallest rings.
func roomFor(n int) (err error) {
	var rings []*uring.Ring
	for len(rings) < n && err == nil {
		var r *uring.Ring
		if r, err = uring.New(smallest().requests, smallest().completions); err == nil {
			rings = append(rings, r)
		}
	}
	for _, r := range rings {
		err = errors.Join(err, r.Close())
	}
	return err
}
