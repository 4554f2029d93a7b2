package memory

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is the memory of the machine (sysinfo(2)); 0: it cannot be told.
func machine() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// group is the limit of the control groups that the process is in; 0: there is none.
func group() uint64 {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	return groupLimit("/sys/fs/cgroup", string(text))
}

// groupLimit is the least limit of the groups that a process is in and of those around them, given
// /proc/self/cgroup's text and where the hierarchies are mounted (cgroups(7)). In a container the path that
// the text has may be the host's, and the container's own group is the mount itself, which is looked at last.
func groupLimit(mounts, groups string) (least uint64) {
	for line := range strings.Lines(groups) {
		// ID:CONTROLLERS:PATH; version 2 has no controllers in between.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, name := mounts, "memory.max"
		switch {
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			mount, name = filepath.Join(mounts, "memory"), "memory.limit_in_bytes"
		case fields[1] != "":
			continue
		}
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			if n := number(filepath.Join(mount, group, name)); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}

// number is what a group's file says; 0 if that is no number ("max"), or there is no such file.
func number(file string) uint64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
