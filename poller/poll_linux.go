package poller

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pollRDHUP reports that the peer has closed its sending side (Linux 2.6.17).
const pollRDHUP = unix.POLLRDHUP

// sysPoll is one ppoll without a signal mask: arm64 has no poll. A
// look and a short wait keep the scheduler out of it (see ShortWait).
func sysPoll(fds []unix.PollFd, timeout time.Duration) (int, error) {
	ts := unix.NsecToTimespec(int64(timeout)) // the kernel writes the rest into it
	var n uintptr
	var errno unix.Errno
	if timeout <= ShortWait {
		n, _, errno = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))),
			uintptr(len(fds)), uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))),
			uintptr(len(fds)), uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
