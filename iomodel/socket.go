package iomodel

import (
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// send is send(2), or sendmsg(2) for two parts, again after a signal. It
// returns n > 0 and nil, or 0 and an error: unix.EAGAIN for no room, or, of a
// blocking socket, when SO_SNDTIMEO was over first. more: a file follows, or the end of our side.
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
