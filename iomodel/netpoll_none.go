//go:build netbsd || openbsd

package iomodel

import (
	"fmt"
	"runtime"
)

func probeNetpoll() error {
	return fmt.Errorf("cloudwego/netpoll cannot be built for %s", runtime.GOOS)
}

func newNetpoll(Options) (Server, error) { return nil, probeNetpoll() }
