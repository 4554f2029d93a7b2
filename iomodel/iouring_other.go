//go:build !linux

package iomodel

import (
	"fmt"
	"runtime"
)

func probeRing() error { return fmt.Errorf("%s has no io_uring: it is Linux's own", runtime.GOOS) }

func newIOUring(Options) (Server, error) { return nil, probeRing() }
