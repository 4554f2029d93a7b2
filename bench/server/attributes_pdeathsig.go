//go:build linux || freebsd

package server

import "syscall"

// attributes put the server into a process group of its own, so that a Ctrl-C
// on the terminal reaches its parent alone, which ends it in order; and they
// kill it if the parent dies without having done so.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
