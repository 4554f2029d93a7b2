package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// pidsGroup makes a control group whose processes may have so many threads together (pids.max), of version 1 or 2.
func pidsGroup(t *testing.T, most int) (group string) {
	t.Helper()
	group, file := controlGroup(t, "pids", "pids.max", "pids.max")
	must(t, os.WriteFile(filepath.Join(group, file), []byte(fmt.Sprint(most)), 0))
	return group
}

// TestThreadsWithinPids: blocking has no more threads than its control group allows, whatever --threads says: Go ends
// the program when it is refused one. It says so when it starts, and does not start where not one connection can be
// served.
func TestThreadsWithinPids(t *testing.T) {
	const most, clients = 140, 160
	group := pidsGroup(t, most)
	root := t.TempDir()
	write(t, root, "a", []byte(hello))
	// The shell enters the group, and becomes the server.
	command := func() *exec.Cmd {
		return testkit.Command(tool(t, "sh"), "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group, binary, "serve",
			root,
			"--listen", "127.0.0.1:0", "--io-model", "blocking", "--access-log", "off", "--threads", "256")
	}
	s := launch(t, command())
	t.Cleanup(func() { s.stop(t) })
	eventually(t, func() error {
		if said := s.stderr.String(); !strings.Contains(said, fmt.Sprintf("of 256 (pids.max %d)", most)) {
			return fmt.Errorf("it does not say what bounds its threads:\n%s", said)
		}
		return nil
	})
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range 5 {
				if got, err := s.tryGet("/a"); err != nil || got.status != 200 {
					t.Errorf("status %d, %v", got.status, err)
					return
				}
			}
		})
	}
	all.Wait()
	refused, err := os.ReadFile(filepath.Join(group, "pids.events"))
	if must(t, err); strings.TrimSpace(string(refused)) != "max 0" {
		t.Errorf("threads were refused: %s", refused)
	}
	s.stop(t)

	must(t, os.WriteFile(filepath.Join(group, "pids.max"), []byte("24"), 0))
	if out, served := startUp(t, command()); served ||
		!strings.Contains(out, "pids.max leaves this process 24 threads") {
		t.Errorf("with 24 threads:\n%s", out)
	}
}
