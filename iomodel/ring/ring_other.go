//go:build !linux

package ring

import (
	"fmt"
	"runtime"

	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/reactor"
)

// Probe reports why there is no io_uring here.
func Probe() error { return fmt.Errorf("%s has no io_uring: it is Linux's own", runtime.GOOS) }

// New fails as Probe does.
func New(int, model.Options) (*reactor.Reactor, error) { return nil, Probe() }
