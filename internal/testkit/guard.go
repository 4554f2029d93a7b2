//go:build unix

package testkit

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// A run that is stopped by a signal, or by -timeout, runs no cleanups. So each run has a guard: a process of
// this test binary in a session of its own, which waits for the end of the run. Then it ends what the run has
// started, also the children of its children, and removes the run's files.

// RunEnv names the run's folder in the environment of everything that the run starts: processes are known by it.
const RunEnv = "EVHTTPD_TEST_RUN"

// guardEnv is set for the guard alone; its value is the run's folder.
const guardEnv = "EVHTTPD_TEST_GUARD"

// graceMax is how long a process may take to end by SIGTERM, as an engine that ends its containers does.
const graceMax = 5 * time.Second

// Shared is the run's folder in memory; it exists if a test has made it.
func Shared(folder string) string { return filepath.Join("/dev/shm", filepath.Base(folder)) }

// startGuard begins to watch the run; release has the guard clean up, and waits for its end. out is where it
// says what it could not do.
func startGuard(folder string, out *os.File) (release func(), err error) {
	// Under nohup the servers of the run would be started with SIGHUP ignored, and never reload.
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	guard := exec.Command(self)
	guard.Env = append(os.Environ(), guardEnv+"="+folder)
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives the run, and what a terminal sends to that
	guard.Stderr = out
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

// keepGuard is what the guard does until the run has ended. It reports false if this process is none. Main begins
// with it.
func keepGuard(out io.Writer) bool {
	folder := os.Getenv(guardEnv)
	if folder == "" {
		return false
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // which ends when the run does
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for end := time.Now().Add(graceMax); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			left := ProcessesOf(folder)
			if len(left) == 0 {
				break
			}
			for _, pid := range left {
				_ = syscall.Kill(pid, signal)
			}
		}
	}
	for _, name := range []string{folder, Shared(folder)} {
		if err := os.RemoveAll(name); err != nil {
			fmt.Fprintln(out, err)
		}
	}
	return true
}

// ProcessesOf lists the processes of a run, but for the calling one; none where the system has no /proc.
func ProcessesOf(folder string) (found []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(name)
		if err == nil && bytes.Contains(environ, []byte(RunEnv+"="+folder+"\x00")) {
			found = append(found, pid)
		}
	}
	return found
}
