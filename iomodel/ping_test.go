//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/iomodel"
)

// TestPingOfWhoAccepts: a server without loops answers a ping by who accepts,
// waiting or busy. One that is stuck is the error, and answers when it goes on.
func TestPingOfWhoAccepts(t *testing.T) {
	eachOwned(t, func(t *testing.T, m iomodel.Model) {
		stuck, free := make(chan struct{}), make(chan struct{})
		s := start(t, m, func(o *iomodel.Options) {
			warn := o.Warn
			o.Connections = 1
			o.Warn = func(what string, err error) {
				if strings.HasPrefix(what, "too many connections") {
					stuck <- struct{}{}
					<-free
				}
				warn(what, err)
			}
		})
		for range 3 {
			must(t, s.Ping(patience))
		}
		first := s.dial(t)
		first.get("/small")
		must(t, s.Ping(patience))

		second := s.dial(t) // one too many: who accepts it warns, and that hangs
		<-stuck
		for range 3 {
			if err := s.Ping(time.Millisecond); err == nil || !strings.Contains(err.Error(), "accept") {
				t.Errorf("who accepts is stuck: %v", err)
			}
		}
		close(free)
		must(t, s.Ping(patience))
		second.get("/small")
		s.stop(0)
		must(t, s.Ping(patience))
	})
}
