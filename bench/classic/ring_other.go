//go:build !linux

package classic

import "errors"

func openRing() (watcher, error) { return nil, errors.New("it is Linux's") }
