package test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutOpenat2 is set in the environment of this test binary when it is run to
// become the server on a kernel that has no openat2(2), as before Linux 5.6.
const withoutOpenat2 = "EVHTTPD_TEST_WITHOUT_OPENAT2"

// init becomes the server, behind a filter of system calls.
func init() {
	if os.Getenv(withoutOpenat2) == "" {
		return
	}
	os.Unsetenv(withoutOpenat2)
	err := refuseOpenat2()
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	os.Stderr.WriteString("without openat2: " + err.Error() + "\n")
	os.Exit(1)
}

// refuseOpenat2 has openat2 fail with ENOSYS in the calling thread, and in what it executes (seccomp(2)).
func refuseOpenat2() error {
	const number = 0 // of the call, in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT2, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// eachResolver runs the test with the two ways in which the server keeps beneath its
// root: openat2(2), and the walk from component to component that stands in for it.
func eachResolver(t *testing.T, test func(t *testing.T, serve func(t *testing.T, root string, flags ...string) *server)) {
	for _, has := range []bool{true, false} {
		name := "openat2"
		if !has {
			name = "walk"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t *testing.T, root string, flags ...string) *server {
				t.Helper()
				args := append([]string{binary, "serve", root, "--listen", "127.0.0.1:0", "--access-log", "off"}, flags...)
				cmd := exec.Command(args[0], args[1:]...)
				if !has {
					self, err := os.Executable()
					must(t, err)
					cmd = exec.Command(self, args...)
					cmd.Env = append(os.Environ(), withoutOpenat2+"=1")
				}
				s := launch(t, cmd)
				t.Cleanup(func() { s.stop(t) })
				return s
			})
		})
	}
}
