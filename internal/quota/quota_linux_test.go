package quota

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestGroupMemory(t *testing.T) {
	const v1 = "12:pids:/\n5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n"
	for _, c := range []struct {
		name   string
		groups string
		files  map[string]string
		want   uint64
	}{
		{"none", v1, nil, 0},
		{"version 1", v1, map[string]string{"memory/docker/abc/memory.limit_in_bytes": "268435456\n"}, 256 << 20},
		{"version 1, in a container", v1, map[string]string{"memory/memory.limit_in_bytes": "268435456\n"}, 256 << 20},
		{"version 1, a parent's", v1, map[string]string{
			"memory/docker/abc/memory.limit_in_bytes": "9223372036854771712\n",
			"memory/docker/memory.limit_in_bytes":     "1000\n"}, 1000},
		{"version 2", "0::/pod/c\n", map[string]string{"pod/c/memory.max": "4096\n", "pod/memory.max": "8192\n"}, 4096},
		{"version 2, a parent's", "0::/pod/c\n", map[string]string{"pod/c/memory.max": "max\n",
			"pod/memory.max": "8192\n"}, 8192},
		{"version 2, none", "0::/pod/c\n", map[string]string{"pod/c/memory.max": "max\n"}, 0},
		{"no text", "what\n", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			mounts := t.TempDir()
			for name, text := range c.files {
				name = filepath.Join(mounts, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := memoryOf(mounts, c.groups); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

// The machine's memory bounds whatever the groups say: version 1 has a number for no limit.
func TestMemory(t *testing.T) {
	if limit, most := Memory(), machine(); limit == 0 || limit > most {
		t.Errorf("limit %d of a machine with %d", limit, most)
	}
}

// TestTasks: the smallest pids.max on the way up holds, in either version of control groups.
func TestTasks(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string // beneath the mounts
		groups string
		want   uint64
		free   uint64
		ok     bool
	}{
		{"no groups", nil, "", 0, math.MaxUint64, false},
		{"no such file", nil, "0::/\n", 0, math.MaxUint64, false},
		{"a container's own root", map[string]string{"pids.max": "100", "pids.current": "7"}, "0::/\n", 100, 93, true},
		{"a unit", map[string]string{"system.slice/evhttpd.service/pids.max": "4915"},
			"0::/system.slice/evhttpd.service\n", 4915, 4915, true},
		{"no bound", map[string]string{"a/pids.max": "max"}, "0::/a\n", 0, math.MaxUint64, false},
		{"a parent's is smaller", map[string]string{"a/b/pids.max": "50", "a/pids.max": "20", "pids.max": "max"},
			"0::/a/b\n", 20, 20, true},
		{"a parent has fewer to give", map[string]string{"a/b/pids.max": "20", "a/b/pids.current": "3",
			"a/pids.max": "50", "a/pids.current": "45"}, "0::/a/b\n", 20, 5, true},
		{"more than there may be", map[string]string{"a/pids.max": "20", "a/pids.current": "30"}, "0::/a\n", 20, 0,
			true},
		{"version 1", map[string]string{"pids/a/pids.max": "30", "cpu/a/pids.max": "1"},
			"9:cpu,cpuacct:/a\n8:pids:/a\n1:name=systemd:/a\n", 30, 30, true},
		{"version 1, controllers together", map[string]string{"pids/a/pids.max": "30"}, "8:cpu,pids:/a\n0::/\n", 30, 30,
			true},
		{"lines of no such form", map[string]string{"pids.max": "5"}, "nonsense\n", 0, math.MaxUint64, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			mounts := t.TempDir()
			for name, text := range c.files {
				file := filepath.Join(mounts, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, free, ok := tasksOf(mounts, c.groups); got != c.want || free != c.free || ok != c.ok {
				t.Errorf("got %d, %d free, %v, want %d, %d, %v", got, free, ok, c.want, c.free, c.ok)
			}
		})
	}
}
