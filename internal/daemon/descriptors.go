package daemon

import (
	"errors"
	"fmt"
	"math"
	"os"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
)

const (
	// freeMin is the number of descriptors that must be free when everything is open: a connection needs one, its
	// file or directory one, finding it two, and a link in a listing one more. With fewer, every request would be
	// answered with 503.
	freeMin = 5
	// ownMost is about the number of descriptors that a server needs besides connections and files. It is for the
	// error of a server that could not open them all. With 1 to 4 loops, 14 to 26 were counted, depending on the
	// model.
	ownMost = 16
)

// descriptorLimit returns RLIMIT_NOFILE, or math.MaxInt32 if that is less.
func descriptorLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)), nil
}

// connections returns the limit of connections: 90 % of the descriptors, unless another one is configured.
func (s *Server) connections(cfg *config.Config) int {
	if cfg.Limits.Connections > 0 {
		return cfg.Limits.Connections
	}
	limit, err := descriptorLimit()
	if err != nil {
		s.events.Warn("the limit of descriptors cannot be read; connections are not limited", zap.Error(err))
		return 0
	}
	return limit / 10 * 9
}

// cachedDescriptors is cache.descriptors in static's terms, but no more than half of what the connections leave of
// the limit: the other half is for the server's own, and for files that are opened.
func (s *Server) cachedDescriptors(cfg *config.Config) int {
	limit, err := descriptorLimit()
	if err != nil {
		return cfg.Cache.Descriptors
	}
	room := (limit - s.connections(cfg)) / 2
	switch {
	case room <= 0:
		return -1 // keeps none
	case cfg.Cache.Descriptors == 0: // no limit
		return room
	}
	return min(cfg.Cache.Descriptors, room)
}

// checkDescriptors reports whether clients can be served by the descriptors that are left now that everything is
// open.
func checkDescriptors() error {
	var free []int
	var err error
	for len(free) < freeMin && err == nil {
		var fd int
		if fd, err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			free = append(free, fd)
		}
	}
	for _, fd := range free {
		_ = unix.Close(fd) // of /dev/null
	}
	limit, limitErr := descriptorLimit()
	if !errors.Is(err, unix.EMFILE) || limitErr != nil {
		return nil // whatever else it is, requests will show it
	}
	return fmt.Errorf("RLIMIT_NOFILE is %d, and %d descriptors are needed to serve anybody: "+
		"raise LimitNOFILE= or ulimit -n",
		limit, limit+freeMin-len(free))
}

// withDescriptors adds to an error for want of descriptors how many are needed.
func withDescriptors(err error, cfg *config.Config) error {
	limit, limitErr := descriptorLimit()
	if !errors.Is(err, unix.EMFILE) || limitErr != nil {
		return err
	}
	return fmt.Errorf("%w (RLIMIT_NOFILE is %d, and about %d are needed to serve anybody: "+
		"raise LimitNOFILE= or ulimit -n)",
		err, limit, ownMost+4*max(cfg.Loops, 1)+freeMin)
}
