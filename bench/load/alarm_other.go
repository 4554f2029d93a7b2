//go:build !linux

package load

import (
	"time"

	"github.com/evhttpd/evhttpd/poller"
)

// alarm has nothing to do here: kqueue's timeouts are in nanoseconds.
type alarm struct{}

func (*alarm) open(poller.Poller, poller.Token) error { return nil }
func (*alarm) set(time.Duration) error                { return nil }
func (*alarm) close() error                           { return nil }
