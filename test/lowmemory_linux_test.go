package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// memoryGroup makes a control group whose processes have so much memory together, of version 1 or 2. killed is how
// many of them the kernel has killed for want of it.
func memoryGroup(t *testing.T, bytes int) (group string, killed func() string) {
	t.Helper()
	group, limit := controlGroup(t, "memory", "memory.limit_in_bytes", "memory.max")
	events := "memory.oom_control"
	if limit == "memory.max" {
		events = "memory.events"
	}
	must(t, os.WriteFile(filepath.Join(group, limit), []byte(fmt.Sprint(bytes)), 0))
	return group, func() string {
		text, err := os.ReadFile(filepath.Join(group, events))
		must(t, err)
		_, rest, _ := strings.Cut(string(text), "oom_kill ")
		return strings.Fields(rest)[0]
	}
}

// TestLittleMemory: a server with its defaults in 64 MiB lives through more small files than its cache takes, clients
// that read nothing, and half heads, at once: each request is answered, or refused with 503.
func TestLittleMemory(t *testing.T) {
	const names, size = 1500, 60_000
	if raceServer() {
		t.Skip("the race detector takes memory of its own")
	}
	root := t.TempDir()
	write(t, root, "0", pattern(size, 31))
	for i := range names { // one file by many names takes the disk once and the cache many times
		must(t, os.Link(filepath.Join(root, "0"), filepath.Join(root, fmt.Sprint(i+1))))
	}
	write(t, root, "large", pattern(4<<20, 32))
	eachVariant(t, func(t *testing.T, v variant) {
		group, killed := memoryGroup(t, 64<<20)
		s := launch(t, testkit.Command(tool(t, "sh"), "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group, binary,
			"serve", root, "--listen", "127.0.0.1:0", "--access-log", "off", "--io-model", v.Model, "--trigger",
			v.Trigger))
		t.Cleanup(func() { s.stop(t) })
		s.settle(t, "/0")
		for range 40 {
			for _, begin := range []string{request("/large"), "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 30_000)} {
				if w, err := s.open(begin); err == nil { // else it is refused
					defer w.conn.Close()
				}
			}
		}
		var all sync.WaitGroup
		for from := range 4 {
			all.Go(func() {
				for i := from; i <= names; i += 4 {
					got, err := s.tryGet(fmt.Sprint("/", i))
					whole := got.status == 200 && len(got.body) == size
					if err != nil || !whole && got.status != 503 {
						t.Errorf("/%d: status %d, %d bytes, %v", i, got.status, len(got.body), err)
						return
					}
				}
			})
		}
		all.Wait()
		if n := killed(); n != "0" {
			t.Errorf("%s processes were killed", n)
		}
		if said := s.stderr.String(); !strings.Contains(said, "cache 16 MiB of 64") {
			t.Errorf("it does not say what its cache may take:\n%s", said)
		}
	})
}
