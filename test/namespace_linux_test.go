package test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// The tests of the systemd units and of the container image stand on this file:
// a Debian of their own, and clients within a network that is not the machine's.

// debianRelease is the Debian that the machines of the tests are.
const debianRelease = "bookworm"

// onceAsRoot skips a test that takes a machine of its own where it cannot run, or is not asked for: it needs root,
// and against the server with the race detector it would only cost its time again.
func onceAsRoot(t *testing.T) {
	t.Helper()
	once(t)
	testkit.Long(t)
	testkit.Root(t)
}

// keptFolder is what outlasts a run: a folder in the user's cache, beside Go's build cache.
func keptFolder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("EVHTTPD_TEST_CACHE")
	if folder == "" {
		base, err := os.UserCacheDir()
		must(t, err)
		folder = filepath.Join(base, "evhttpd-test")
	}
	must(t, os.MkdirAll(folder, 0o755))
	return folder
}

// debian is the folder of a minimal Debian with systemd, which nobody changes.
// debootstrap makes it, once.
func debian(t *testing.T) string {
	t.Helper()
	debootstrap := tool(t, "debootstrap")
	cache := keptFolder(t)
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer lock.Close()
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	root := filepath.Join(cache, "debian-"+debianRelease)
	if _, err := os.Stat(root); err == nil {
		return root
	}
	begun := root + ".begun"
	must(t, os.RemoveAll(begun)) // of a run that was ended
	make := testkit.Command(debootstrap, "--variant=minbase", "--include=systemd,systemd-sysv,procps", debianRelease,
		begun)
	if said, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", make.Args, err, said)
	}
	must(t, os.Rename(begun, root))
	return root
}

// buildStatic builds the server as the image has it: it runs on any C library, or none.
func buildStatic(t *testing.T, file string) {
	t.Helper()
	build := testkit.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "../cmd/evhttpd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, said)
	}
}

// dialWithin connects from within the network of another process.
func dialWithin(pid int, address string) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result)
	go func() {
		// A thread of its own, which ends with the goroutine if it cannot come back.
		runtime.LockOSThread()
		c, err := within(pid, func() (net.Conn, error) { return net.DialTimeout("tcp", address, patience) })
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}

// within calls dial in the network namespace of pid. The calling thread is locked,
// and let go if it is back in its own namespace.
func within(pid int, dial func() (net.Conn, error)) (net.Conn, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("setns: %w", err)
	}
	c, err := dial()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return c, err
}

// getWithin asks for a path in the network of another process, on a connection of its own.
func getWithin(pid int, address, path string) (answer, error) {
	c, err := dialWithin(pid, address)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	if err := c.SetDeadline(deadline()); err != nil {
		return answer{}, err
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path); err != nil {
		return answer{}, err
	}
	return newWire(c).next(http.MethodGet)
}

// hostPID finds a process by its number within the namespace of another.
func hostPID(t *testing.T, leader int, inner string) int {
	t.Helper()
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", leader))
	must(t, err)
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || its != space {
			continue
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(status)) {
			if ids := strings.Fields(line); len(ids) > 1 && ids[0] == "NSpid:" && ids[len(ids)-1] == inner {
				return pid
			}
		}
	}
	t.Fatalf("no process %s in the namespace of %d", inner, leader)
	return 0
}

// stickLoop stops the thread of one event loop (one that never waits, if so), and nothing else of its process,
// until release: to the server that is a loop that is stuck.
func stickLoop(t *testing.T, pid int, never bool) (release func()) {
	t.Helper()
	var thread int
	eventually(t, func() error {
		names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), "loop ") {
				thread, err = strconv.Atoi(filepath.Base(filepath.Dir(name)))
				return err
			}
		}
		return fmt.Errorf("process %d has no thread that is named after its loop", pid)
	})
	stopped, quit, done := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the tracer is a thread
		defer runtime.UnlockOSThread()
		var status unix.WaitStatus
		err := stopWaiting(thread, never, &status)
		stopped <- err
		for err == nil {
			select {
			case <-quit:
				_ = unix.PtraceDetach(thread) // which fails if it has just been killed
				return
			case <-time.After(5 * time.Millisecond):
			}
			// A traced thread that was killed is its tracer's to collect, and its
			// process is not gone before that.
			if n, _ := unix.Wait4(thread, &status, unix.WALL|unix.WNOHANG, nil); n == thread && !status.Stopped() {
				return
			}
		}
	}()
	if err := <-stopped; err != nil {
		t.Fatalf("stopping thread %d: %v", thread, err)
	}
	return sync.OnceFunc(func() { close(quit); <-done })
}

// stopWaiting stops a loop's thread where it waits in the kernel. Anywhere else it might hold
// a lock, or a processor of Go's that the garbage collector waits for, and then nothing of the
// process gets on: that is another fault, and not to be mixed with this one. A loop that never waits is
// stopped in any system call.
func stopWaiting(thread int, never bool, status *unix.WaitStatus) error {
	var now string
	for end := deadline(); time.Now().Before(end); time.Sleep(time.Millisecond) {
		before, err := callOf(thread)
		if err != nil {
			return err
		}
		if before == "" && !never {
			continue
		}
		if err := unix.PtraceAttach(thread); err != nil {
			return err
		}
		if _, err := unix.Wait4(thread, status, unix.WALL, nil); err != nil {
			return err
		}
		if now, err = callOf(thread); err == nil && now != "" && (never || now == before) {
			return nil
		}
		if err := errors.Join(err, unix.PtraceDetach(thread)); err != nil {
			return err
		}
	}
	return fmt.Errorf("thread %d never waits in a system call; at last %q", thread, now)
}

// callOf is the number of the system call that a thread sleeps or has been stopped in; empty:
// it runs, or waits for a lock of Go's (proc_pid_syscall(5)).
func callOf(thread int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", thread))
	call, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if call == "running" || call == "-1" || call == strconv.Itoa(unix.SYS_FUTEX) {
		call = ""
	}
	return call, err
}
