package iomodel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCgroupTasks: the smallest pids.max on the way up holds, in either version of control groups.
func TestCgroupTasks(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string // beneath the mounts
		groups string
		want   uint64
		free   uint64
		ok     bool
	}{
		{"no groups", nil, "", 0, Unlimited, false},
		{"no such file", nil, "0::/\n", 0, Unlimited, false},
		{"a container's own root", map[string]string{"pids.max": "100", "pids.current": "7"}, "0::/\n", 100, 93, true},
		{"a unit", map[string]string{"system.slice/evhttpd.service/pids.max": "4915"},
			"0::/system.slice/evhttpd.service\n", 4915, 4915, true},
		{"no bound", map[string]string{"a/pids.max": "max"}, "0::/a\n", 0, Unlimited, false},
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
		{"lines of no such form", map[string]string{"pids.max": "5"}, "nonsense\n", 0, Unlimited, false},
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
			if got, free, ok := cgroupTasks(mounts, c.groups); got != c.want || free != c.free || ok != c.ok {
				t.Errorf("got %d, %d free, %v, want %d, %d, %v", got, free, ok, c.want, c.free, c.ok)
			}
		})
	}
}

// TestOwnLimits: each model's own limits on Linux, which has them all.
func TestOwnLimits(t *testing.T) {
	for name, want := range map[string]string{
		"epoll": "fs.epoll.max_user_watches", "goroutine": "fs.epoll.max_user_watches",
		"netpoll": "fs.epoll.max_user_watches",
		"sigio":   "RLIMIT_SIGPENDING", "blocking": "--threads", "io_uring": "RLIMIT_MEMLOCK",
		"select": "", "poll": "", "spin": "",
	} {
		t.Run(name, func(t *testing.T) {
			m := models[slices.IndexFunc(models, func(m Model) bool { return m.Name == name })]
			var names []string
			for _, l := range m.Limits() {
				names = append(names, l.Name)
			}
			if len(names) < 2 || names[0] != "RLIMIT_NOFILE" || names[1] != "net.core.somaxconn" {
				t.Fatalf("%v: those of every model come first", names)
			}
			if own := names[2:]; want == "" && len(own) > 0 || want != "" && !slices.Contains(own, want) {
				t.Errorf("its own are %v, want %q", own, want)
			}
		})
	}
}

// TestSettingLift: the command names the setting and raises it.
func TestSettingLift(t *testing.T) {
	for _, more := range []uint64{0, 1, 1 << 40} {
		limits := setting("net.core.somaxconn", more, "x")
		if len(limits) != 1 || len(limits[0].Lift) != 1 {
			t.Fatalf("got %+v", limits)
		}
		text, found := strings.CutPrefix(limits[0].Lift[0].Do, "sysctl -w net.core.somaxconn=")
		to, ok := number(file(t, text))
		if !found || !ok || to <= limits[0].Value || more > limits[0].Value && to != more {
			t.Errorf("%q for %d", limits[0].Lift[0].Do, limits[0].Value)
		}
	}
	if got := setting("net.core.no_such_setting", 1, "x"); got != nil {
		t.Errorf("got %+v for a setting that is not there", got)
	}
}

// file is one that holds text.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
