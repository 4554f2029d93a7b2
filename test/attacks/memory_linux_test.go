package attacks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// memoryScale multiplies those who attack, so that what they hold comes to limits.buffers.
const memoryScale = 3

// memoryGroup makes a memory cgroup (version 1) of groupMax for a server; the test is skipped where it cannot be had.
func memoryGroup(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[1] != "memory" {
			continue
		}
		for _, parent := range []string{fields[2], ""} {
			folder := filepath.Join("/sys/fs/cgroup/memory", parent, "evhttpd-attacks-")
			left, _ := filepath.Glob(folder + "*")
			for _, of := range left {
				_ = os.Remove(of) // one that a killed run has left; a group with processes cannot be removed
			}
			folder += strconv.Itoa(os.Getpid())
			if os.Mkdir(folder, 0o755) != nil {
				continue
			}
			t.Cleanup(func() {
				eventually(t, func() error { return os.Remove(folder) }) // the kernel lets go of its processes late
			})
			limit := filepath.Join(folder, "memory.limit_in_bytes")
			if os.WriteFile(limit, []byte(strconv.Itoa(groupMax)), 0o644) == nil {
				return folder
			}
		}
	}
	testkit.Skip(t, "a memory cgroup of version 1")
	return ""
}

// memory is the most that a server has taken, in bytes.
type memory struct {
	anonymous int64 // RssAnon of /proc/PID/status
	group     int64 // of all that its group is charged with, the page cache and the kernel's own too
	buffers   int64 // evhttpd_buffers_bytes
	kills     int64 // of the group's processes for want of memory
}

// sample looks at the server's memory once.
func (m *memory) sample(s *server) error {
	anonymous, err := s.status("RssAnon")
	text, err2 := os.ReadFile(filepath.Join(s.group, "memory.usage_in_bytes"))
	usage, err3 := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	control, err4 := os.ReadFile(filepath.Join(s.group, "memory.oom_control"))
	for line := range strings.Lines(string(control)) {
		if rest, ok := strings.CutPrefix(line, "oom_kill "); ok {
			m.kills, _ = strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		}
	}
	m.anonymous, m.group = max(m.anonymous, anonymous), max(m.group, usage)
	return errors.Join(err, err2, err3, err4)
}

// watch samples until stop is called.
func (s *server) watch(t *testing.T) (stop func() memory) {
	var m memory
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			if err := m.sample(s); err != nil {
				t.Error(err)
				return
			}
			if values, err := s.metrics(); err == nil && i%5 == 0 {
				m.buffers = max(m.buffers, int64(values["evhttpd_buffers_bytes"]))
			}
			select {
			case <-end:
				return
			case <-time.After(200 * ms):
			}
		}
	})
	return sync.OnceValue(func() memory {
		close(end)
		running.Wait()
		return m
	})
}

func (m memory) String() string {
	return fmt.Sprintf("at most %d MiB of memory, %d MiB with the page cache and the kernel's, %d MiB of buffers",
		m.anonymous>>20, m.group>>20, m.buffers>>20)
}

// check is what must hold of a server's memory.
func (m memory) check() error {
	if most := int64(buffersMax + cacheMax + memoryMore); m.anonymous > most || m.kills > 0 {
		return fmt.Errorf("%d MiB of memory, at most %d were expected; %d processes were killed",
			m.anonymous>>20, most>>20, m.kills)
	}
	return nil
}

// startConfined starts a server that has groupMax of memory.
func startConfined(t *testing.T) *server {
	t.Helper()
	return start(t, setup{model: "epoll", deferAccept: true, descriptors: memoryScale * descriptorsMax,
		group: memoryGroup(t)})
}

// TestMemory: what the server takes under all kinds of attack at once is bounded by its configuration.
func TestMemory(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector takes memory of its own")
	}
	testkit.Long(t)
	t.Parallel()
	s := startConfined(t)
	p, stop := s.visited()
	defer stop()
	most := s.watch(t)
	defer most()
	p.mark("all")
	s.attacked(t, p, memoryMin, memoryScale, every()...)
	m := most()
	must(t, m.check())
	t.Log(m)
}
