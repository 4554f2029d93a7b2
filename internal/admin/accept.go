package admin

import (
	"errors"
	"fmt"
	"net"
)

// steady returns l with errors of Accept that pass, but for that of a closed listener: net/http ends at any other
// that does not say so of itself (EPERM of a security module, EIO), and waits 5 ms before it tries again, and each
// time twice as long, up to a second.
func steady(l net.Listener, warn func(what string, err error)) net.Listener {
	return &steadyListener{Listener: l, warn: warn}
}

type steadyListener struct {
	net.Listener
	warn func(what string, err error)
}

// Accept implements [net.Listener].
func (l *steadyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil || errors.Is(err, net.ErrClosed) {
		return c, err
	}
	l.warn("the control plane accepts nobody: it is tried again, at least once a second",
		fmt.Errorf("%s: %w", l.Addr(), err))
	return nil, passing{err}
}

// passing is an error that passes, in the words of net/http.
type passing struct{ error }

// Timeout implements [net.Error].
func (passing) Timeout() bool { return false }

// Temporary implements [net.Error].
func (passing) Temporary() bool { return true }

// Unwrap is for errors.Is.
func (p passing) Unwrap() error { return p.error }
