package admin

import (
	"errors"
	"fmt"
	"net"
)

// steady makes every error of Accept a temporary one, except for that of a closed listener. At an error that is not
// temporary (EPERM of a security module, EIO) net/http would stop serving. After a temporary one it tries again,
// first after 5 ms, then each time after twice as long, up to a second.
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

// passing is an error that net/http takes to be temporary.
type passing struct{ error }

// Timeout implements [net.Error].
func (passing) Timeout() bool { return false }

// Temporary implements [net.Error].
func (passing) Temporary() bool { return true }

// Unwrap returns the error within, for errors.Is.
func (p passing) Unwrap() error { return p.error }
