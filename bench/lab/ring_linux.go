package lab

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/uring"
)

const (
	ringRequests = 256
	// ringCompletions is the most that can be complete before it is reaped: two for each of 10,000 pipes, whose
	// requests are cancelled and made again.
	ringCompletions = 1 << 15
	// cancelMark is on the user data of cancellations, above every token that is used here.
	cancelMark = 1 << 63
)

// ring is a watcher over io_uring: one multishot poll request a descriptor (Linux 5.13), as edges.
type ring struct {
	*uring.Ring
	timeout time.Duration
	tokens  map[int]poller.Token
	edges   int // poll requests that the kernel has
}

func openRing(timeout time.Duration) (watcher, error) {
	r, err := uring.New(ringRequests, ringCompletions)
	if err != nil {
		return nil, err
	}
	if err := r.Enable(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &ring{Ring: r, timeout: timeout, tokens: make(map[int]poller.Token)}, nil
}

func (r *ring) add(fd int, token poller.Token) error {
	sqe, err := r.request()
	if err != nil {
		return err
	}
	sqe.PreparePollEdges(fd, unix.POLLIN)
	sqe.UserData = uint64(token)
	r.tokens[fd] = token
	r.edges++
	return nil
}

// request returns a free request.
func (r *ring) request() (*uring.SQE, error) {
	for tries := 0; r.Full() && tries < settleTries; tries++ {
		if err := r.Enter(); err != nil && !uring.Refused(err) {
			return nil, err
		}
	}
	if sqe := r.Request(); sqe != nil {
		return sqe, nil
	}
	return nil, errors.New("io_uring takes no more requests")
}

func (r *ring) remove(fd int) error {
	token, known := r.tokens[fd]
	if !known {
		return fmt.Errorf("descriptor %d is not watched", fd)
	}
	sqe, err := r.request()
	if err != nil {
		return err
	}
	sqe.PrepareCancel(uint64(token))
	sqe.UserData = cancelMark
	delete(r.tokens, fd)
	return nil
}

func (r *ring) wait(events []poller.Event) (n int, err error) {
	if n, err = r.reap(events); n > 0 || err != nil {
		return n, err
	}
	if err = r.EnterWait(r.timeout); err != nil && !uring.Refused(err) {
		return 0, err
	}
	return r.reap(events)
}

// reap turns completions into events.
func (r *ring) reap(events []poller.Event) (n int, err error) {
	for n < len(events) {
		c, ok := r.Completion()
		if !ok {
			break
		}
		if c.Flags&uring.CompletionMore == 0 && c.UserData != cancelMark {
			r.edges--
		}
		switch {
		case c.UserData == cancelMark:
		case c.Res >= 0 && c.Flags&uring.CompletionMore != 0:
			events[n] = poller.Event{Token: poller.Token(c.UserData), Ready: poller.Readable}
			n++
		case unix.Errno(-c.Res) != unix.ECANCELED:
			err = fmt.Errorf("io_uring's poll of descriptor %d ended: %w", c.UserData, unix.Errno(-min(c.Res, 0)))
		}
	}
	r.Reaped()
	return n, err
}

// settleTries bounds the waits, of a second at most, for cancelled requests.
const settleTries = 60

// settle implements settler: cancelled requests end bit by bit, as far as each io_uring_enter gets
// (io_run_local_work in io_uring/io_uring.c runs 20 or so at a time).
func (r *ring) settle() error {
	if err := r.Enter(); err != nil && !uring.Refused(err) {
		return err
	}
	var events [64]poller.Event
	for tries := 0; ; tries++ {
		before := r.edges
		if _, err := r.reap(events[:]); err != nil {
			return err
		}
		switch {
		case r.edges <= len(r.tokens):
			return nil
		case r.edges < before:
			tries = 0
		case tries > settleTries:
			return fmt.Errorf("%d cancelled requests of io_uring have not ended", r.edges-len(r.tokens))
		}
		if err := r.EnterWait(waitBound); err != nil && !uring.Refused(err) {
			return err
		}
	}
}

// close returns when the kernel has no request any more: one that is left would keep its descriptor watched.
func (r *ring) close() error {
	var err error
	for fd := range r.tokens {
		err = errors.Join(err, r.remove(fd))
	}
	return errors.Join(err, r.settle(), r.Close())
}
