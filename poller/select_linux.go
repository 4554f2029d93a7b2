package poller

import (
	"math/bits"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// selectMax is 0: the kernel takes sets of any length (core_sys_select in
// fs/select.c); FD_SETSIZE is glibc's.
const selectMax = 0

// selectSet is a set of descriptors as the kernel has it: an array of longs.
type selectSet struct{ words []uint }

// grow makes room for fd. It always can.
func (s *selectSet) grow(fd int) bool {
	for fd/bits.UintSize >= len(s.words) {
		s.words = append(s.words, 0)
	}
	return true
}

func (s *selectSet) put(fd int, in bool) {
	word, bit := &s.words[fd/bits.UintSize], uint(1)<<(fd%bits.UintSize)
	if *word &^= bit; in {
		*word |= bit
	}
}

func (s *selectSet) has(fd int) bool {
	return s.words[fd/bits.UintSize]&(1<<(fd%bits.UintSize)) != 0
}

// copy takes over the first count descriptors of from, in whole words.
func (s *selectSet) copy(from *selectSet, count int) {
	words := (count + bits.UintSize - 1) / bits.UintSize
	copy(s.words[:words], from.words)
}

// nextReady returns the first descriptor from fd on that is in either set, or limit.
func nextReady(a, b *selectSet, fd, limit int) int {
	for fd < limit {
		word := fd / bits.UintSize
		if rest := (a.words[word] | b.words[word]) >> (fd % bits.UintSize); rest != 0 {
			return min(fd+bits.TrailingZeros(rest), limit)
		}
		fd = (word + 1) * bits.UintSize
	}
	return limit
}

// sysSelect is one pselect6 without a signal mask: arm64 has no select. A
// look and a short wait keep the scheduler out of it (see ShortWait).
func sysSelect(count int, read, write *selectSet, timeout time.Duration) (int, error) {
	ts := unix.NsecToTimespec(int64(timeout)) // the kernel writes the rest into it
	var n uintptr
	var errno unix.Errno
	if timeout <= ShortWait {
		n, _, errno = unix.RawSyscall6(unix.SYS_PSELECT6, uintptr(count), uintptr(unsafe.Pointer(&read.words[0])),
			uintptr(unsafe.Pointer(&write.words[0])), 0, uintptr(unsafe.Pointer(&ts)), 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_PSELECT6, uintptr(count), uintptr(unsafe.Pointer(&read.words[0])),
			uintptr(unsafe.Pointer(&write.words[0])), 0, uintptr(unsafe.Pointer(&ts)), 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
