package classic

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/uring"
	"github.com/evhttpd/evhttpd/poller"
)

const (
	ringRequests = 256
	// ringCompletions is the most that a batch of waits brings before it is reaped.
	ringCompletions = 4096
	// cancelMark is on the user data of cancellations, above every token that is used here.
	cancelMark = 1 << 63
)

// ring is a watcher over io_uring: one multishot poll request a descriptor (Linux 5.13), as edges.
type ring struct {
	*uring.Ring
	tokens map[int]poller.Token
	edges  int // poll requests that the kernel has
}

func openRing() (watcher, error) {
	r, err := uring.New(ringRequests, ringCompletions)
	if err != nil {
		return nil, err
	}
	if err := r.Enable(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &ring{Ring: r, tokens: make(map[int]poller.Token)}, nil
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
	if r.Full() {
		if err := r.Enter(); err != nil {
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
	if err = r.EnterWait(waitBound); err != nil {
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

// close returns when the kernel has no request any more: one that is left would keep its descriptor watched.
func (r *ring) close() error {
	var errs error
	for fd := range r.tokens {
		errs = errors.Join(errs, r.remove(fd))
	}
	var events [64]poller.Event
	for tries := 0; r.edges > 0 && errs == nil && tries < 1000; {
		if err := r.EnterWait(waitBound); err != nil {
			return errors.Join(err, r.Close())
		}
		before := r.edges
		_, errs = r.reap(events[:])
		if r.edges == before {
			tries++
		}
	}
	return errors.Join(errs, r.Close())
}
