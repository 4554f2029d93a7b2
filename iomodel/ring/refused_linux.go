package ring

import (
	"fmt"
	"time"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/uring"
)

// entered sorts the result of an io_uring_enter. The kernel may refuse for a while (uring.Refused), which is
// an error that passes (poller.Transient): what was not submitted stays and goes with the next call, and what was
// submitted goes on, so that nothing is lost. Any other error is kept: the ring cannot go on. An error that is
// kept must not be one that passes: its loop would wait for ever for a ring that is not entered again.
func (r *ring) entered(err error) error {
	switch {
	case err == nil:
		return nil
	case poller.Transient(err):
		return fmt.Errorf("io_uring loop: the kernel takes no requests just now (if this lasts, "+
			"raise the memory limit of the process or its cgroup): io_uring_enter: %w", err)
	}
	r.err = fmt.Errorf("io_uring loop: %w", err)
	return r.err
}

// refusedPause is the pause of a wait for requests to end that is refused.
const refusedPause = time.Millisecond

// await waits for requests to end, until done says so.
func (r *ring) await(done func() bool) error {
	for deadline := time.Now().Add(endMax); !done(); {
		err := r.enter(refusedPause)
		if r.err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errEndless
		}
		if err != nil {
			time.Sleep(refusedPause)
		}
	}
	return nil
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
func (r *ring) withdraw(k *connection) {
	if r.unsubmitted() == 0 {
		return
	}
	each := func(s *uring.SQE) {
		if poller.Token(s.UserData&^(0xff<<opShift)) != k.token {
			return
		}
		switch s.UserData >> opShift & 0xff {
		case opRecv:
			k.recv.out = false
			r.inFlight--
		case opPoll:
			k.send.polling = false
			r.inFlight--
		case opRest:
			k.send.rest = false
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
