//go:build !linux

package iomodel

import (
	"fmt"
	"runtime"

	"github.com/evhttpd/evhttpd/poller"
)

func probeRing() error { return fmt.Errorf("%s has no io_uring: it is Linux's own", runtime.GOOS) }

func openRing(poller.Options) (poller.Poller, error) { return nil, probeRing() }
