//go:build unix

package testkit

import "golang.org/x/sys/unix"

// descriptorsMax bounds the look for open descriptors.
const descriptorsMax = 4096

// Descriptors counts the open descriptors of this process.
func Descriptors() (n int) {
	for fd := range descriptorsMax {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}
