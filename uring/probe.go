//go:build linux

package uring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// disabledPath is the switch of Linux 6.6: 0 everyone may, 1 only
// CAP_SYS_ADMIN and the group kernel.io_uring_group, 2 nobody.
const disabledPath = "/proc/sys/kernel/io_uring_disabled"

// Probe reports why there is no io_uring here with rings of that size, with what can be done about it;
// nil: there is. It makes every call that a server makes: of a filter, each may be refused by itself.
func Probe(requests, completions uint32) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := New(requests, completions)
	if err != nil {
		return err
	}
	b, err := r.ProvideBuffers(0, 1, 4096)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	if err = r.Enable(); err == nil {
		r.Request().PrepareNop()
		err = r.Enter()
	}
	switch {
	case Refused(err):
		err = nil // it is there, and passes
	case errors.Is(err, unix.EPERM):
		err = explain("io_uring_enter", unix.EPERM)
	}
	return errors.Join(err, r.Close(), b.Close())
}

// explain returns what a call of io_uring failed with, and the cure, from what
// this machine says of itself.
func explain(call string, errno syscall.Errno) error {
	setting, _ := os.ReadFile(disabledPath) // there is no such switch before Linux 6.6
	var name unix.Utsname
	_ = unix.Uname(&name) // the release is for the text alone
	release := unix.ByteSliceToString(name.Release[:])
	return reason(call, errno, strings.TrimSpace(string(setting)), release)
}

// reason names the one cause of a call's errno. setting is the content of disabledPath, empty if there is no such file.
func reason(call string, errno syscall.Errno, setting, release string) error {
	var why string
	switch {
	case errno == unix.EPERM && setting == "2":
		why = "switched off for everyone by kernel.io_uring_disabled=2; as root: sysctl -w kernel.io_uring_disabled=0"
	case errno == unix.EPERM && setting == "1":
		why = "kept for CAP_SYS_ADMIN and the group kernel.io_uring_group by kernel.io_uring_disabled=1; " +
			"join that group, or as root: sysctl -w kernel.io_uring_disabled=0"
	case errno == unix.EPERM:
		why = "forbidden to this process though the kernel allows it: a seccomp filter, as Docker's default profile " +
			"has; use a profile that allows io_uring_setup, io_uring_enter and io_uring_register " +
			"(docker run --security-opt seccomp=FILE)"
	case errno == unix.ENOSYS && older(release, 5, 1):
		why = fmt.Sprintf("this kernel, %s, has none; Linux 6.1 or later is needed", release)
	case errno == unix.ENOSYS:
		why = fmt.Sprintf("this kernel, %s, was built without it (CONFIG_IO_URING), or a seccomp filter hides it",
			release)
	case errno == unix.EINVAL:
		why = fmt.Sprintf("this kernel, %s, is too old: Linux 6.1 or later is needed (IORING_SETUP_DEFER_TASKRUN)",
			release)
	case errno == unix.ENOMEM:
		why = "not enough memory that may be locked or charged to this process; raise LimitMEMLOCK= or ulimit -l, or " +
			"the cgroup's memory limit"
	case errno == unix.EMFILE || errno == unix.ENFILE:
		why = "no descriptor left for the ring; raise LimitNOFILE= or ulimit -n"
	default:
		why = "the kernel refuses to make a ring"
	}
	return fmt.Errorf("io_uring: %s (%s: %w)", why, call, errno)
}

// older reports whether a kernel release such as 5.15.0-91-generic is older than that.
func older(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || a == major && b < minor
}
