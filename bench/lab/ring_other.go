//go:build !linux

package lab

import (
	"errors"
	"time"
)

func openRing(time.Duration) (watcher, error) { return nil, errors.New("it is Linux's") }
