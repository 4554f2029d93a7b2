//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package poller

import (
	"time"

	"golang.org/x/sys/unix"
)

// selectMax is the length of the C library's fd_set.
const selectMax = unix.FD_SETSIZE

// selectSet is a set of descriptors as the kernel has it.
type selectSet struct{ set unix.FdSet }

// grow reports whether there is room for fd.
func (s *selectSet) grow(fd int) bool { return fd < selectMax }

func (s *selectSet) put(fd int, in bool) {
	if s.set.Clear(fd); in {
		s.set.Set(fd)
	}
}

func (s *selectSet) has(fd int) bool { return s.set.IsSet(fd) }

func (s *selectSet) copy(from *selectSet, _ int) { s.set = from.set }

// nextReady returns the first descriptor from fd on that is in either set, or limit.
func nextReady(a, b *selectSet, fd, limit int) int {
	for fd < limit && !a.has(fd) && !b.has(fd) {
		fd++
	}
	return min(fd, limit)
}

// sysSelect counts in microseconds, rounded up: a wait never ends before its time.
func sysSelect(count int, read, write *selectSet, timeout time.Duration) (int, error) {
	micros := (timeout + time.Microsecond - 1) / time.Microsecond
	tv := unix.NsecToTimeval(int64(micros * time.Microsecond))
	return unix.Select(count, &read.set, &write.set, nil, &tv)
}
