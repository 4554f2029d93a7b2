package test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSuspended: requests that have arrived while the process was stopped (SIGSTOP, a frozen cgroup or virtual machine)
// are answered, though the timers of their connections have run out meanwhile.
func TestSuspended(t *testing.T) {
	const keepAlive, connections = 2 * time.Second, 40
	root := t.TempDir()
	write(t, root, "small", []byte("small"))
	eachVariant(t, func(t *testing.T, v variant) {
		s := startControlled(t, v, root, fmt.Sprintf("timeouts: {keep_alive: %v}\n", keepAlive))
		var wires []*wire
		for range connections {
			w, err := s.open(request("/small"))
			must(t, err)
			defer w.conn.Close()
			wires = append(wires, w)
		}
		for _, w := range wires {
			if _, err := w.next("GET"); err != nil {
				t.Fatal(err)
			}
		}
		s.signal(t, syscall.SIGSTOP)
		eventually(t, s.stopped)
		for _, w := range wires {
			_, err := w.conn.Write([]byte(request("/small")))
			must(t, err)
		}
		time.Sleep(keepAlive) // what the test is about passes
		s.signal(t, syscall.SIGCONT)
		lost := 0
		for _, w := range wires {
			if got, err := w.next("GET"); err != nil || got.status != 200 {
				lost++
				t.Logf("%d, %v", got.status, err)
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d requests were not answered", lost, connections)
		}
	})
}

// stopped reports an error until every thread of the server is stopped.
func (s *server) stopped() error {
	folder := fmt.Sprintf("/proc/%d/task", s.cmd.Process.Pid)
	threads, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(folder + "/" + thread.Name() + "/stat") // proc_pid_stat(5)
		if err != nil {
			return err
		}
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return fmt.Errorf("thread %s is not stopped: %s", thread.Name(), stat)
		}
	}
	return nil
}
