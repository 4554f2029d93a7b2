package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestReloadWithFewDescriptors: a model that cannot be opened for want of descriptors leaves the one that
// serves as it is, however far its opening has come; nothing stays open, and with descriptors it is taken.
func TestReloadWithFewDescriptors(t *testing.T) {
	root, files := site(t)
	config := func(v variant) string {
		return yamlOf(root, "io_model: "+v.Model, "trigger: "+v.Trigger, "loops: 2", "limits: {connections: 100}",
			"cache: {descriptors: 16}")
	}
	eachVariant(t, func(t *testing.T, v variant) {
		if v == variants()[0] {
			return // it serves
		}
		o := operate(t, config(variants()[0]))
		var limit unix.Rlimit
		must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, nil, &limit))
		before, lowest := len(o.descriptors()), lowestFree(o.pid)
		most := before + 1 // the client's connection
		if v.Model == "netpoll" {
			most += 4 // its pollers are the process's and stay, once they are there
		}
		refusals := 0
		for spare := range 12 {
			low := unix.Rlimit{Cur: uint64(lowest + spare), Max: limit.Max}
			must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, &low, nil))
			o.write(config(v))
			from := len(o.stderr.String())
			// A loop that hands over is not told that its listeners' queues are empty while there is no descriptor.
			said := o.told(syscall.SIGHUP, " reloaded ", "not reloaded", "out of descriptors")
			must(t, unix.Prlimit(o.pid, unix.RLIMIT_NOFILE, &limit, nil))
			if !strings.Contains(said, "not reloaded") {
				eventually(t, func() error {
					if !strings.Contains(event.Replace(o.stderr.String()[from:]), " reloaded ") {
						return fmt.Errorf("%v was not taken:\n%s", v, tail(o.stderr.String()))
					}
					return nil
				})
				break
			}
			refusals++
			if got := o.get(t, "/small"); !slices.Equal(got.body, files["/small"]) {
				t.Fatalf("%v, with %d descriptors to spare: status %d", v, spare, got.status)
			}
			eventually(t, func() error {
				if after := len(o.descriptors()); after > most {
					return fmt.Errorf("%v: %d descriptors are open, %d were before: %q", v, after, before,
						o.descriptors())
				}
				return nil
			})
		}
		if refusals == 0 {
			t.Errorf("%v was opened without a descriptor", v)
		}
		o.reload(config(v))
		o.get(t, "/small")
	})
}

// lowestFree is the number that the process's next descriptor has.
func lowestFree(pid int) int {
	for fd := 0; ; fd++ {
		if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil {
			return fd
		}
	}
}

// TestTooFewDescriptorsToStart: a server that could answer nobody for want of descriptors does not say that it
// serves, and says how many are needed; with that many it answers.
func TestTooFewDescriptorsToStart(t *testing.T) {
	shell := tool(t, "sh")
	eachVariant(t, func(t *testing.T, v variant) {
		if !v.OwnCode() {
			return
		}
		root, files := site(t)
		command := func(limit int) *exec.Cmd {
			// Whatever else the tests' process was started with is not the server's.
			script := fmt.Sprintf(`exec 3<&- 4<&- 5<&- 6<&- 7<&-; ulimit -n %d; exec "$0" "$@"`, limit)
			return testkit.Command(shell, "-c", script, binary, "serve",
				root, "--listen", "127.0.0.1:0",
				"--io-model", v.Model, "--trigger", v.Trigger, "--loops", "2", "--access-log", "off")
		}
		for limit := 8; ; limit++ { // with 7 Go's own poller cannot be opened
			if limit > 64 {
				t.Fatal("it does not serve with 64 descriptors")
			}
			out, served := startUp(t, command(limit))
			if served {
				s := launch(t, command(limit))
				t.Cleanup(func() { s.stop(t) })
				for path, content := range files {
					if got := s.get(t, path); !slices.Equal(got.body, content) {
						t.Errorf("with %d descriptors: status %d of %s", limit, got.status, path)
					}
				}
				return
			}
			if strings.Contains(out, "runtime: eventfd failed") ||
				strings.Contains(out, "runtime: epollcreate failed") {
				continue // Go's runtime ends the process before the program begins
			}
			if !strings.Contains(out, "too many open files") && !strings.Contains(out, "needed") ||
				strings.Contains(out, "goroutine ") {
				t.Errorf("with %d descriptors: %s", limit, out)
			}
		}
	})
}

// startUp runs a server until it says that it serves, or ends, and returns what it said.
func startUp(t *testing.T, cmd *exec.Cmd) (out string, served bool) {
	t.Helper()
	pipe, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	var said strings.Builder
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if _, _, _, ok := parseStartup(lines.Text()); ok {
			served = true
			must(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait() // it was killed, or has failed
	return said.String(), served
}

// TestCacheLeavesDescriptors: files that are kept open leave descriptors for clients and for other files, however
// many cache.descriptors allows.
func TestCacheLeavesDescriptors(t *testing.T) {
	const limit, count = 64, 100
	root := t.TempDir()
	for i := range count {
		write(t, root, fmt.Sprint(i), pattern(100_000, byte(i)))
	}
	s := launch(t, testkit.Command(tool(t, "sh"), "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, limit), binary,
		"serve", root,
		"--listen", "127.0.0.1:0", "--access-log", "off", "--loops", "1"))
	t.Cleanup(func() { s.stop(t) })
	s.settle(t, fmt.Sprint("/", count-1))
	for i := range count {
		if got := s.get(t, fmt.Sprint("/", i)); got.status != 200 {
			t.Fatalf("file %d of %d for one client: status %d\n%s", i, count, got.status, s.stderr.String())
		}
	}
	if strings.Contains(s.stderr.String(), "too many open files") {
		t.Errorf("one client made descriptors run out:\n%s", s.stderr.String())
	}
}
