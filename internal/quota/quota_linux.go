package quota

import (
	"iter"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mounts is where the hierarchies of control groups are mounted (cgroups(7)).
const mounts = "/sys/fs/cgroup"

// machine is the memory of the machine (sysinfo(2)); 0: it cannot be told.
func machine() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// groupMemory is the limit of the control groups that the process is in; 0: there is none.
func groupMemory() uint64 { return memoryOf(mounts, ownGroups()) }

func memoryOf(mounts, groups string) (least uint64) {
	for folder := range foldersOf(mounts, groups, "memory") {
		for _, name := range [...]string{"memory.max", "memory.limit_in_bytes"} { // of version 2, of version 1
			if n, ok := number(filepath.Join(folder, name)); ok && n > 0 && (least == 0 || n < least) {
				least = n
			}
		}
	}
	return least
}

// Tasks is the smallest number of processes and threads that a control group of this process allows, and how many more
// all of them do; false: none bounds them.
func Tasks() (most, free uint64, ok bool) { return tasksOf(mounts, ownGroups()) }

func tasksOf(mounts, groups string) (most, free uint64, ok bool) {
	free = math.MaxUint64
	for folder := range foldersOf(mounts, groups, "pids") {
		if n, set := number(filepath.Join(folder, "pids.max")); set {
			now, _ := number(filepath.Join(folder, "pids.current"))
			if !ok || n < most {
				most = n
			}
			free, ok = min(free, n-min(n, now)), true
		}
	}
	return most, free, ok
}

// ownGroups names the control groups that this process is in.
func ownGroups() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return string(text)
}

// foldersOf lists the folders of the groups that a process is in, and of those around them, which a controller bounds,
// given /proc/self/cgroup's text. In a container the path that the text has may be the host's, and the container's own
// group is the mount itself, which comes last.
func foldersOf(mounts, groups, controller string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(groups) {
			// ID:CONTROLLERS:PATH; version 2 has no controllers in between.
			fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(fields) != 3 {
				continue
			}
			mount := mounts
			if slices.Contains(strings.Split(fields[1], ","), controller) {
				mount = filepath.Join(mounts, controller)
			} else if fields[1] != "" {
				continue
			}
			for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
				if !yield(filepath.Join(mount, group)) {
					return
				}
				if group == "/" {
					break
				}
			}
		}
	}
}

// Setting reads a setting of the kernel that is a number, as sysctl(8) names it; false: there is none.
func Setting(name string) (uint64, bool) {
	return number("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
}

// number reads a file that holds one; false if there is no such file, or another text ("max").
func number(file string) (uint64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}
