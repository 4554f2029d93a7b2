package memory

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGroupLimit(t *testing.T) {
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
			if got := groupLimit(mounts, c.groups); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

// The machine's memory bounds whatever the groups say: version 1 has a number for no limit.
func TestLimit(t *testing.T) {
	if limit, most := Limit(), machine(); limit == 0 || limit > most {
		t.Errorf("limit %d of a machine with %d", limit, most)
	}
}
