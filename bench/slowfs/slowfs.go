// Package slowfs is a file system whose files are read as slowly as from a busy disk, for experiments with
// what does not lie in memory: every name f0, f1, f2 and so on is a file, so that one can ask for ever more of them,
// and so for a working set that no page cache holds.
//
// It is a FUSE file system, since that is what takes the least: /dev/fuse, and fusermount3 or root; no
// device, no module, no cgroup.
//
// It imports github.com/hanwen/go-fuse.
package slowfs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// SizeMax bounds a file, in bytes.
	SizeMax = 1 << 40
	// DelayMax bounds how long a read takes.
	DelayMax = 10 * time.Second
)

// Options say what the files are like.
type Options struct {
	Size int64 // of each, in bytes
	// Delay is how long a read of at most 128 KiB takes on average, however many are made at a time, as with a
	// device of many channels: each between half and one and a half times as long, at random, so that
	// readers who begin together do not stay in step. Names and attributes are told at once.
	Delay time.Duration
}

func (o *Options) check() error {
	switch {
	case o.Size < 0 || o.Size > SizeMax:
		return fmt.Errorf("slowfs: files of %d bytes: they have 0 to %d", o.Size, int64(SizeMax))
	case o.Delay < 0 || o.Delay > DelayMax:
		return fmt.Errorf("slowfs: a delay of %v: it must be 0 to %v", o.Delay, DelayMax)
	}
	return nil
}

// ErrUnsupported says that there is no such file system here.
var ErrUnsupported = errors.New("slowfs: it is mounted on Linux alone, with FUSE")

// number reads a file's name: f and a number.
func number(name string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(name, "f"), 10, 64)
	return n, err == nil && len(name) <= 16 && name == "f"+strconv.FormatUint(n, 10)
}
