package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// skipsEnv names the file that collects what tests of all packages skip; Makefile and .ci/run set it.
const skipsEnv = "EVHTTPD_TEST_SKIPS"

// skips counts the tests of this process that were skipped, by what they want.
var skips struct {
	mu    sync.Mutex
	wants map[string]int
}

// Skip skips the test for want of that: an outside program, a right or a device.
func Skip(t testing.TB, want string) {
	t.Helper()
	skips.mu.Lock()
	if skips.wants == nil {
		skips.wants = make(map[string]int)
	}
	skips.wants[want]++
	skips.mu.Unlock()
	if name := os.Getenv(skipsEnv); name != "" {
		// One write of a line to a file that is appended to: packages run side by side.
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		Must(t, err)
		_, err = f.WriteString(want + "\n")
		Must(t, err)
		Must(t, f.Close())
	}
	t.Skip("for want of " + want)
}

// Long skips a test that boots a machine, starts an engine or takes minutes, unless it is asked for.
func Long(t testing.TB) {
	t.Helper()
	if !All() {
		Skip(t, "EVHTTPD_TEST=all")
	}
}

// Program is the path of an outside program; the test is skipped where it is not installed.
func Program(t testing.TB, name string) string {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		Skip(t, name)
	}
	return file
}

// Root skips a test that only root can run.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "root")
	}
}

// Skipped says how many tests of this process were skipped and for want of what; "" if none was.
func Skipped() string {
	skips.mu.Lock()
	defer skips.mu.Unlock()
	var sum int
	var wants []string
	for want, n := range skips.wants {
		sum += n
		if n > 1 {
			want = fmt.Sprintf("%s (%d)", want, n)
		}
		wants = append(wants, want)
	}
	if sum == 0 {
		return ""
	}
	slices.Sort(wants)
	return fmt.Sprintf("skipped %d for want of: %s", sum, strings.Join(wants, ", "))
}

// Device skips a test of a machine without that device or file system.
func Device(t testing.TB, name string) {
	t.Helper()
	if _, err := os.Stat(name); err != nil {
		Skip(t, name)
	}
}

// SaySkipped writes what Skipped says, for a TestMain to call at its end. go test shows nothing of a package
// that passes, so the line goes to the standard error of the go command itself and not to out. Nothing is
// written when the skips of all packages are collected: who collects them says so.
func SaySkipped(out *os.File) {
	text := Skipped()
	if text == "" || os.Getenv(skipsEnv) != "" {
		return
	}
	parent := fmt.Sprintf("/proc/%d/", os.Getppid())
	if comm, err := os.ReadFile(parent + "comm"); err == nil && string(comm) == "go\n" && !testing.Verbose() {
		// Not a file: it would be written from its beginning.
		info, err := os.Stat(parent + "fd/2")
		if err != nil || info.Mode()&(os.ModeCharDevice|os.ModeNamedPipe) == 0 {
			return
		}
		out, err = os.OpenFile(parent+"fd/2", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return
		}
		defer out.Close()
	}
	fmt.Fprintln(out, text)
}
