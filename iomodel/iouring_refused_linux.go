package iomodel

import (
	"fmt"
	"time"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/uring"
)

const (
	// refusedPause is how long a loop rests that has nothing to do but to ask
	// again a kernel which takes no requests.
	refusedPause = time.Millisecond
	// refusedMax bounds that: a loop that can neither receive nor send for so
	// long serves nobody, and ends, so that the program can end or be replaced.
	refusedMax = 10 * time.Second
)

// entered sorts the result of an io_uring_enter that was to wait for timeout. The kernel may
// refuse for a while (uring.Refused): what was not submitted stays and goes with the next call, and
// what was submitted goes on, so that nothing is lost. Any other error ends the loop, by err.
func (r *ring) entered(err error, timeout time.Duration) {
	switch {
	case err == nil:
		r.refused = time.Time{}
		return
	case !uring.Refused(err):
		r.err = fmt.Errorf("io_uring loop: %w", err)
		return
	}
	now := time.Now()
	if r.refused.IsZero() {
		r.refused = now
	}
	if now.Sub(r.refused) >= refusedMax {
		r.err = fmt.Errorf("io_uring loop: the kernel has taken no requests for %v: "+
			"raise the memory limit of the process or its cgroup (io_uring_enter: %w)", refusedMax, err)
		return
	}
	r.warn("the kernel takes no requests of io_uring just now; they are submitted again "+
		"(if this lasts, raise the memory limit of the process or its cgroup)", fmt.Errorf("io_uring_enter: %w", err))
	if timeout > 0 {
		time.Sleep(min(timeout, refusedPause)) // in place of the wait, which did not take place
	}
}

// refill moves requests from the backlog to the ring, as far as there is room. There is
// something in the backlog only while the kernel refuses, and never more than a few requests a connection.
func (r *ring) refill() {
	moved := 0
	for ; moved < len(r.backlog); moved++ {
		s := r.ring.Request()
		if s == nil {
			break
		}
		*s = r.backlog[moved]
	}
	if r.backlog = r.backlog[moved:]; len(r.backlog) == 0 {
		r.backlog = nil
	}
}

// unsubmitted is the number of requests that the kernel has not taken yet.
func (r *ring) unsubmitted() int { return r.ring.Pending() + len(r.backlog) }

// withdraw has the requests of a connection that ends, as far as the kernel has not taken them, ask for nothing:
// their descriptor may be another connection's when they are submitted.
func (r *ring) withdraw(k *ringLink) {
	if r.unsubmitted() == 0 {
		return
	}
	each := func(s *uring.SQE) {
		if poller.Token(s.UserData&^(0xff<<opShift)) != k.token {
			return
		}
		switch s.UserData >> opShift & 0xff {
		case opRecv:
			k.receiving = false
			r.inFlight--
		case opPoll:
			k.polling = false
			r.inFlight--
		case opRest:
			k.sending = false
			r.out.put(k.piece)
			r.inFlight--
		}
		*s = uring.SQE{UserData: userData(0, opCancel), Flags: uring.FlagSkipSuccess}
		s.PrepareNop()
	}
	r.ring.EachPending(each)
	for i := range r.backlog {
		each(&r.backlog[i])
	}
}
