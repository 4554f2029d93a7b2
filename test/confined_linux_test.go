package test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// confinement is set in the environment of this test binary when it is run to become another program, behind what
// the words of its value say: refuse=CALL:ERRNO has a system call fail, by number (seccomp(2)), newer=CALL has all
// calls of that number and higher ones be unknown, option=LEVEL:NAME has an option of sockets be unknown, and
// memlock=BYTES bounds locked memory, without the capability to exceed that (CAP_IPC_LOCK).
const confinement = "EVHTTPD_TEST_CONFINED"

// init becomes the other program.
func init() {
	value, ok := os.LookupEnv(confinement)
	if !ok {
		return
	}
	os.Unsetenv(confinement)
	var err error
	for _, word := range strings.Fields(value) {
		if err == nil {
			err = confine(word)
		}
	}
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	os.Stderr.WriteString(value + ": " + err.Error() + "\n")
	os.Exit(1)
}

func confine(word string) error {
	var call, errno uint32
	var bytes uint64
	if _, err := fmt.Sscanf(word, "memlock=%d", &bytes); err == nil {
		if os.Geteuid() == 0 { // else it has no capability
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_IPC_LOCK, 0, 0, 0); err != nil {
				return err
			}
		}
		return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: bytes, Max: bytes})
	}
	if _, err := fmt.Sscanf(word, "newer=%d", &call); err == nil {
		return refuseCalls(uint32(unix.ENOSYS), condition{unix.BPF_JGE, 0, call})
	}
	var level, option uint32
	if _, err := fmt.Sscanf(word, "option=%d:%d", &level, &option); err == nil {
		const args = 16 // in struct seccomp_data; the low half of each argument comes first
		return refuseCalls(uint32(unix.ENOPROTOOPT), condition{unix.BPF_JEQ, 0, unix.SYS_SETSOCKOPT},
			condition{unix.BPF_JEQ, args + 8, level}, condition{unix.BPF_JEQ, args + 16, option})
	}
	if _, err := fmt.Sscanf(word, "refuse=%d:%d", &call, &errno); err != nil {
		return err
	}
	return refuseCalls(errno, condition{unix.BPF_JEQ, 0, call})
}

// condition is that a word of struct seccomp_data, at an offset, compares so with a value. The first word is the
// number of the call.
type condition struct {
	compare uint16
	offset  uint32
	value   uint32
}

// refuseCalls has the system calls of which all this is true fail in the calling thread, and in what it executes.
func refuseCalls(errno uint32, all ...condition) error {
	var filter []unix.SockFilter
	for i, c := range all {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: c.offset},
			unix.SockFilter{Code: unix.BPF_JMP | c.compare | unix.BPF_K, K: c.value, Jf: uint8(2*(len(all)-i) - 1)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// refusing is the part of the variable's value that has a call fail.
func refusing(call int, errno syscall.Errno) string {
	return fmt.Sprintf("refuse=%d:%d", call, int(errno))
}

// confined returns the command that runs a program under these restrictions.
func confined(t *testing.T, words []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := testkit.Command(self, args...)
	cmd.Env = append(os.Environ(), confinement+"="+strings.Join(words, " "))
	return cmd
}

// TestCallsForbidden: where a filter forbids a system call, another one is used, or the model is not available and
// the reason is said.
func TestCallsForbidden(t *testing.T) {
	root, files := site(t)
	for _, c := range []struct {
		name  string
		call  int
		errno syscall.Errno
	}{
		{"preadv2 forbidden", unix.SYS_PREADV2, unix.EPERM}, {"preadv2 unknown", unix.SYS_PREADV2, unix.ENOSYS},
		{"sendfile forbidden", unix.SYS_SENDFILE, unix.EPERM}, {"sendfile unknown", unix.SYS_SENDFILE, unix.ENOSYS},
		{"statx forbidden", unix.SYS_STATX, unix.EPERM}, {"openat2 forbidden", unix.SYS_OPENAT2, unix.EPERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := launch(t, confined(t, []string{refusing(c.call, c.errno)}, binary, "serve", root, "--listen",
				"127.0.0.1:0", "--access-log", "off"))
			t.Cleanup(func() { s.stop(t) })
			for path, content := range files {
				if got := s.get(t, path); got.status != 200 || string(got.body) != string(content) {
					t.Errorf("%s: status %d, %d bytes of %d", path, got.status, len(got.body), len(content))
				}
			}
		})
	}
	for name, call := range map[string]int{
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER,
		"io_uring_register": unix.SYS_IO_URING_REGISTER,
	} {
		t.Run(name+" forbidden", func(t *testing.T) {
			t.Parallel()
			ioUringHere(t)
			out, err := confined(t, []string{refusing(call, unix.EPERM)}, binary, "models").CombinedOutput()
			must(t, err)
			if text := strings.Join(strings.Fields(string(out)), " "); !strings.Contains(text, "io_uring no ") ||
				!strings.Contains(text, name+":") {
				t.Errorf("the models:\n%s", out)
			}
			cmd := confined(t, []string{refusing(call, unix.EPERM)}, binary, "serve", root, "--listen", "127.0.0.1:0",
				"--io-model", "io_uring")
			if out, served := startUp(t, cmd); served || !strings.Contains(out, "seccomp") {
				t.Errorf("the server said:\n%s", out)
			}
		})
	}
}
