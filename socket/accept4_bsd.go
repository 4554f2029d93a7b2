//go:build dragonfly || freebsd

package socket

import "golang.org/x/sys/unix"

// acceptCloexec is accept4(2): O_NONBLOCK is as its flags say, not the listener's.
func acceptCloexec(listener int, blocking bool) (int, unix.Sockaddr, error) {
	flags := unix.SOCK_CLOEXEC
	if !blocking {
		flags |= unix.SOCK_NONBLOCK
	}
	return unix.Accept4(listener, flags)
}
