//go:build unix

package testkit

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// descriptorsMax bounds the look for open descriptors.
const descriptorsMax = 4096

// begin has Go's runtime open the descriptors of its own poller, which it does with the first file that can be
// waited for: else a test would seem to have left them open.
var begin = sync.OnceFunc(func() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
})

// Descriptors counts the open descriptors of this process.
func Descriptors() (n int) {
	begin()
	for fd := range descriptorsMax {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}
