package iomodel

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// send is send(2), or sendmsg(2) for two parts, again after a signal. It
// returns n > 0 and nil, or 0 and an error: unix.EAGAIN for no room, or, of a
// blocking socket, when SO_SNDTIMEO was over first. more: a file follows.
func send(fd int, head, body []byte, more bool) (int, error) {
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= msgMore
	}
	if len(head) == 0 {
		head, body = body, nil
	}
	for {
		var n int
		var err error
		if len(body) == 0 {
			n, err = sendOne(fd, head, flags)
		} else {
			n, err = unix.SendmsgBuffers(fd, [][]byte{head, body}, nil, nil, flags)
		}
		switch {
		case n > 0:
			return n, nil
		case err != unix.EINTR:
			return 0, err
		}
	}
}

// again turns the error of a call that would have had to wait into conn.ErrAgain.
func again(err error) error {
	if err == unix.EAGAIN || err == unix.EINTR {
		return conn.ErrAgain
	}
	return err
}

// outOfResources reports whether accepting failed for want of something that
// others give back.
func outOfResources(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// listenerBroken reports whether accepting failed for a reason that no other
// connection would change. What is neither this nor want of resources was the
// new connection's own trouble: it is gone (accept(2)).
func listenerBroken(err error) bool {
	return errors.Is(err, unix.EBADF) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSOCK)
}
