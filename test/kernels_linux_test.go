package test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newerCalls is the first number of a system call that Linux 4.18 does not have: the numbers of all architectures go
// on together from pidfd_send_signal (5.1) on, so openat2, io_uring, close_range, clone3, pidfd_open, faccessat2,
// epoll_pwait2 and all that came later are among them.
const newerCalls = unix.SYS_PIDFD_SEND_SIGNAL

// olderKernels are kernels that lack something, and what is said of it where the server does without. ring is what
// io_uring is refused for; empty: it is served.
var olderKernels = []struct{ name, confinement, said, ring string }{
	{"4.18", fmt.Sprintf("newer=%d", newerCalls), "no openat2(2)", "io_uring_setup: function not implemented"},
	{"no openat2", refusing(unix.SYS_OPENAT2, unix.ENOSYS), "no openat2(2)", ""},
	{"no io_uring", refusing(unix.SYS_IO_URING_SETUP, unix.ENOSYS), "", "io_uring_setup: function not implemented"},
	{"no statx", refusing(unix.SYS_STATX, unix.ENOSYS), "", ""},
	{"no SO_REUSEPORT", fmt.Sprintf("option=%d:%d", unix.SOL_SOCKET, unix.SO_REUSEPORT), "no SO_REUSEPORT", ""},
}

// TestOlderKernels: on a kernel that lacks what the server would like to use, each model serves with what there is and
// says so, or is refused at the start with the reason.
func TestOlderKernels(t *testing.T) {
	root, files := site(t)
	eachVariant(t, func(t *testing.T, v variant) {
		for _, k := range olderKernels {
			t.Run(k.name, func(t *testing.T) {
				cmd := confined(t, []string{k.confinement}, binary, "serve", root, "--listen", "127.0.0.1:0",
					"--io-model", v.Model, "--trigger", v.Trigger, "--access-log", "off", "--loops", "2", "--listing",
					"on")
				if v.Model == "io_uring" && k.ring != "" {
					if out, served := startUp(t, cmd); served || !strings.Contains(out, k.ring) {
						t.Errorf("served: %v, the server said:\n%s", served, out)
					}
					return
				}
				s := launch(t, cmd)
				t.Cleanup(func() { s.stop(t) })
				for path, content := range files {
					if got := s.get(t, path); got.status != 200 || !bytes.Equal(got.body, content) {
						t.Errorf("%s: status %d, %d bytes of %d", path, got.status, len(got.body), len(content))
					}
				}
				if got := s.get(t, "/"); got.status != 200 || !strings.Contains(string(got.body), "memory") {
					t.Errorf("the listing: status %d, %.200q", got.status, got.body)
				}
				if got := s.get(t, "/none"); got.status != 404 {
					t.Errorf("what is not there: status %d", got.status)
				}
				if k.said == "no SO_REUSEPORT" && !v.Loops() {
					return // it has one socket an address
				}
				eventually(t, says(s.stderr.String, k.said))
			})
		}
	})
}

// TestUpgradeOnOlderKernel: a server on Linux 4.18 gives its place up to another process.
func TestUpgradeOnOlderKernel(t *testing.T) {
	t.Parallel()
	root, files := site(t)
	s := launch(t, confined(t, []string{fmt.Sprintf("newer=%d", newerCalls)}, binary, "serve", root, "--listen",
		"127.0.0.1:0", "--access-log", "off"))
	o := &operated{server: s, t: t, pid: s.cmd.Process.Pid}
	t.Cleanup(o.end)
	o.upgrade()
	if got := o.get(t, "/file"); !bytes.Equal(got.body, files["/file"]) {
		t.Errorf("status %d, %d bytes", got.status, len(got.body))
	}
}
