package reactor

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadNameSize is that of a thread's name with its NUL (PR_SET_NAME of prctl(2)).
const threadNameSize = 16

// nameThread names the calling thread after its loop, as top -H, ps -L and perf
// show it, and returns what gives it its old name back. The name is for people
// alone, so that a kernel that does not take it changes nothing. The process's first
// thread keeps its name: it is the program's, for pgrep(1) and killall(1).
func nameThread(index int) (restore func()) {
	var old, name [threadNameSize]byte
	if unix.Gettid() == unix.Getpid() || unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&old)), 0, 0, 0) != nil {
		return func() {}
	}
	copy(name[:threadNameSize-1], "loop "+strconv.Itoa(index))
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0)
	return func() { _ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&old)), 0, 0, 0) }
}
