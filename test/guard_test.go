package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// A run that is stopped by a signal, or by -timeout, runs no cleanups. So each run has a guard: a process of
// this test binary in a session of its own, which waits for the end of the run. Then it ends what the run has
// started, also the children of its children, and removes the run's files.

// runEnv names the run's folder in the environment of everything that the run starts: processes are known by it.
const runEnv = "EVHTTPD_TEST_RUN"

// guardEnv is set for the guard alone; its value is the run's folder.
const guardEnv = "EVHTTPD_TEST_GUARD"

// graceMax is how long a process may take to end by SIGTERM, as an engine that ends its containers does.
const graceMax = 5 * time.Second

// shared is the run's folder in memory; it exists if a test has made it.
func shared(folder string) string { return filepath.Join("/dev/shm", filepath.Base(folder)) }

// startGuard begins to watch the run; release has the guard clean up, and waits for its end.
func startGuard(folder string) (release func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	guard := exec.Command(self)
	guard.Env = append(os.Environ(), guardEnv+"="+folder)
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives the run, and what a terminal sends to that
	guard.Stderr = os.Stderr
	pipe, err := guard.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := guard.Start(); err != nil {
		return nil, err
	}
	return func() {
		pipe.Close()
		_ = guard.Wait()
	}, nil
}

// keepGuard is what the guard's process does until the run has ended.
func keepGuard(folder string) {
	_, _ = io.Copy(io.Discard, os.Stdin) // which ends when the run does
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for end := time.Now().Add(graceMax); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			left := processesOf(folder)
			if len(left) == 0 {
				break
			}
			for _, pid := range left {
				_ = syscall.Kill(pid, signal)
			}
		}
	}
	for _, name := range []string{folder, shared(folder)} {
		if err := os.RemoveAll(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// processesOf lists the processes of a run, but for the calling one; none where the system has no /proc.
func processesOf(folder string) (found []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(name)
		if err == nil && bytes.Contains(environ, []byte(runEnv+"="+folder+"\x00")) {
			found = append(found, pid)
		}
	}
	return found
}

// TestStoppedRunLeavesNothing: of a run that is killed, no server runs on and no file remains.
func TestStoppedRunLeavesNothing(t *testing.T) {
	if len(processesOf(os.Getenv(runEnv))) == 0 {
		testkit.Skip(t, "/proc")
	}
	self, err := os.Executable()
	must(t, err)
	temporary := t.TempDir()
	cmd := testkit.Command(self, "-test.run=^TestServesUntilKilled$")
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary, stoppedEnv+"="+binary)
	cmd.SysProcAttr.Setpgid = true
	var said transcript
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	var folder string
	eventually(t, func() error {
		folders, err := filepath.Glob(filepath.Join(temporary, "*"))
		// the test itself, its guard and a server with a child
		if len(folders) != 1 || len(processesOf(folders[0])) < 3 {
			return fmt.Errorf("the run has begun no server: %q, %v\n%s", folders, err, said.String())
		}
		folder = folders[0]
		return nil
	})
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	eventually(t, func() error {
		if left := processesOf(folder); len(left) > 0 {
			return fmt.Errorf("processes %d run on", left)
		}
		if _, err := os.Stat(folder); err == nil {
			return fmt.Errorf("%s remains", folder)
		}
		return nil
	})
}

// stoppedEnv has TestServesUntilKilled serve; its value is the server's binary.
const stoppedEnv = "EVHTTPD_TEST_STOPPED"

// TestServesUntilKilled is run by TestStoppedRunLeavesNothing alone.
func TestServesUntilKilled(t *testing.T) {
	if os.Getenv(stoppedEnv) == "" {
		return
	}
	// The server is not the test's own child, so that only the guard can end it.
	launch(t, testkit.Command("sh", "-c", `"$@" & wait`, "sh", binary, "serve", t.TempDir(),
		"--listen", "127.0.0.1:0", "--access-log", "off"))
	select {}
}
