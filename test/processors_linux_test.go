package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// eachThread calls f for every thread of the server.
func (s *server) eachThread(t *testing.T, f func(thread int) error) {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.cmd.Process.Pid))
	must(t, err)
	for _, name := range names {
		thread, err := strconv.Atoi(filepath.Base(name))
		must(t, err)
		if err := f(thread); err != nil && err != unix.ESRCH { // it has ended
			t.Fatal(err)
		}
	}
}

// TestProcessorsChange: while the CPUs that the server may use become one, and all again, and it reloads at each,
// every answer is right.
func TestProcessorsChange(t *testing.T) {
	root, files := site(t)
	eachVariant(t, func(t *testing.T, v variant) {
		var all, one unix.CPUSet
		must(t, unix.SchedGetaffinity(0, &all))
		if all.Count() < 2 {
			testkit.Skip(t, "two CPUs")
		}
		for cpu := 0; one.Count() == 0; cpu++ {
			if all.IsSet(cpu) {
				one.Set(cpu)
			}
		}
		config := func(name string) string {
			return yamlOf(root, "io_model: "+v.Model, "trigger: "+v.Trigger, "threads: 16", "server_header: "+name)
		}
		o := operate(t, config("before"))
		load := crowdOf(o.addr, files, 4)
		for i, cpus := range []unix.CPUSet{one, all} {
			o.eachThread(t, func(thread int) error { return unix.SchedSetaffinity(thread, &cpus) })
			load.more(t, 20)
			name := fmt.Sprint("after", i)
			o.reload(config(name)) // loops: auto are as many as there are CPUs now
			load.more(t, 20)
			if got := o.get(t, "/small").header.Get("Server"); got != name {
				t.Errorf("the server calls itself %q, want %q", got, name)
			}
		}
		load.end(t)
	})
}

// quotaGroup makes a control group, of version 1 or 2. change sets how many microseconds of CPU time its processes have
// in each 100 ms; negative: without a bound.
func quotaGroup(t *testing.T) (group string, change func(micros int)) {
	t.Helper()
	group, file := controlGroup(t, "cpu", "cpu.cfs_quota_us", "cpu.max")
	return group, func(micros int) {
		value := fmt.Sprint(micros)
		if file == "cpu.max" {
			value = fmt.Sprintf("%d 100000", micros)
			if micros < 0 {
				value = "max 100000"
			}
		}
		must(t, os.WriteFile(filepath.Join(group, file), []byte(value), 0))
	}
}

// controlGroup makes a control group that has a file of a controller, which is named so in version 1 or in version 2.
func controlGroup(t *testing.T, controller, first, second string) (group, file string) {
	t.Helper()
	testkit.Root(t)
	mount, file := "/sys/fs/cgroup/"+controller, first
	if _, err := os.Stat(mount); err != nil {
		mount, file = "/sys/fs/cgroup", second
	}
	group, err := os.MkdirTemp(mount, "evhttpd-test-")
	if err == nil {
		t.Cleanup(func() { eventually(t, func() error { return os.Remove(group) }) })
		_, err = os.Stat(filepath.Join(group, file))
	}
	if err != nil {
		t.Log(err)
		testkit.Skip(t, "a control group with "+file)
	}
	return group, file
}

// TestQuotaChanges: the same for a quota of CPU time (cpu.cfs_quota_us, cpu.max).
func TestQuotaChanges(t *testing.T) {
	t.Parallel()
	group, change := quotaGroup(t)
	root, files := site(t)
	change(150_000)
	s := launch(t, testkit.Command(tool(t, "sh"), "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group, binary,
		"serve", root, "--listen", "127.0.0.1:0", "--access-log", "off"))
	t.Cleanup(func() { s.stop(t) })
	load := crowdOf(s.addr, files, 4)
	for _, micros := range []int{20_000, 150_000, -1} {
		change(micros)
		load.more(t, 30)
	}
	load.end(t)
}
