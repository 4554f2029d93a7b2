//go:build dragonfly || freebsd

package reactor

import "golang.org/x/sys/unix"

func acceptCloexec(listener int) (int, unix.Sockaddr, error) {
	return unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
}
