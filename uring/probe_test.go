//go:build linux

package uring

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

var descriptors = testkit.Descriptors

// forbidEnv has the test binary forbid itself io_uring and print what Probe says.
const forbidEnv = "EVHTTPD_TEST_FORBID_IO_URING"

func TestMain(m *testing.M) {
	if os.Getenv(forbidEnv) != "" {
		os.Exit(probeForbidden())
	}
	os.Exit(m.Run())
}

// TestReason: each cause has its own words, and the cure.
func TestReason(t *testing.T) {
	for _, c := range []struct {
		name             string
		errno            syscall.Errno
		setting, release string
		want             []string
	}{
		{"switched off", unix.EPERM, "2", "6.8.0", []string{"kernel.io_uring_disabled=2",
			"sysctl -w kernel.io_uring_disabled=0"}},
		{"for a group", unix.EPERM, "1", "6.8.0", []string{"kernel.io_uring_disabled=1", "kernel.io_uring_group"}},
		{"seccomp", unix.EPERM, "0", "6.8.0", []string{"seccomp", "--security-opt"}},
		{"seccomp before the switch", unix.EPERM, "", "6.1.0", []string{"seccomp"}},
		{"before io_uring", unix.ENOSYS, "", "4.19.0-27-amd64", []string{"4.19.0-27-amd64", "6.1"}},
		{"not built in", unix.ENOSYS, "", "6.8.0", []string{"CONFIG_IO_URING"}},
		{"too old", unix.EINVAL, "", "5.15.0-91-generic", []string{"5.15.0-91-generic", "6.1",
			"IORING_SETUP_DEFER_TASKRUN"}},
		{"memlock", unix.ENOMEM, "0", "6.8.0", []string{"ulimit -l", "LimitMEMLOCK="}},
		{"descriptors", unix.EMFILE, "0", "6.8.0", []string{"ulimit -n"}},
		{"descriptors of all", unix.ENFILE, "0", "6.8.0", []string{"descriptor"}},
		{"something else", unix.EFAULT, "0", "6.8.0", []string{"bad address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := reason("io_uring_setup", c.errno, c.setting, c.release)
			if !errors.Is(err, c.errno) {
				t.Errorf("%v does not wrap %v", err, c.errno)
			}
			for _, want := range append(c.want, "io_uring_setup") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
		})
	}
}

// TestProbe: it agrees with making a ring, and leaves no descriptor open.
func TestProbe(t *testing.T) {
	before := descriptors()
	probed := Probe(8, 16)
	r, err := New(8, 16)
	if err == nil {
		must(t, r.Close())
	}
	if (probed == nil) != (err == nil) {
		t.Errorf("Probe says %v, New %v", probed, err)
	}
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

// TestProbeSeccomp: under a filter that answers EPERM, as Docker's does, Probe names it.
func TestProbeSeccomp(t *testing.T) {
	if err := Probe(8, 16); err != nil {
		t.Skip(err)
	}
	cmd := testkit.Command(os.Args[0])
	cmd.Env = append(os.Environ(), forbidEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "seccomp") || !strings.Contains(string(out), "operation not permitted") {
		t.Errorf("Probe says %q", out)
	}
}

// probeForbidden puts its own thread under a filter and probes.
func probeForbidden() int {
	runtime.LockOSThread()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		os.Stdout.WriteString("no_new_privs: " + err.Error())
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0,
		0); err != nil {
		os.Stdout.WriteString("seccomp: " + err.Error())
		return 1
	}
	err := Probe(8, 16)
	if err == nil {
		os.Stdout.WriteString("io_uring is there")
		return 1
	}
	os.Stdout.WriteString(err.Error())
	return 0
}
