package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestProcessOne: as the first process of a container the server waits for those whose parents have
// ended; none stays a zombie. It stops by SIGTERM as ever.
func TestProcessOne(t *testing.T) {
	args := []string{"--pid", "--fork"}
	if os.Geteuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	// The shell is process 1, leaves a child that ends later, and becomes the server.
	args = append(args, "sh", "-c", "sleep 0.2 & exec \"$@\"", "sh", binary, "serve", t.TempDir(), "--listen",
		"127.0.0.1:0", "--access-log", "off")
	s := launch(t, testkit.Command(tool(t, "unshare"), args...))
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.cmd.Process.Pid))
	must(t, err)
	var first int
	if _, err := fmt.Sscan(string(text), &first); err != nil {
		t.Fatalf("the children of unshare: %q, %v", text, err)
	}
	defer func() {
		must(t, syscall.Kill(first, syscall.SIGTERM))
		if code := s.wait(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.stderr.String())
		}
	}()
	eventually(t, func() error {
		var all bytes.Buffer
		for _, thread := range threads(t, first) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", first, thread))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			all.Write(text)
		}
		if left := strings.TrimSpace(all.String()); left != "" {
			return fmt.Errorf("children %s of process 1 are there still", left)
		}
		return nil
	})
}

// threads are the numbers of a process's threads.
func threads(t *testing.T, pid int) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
