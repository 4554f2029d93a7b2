package admin

import (
	"errors"
	"net"
	"sync/atomic"

	"go.uber.org/zap"
)

// steady returns l with errors of Accept that pass, but for that of a closed listener: net/http ends at any other
// that does not say so of itself (EPERM of a security module, EIO), and waits 5 ms before it tries again, and each time
// twice as long, up to a second.
func steady(l net.Listener, log *zap.Logger) net.Listener {
	return &steadyListener{Listener: l, log: log}
}

type steadyListener struct {
	net.Listener
	log    *zap.Logger
	failed atomic.Bool // the last Accept did
}

// Accept implements [net.Listener].
func (l *steadyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	switch {
	case errors.Is(err, net.ErrClosed):
		return nil, err
	case err == nil:
		l.failed.Store(false)
		return c, nil
	}
	if !l.failed.Swap(true) {
		l.log.Warn("the control plane accepts nobody: it is tried again, at least once a second", zap.Stringer("address", l.Addr()), zap.Error(err))
	}
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
