package iomodel

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	rlimitSigpending = 11      // RLIMIT_SIGPENDING of <asm-generic/resource.h>
	pidMost          = 1 << 22 // PID_MAX_LIMIT of a 64-bit kernel (proc_sys_kernel(5))
	queueMost        = 65535   // for a listener's queue: plenty, and once the field's width
)

// descriptorCeiling is how far RLIMIT_NOFILE can be raised from now, and the
// command before that if fs.nr_open has to be raised first.
func descriptorCeiling(now uint64) (before string, more uint64) {
	most, ok := kernelSetting("fs.nr_open")
	switch {
	case !ok || most > now:
		return "", max(most, 1<<20)
	default:
		return fmt.Sprintf("sysctl -w fs.nr_open=%d && ", 2*now), 2 * now
	}
}

// queueLimits is what caps a listener's queue (listen(2)).
func queueLimits() []Limit {
	return setting("net.core.somaxconn", queueMost, "connections that wait to be accepted, a listening socket; "+
		"it caps backlog, 4096 by default. Clients beyond try again a second later")
}

// epollLimits is what one user may register with epoll (epoll(7)).
func epollLimits() []Limit {
	return setting("fs.epoll.max_user_watches", 0, "descriptors registered with epoll by one user's processes; "+
		"beyond, a connection is closed at once")
}

// selectLimits is none: the sets are as long as they have to be.
func selectLimits() []Limit { return nil }

// sigioLimits is the length of the queue of real-time signals (getrlimit(2)).
func sigioLimits() []Limit {
	now, err := resourceLimit(rlimitSigpending)
	if err != nil {
		return nil
	}
	l := Limit{
		Name:  "RLIMIT_SIGPENDING",
		Value: now,
		Bounds: "signals queued for all processes of this user; beyond, SIGIO stands for all that found no room, " +
			"and every descriptor is asked about once: slow, nothing is lost",
	}
	if now != Unlimited {
		l.Lift = rlimitLifts("ulimit -i", "LimitSIGPENDING=", "sigpending", 4*now)
	}
	return []Limit{l}
}

// ringLimits is the memory that a user may have locked (getrlimit(2)).
func ringLimits() []Limit {
	now, err := resourceLimit(unix.RLIMIT_MEMLOCK)
	if err != nil {
		return nil
	}
	l := Limit{
		Name:  "RLIMIT_MEMLOCK",
		Value: now,
		Bounds: "locked memory, in bytes, of all processes of this user that lack CAP_IPC_LOCK. " +
			"A loop's ring takes 200 KiB of it, or 36 or 12 if all loops and those of an upgrade would not fit " +
			"otherwise",
	}
	if now != Unlimited {
		l.Lift = []Lift{
			{inShell, fmt.Sprintf("ulimit -l %d", 4*now/1024)},
			{inUnit, fmt.Sprintf("LimitMEMLOCK=%d", 4*now)},
			{inDocker, fmt.Sprintf("docker run --ulimit memlock=%d", 4*now)},
		}
	}
	return []Limit{l}
}

// threadLimits are all that bound the threads of this process.
func threadLimits() []Limit {
	limits := setting("kernel.threads-max", 0, "threads of the whole machine")
	limits = append(limits, setting("kernel.pid_max", pidMost, "processes and threads of the whole machine")...)
	if now, err := resourceLimit(unix.RLIMIT_NPROC); err == nil && now != Unlimited && unix.Geteuid() != 0 {
		limits = append(limits, Limit{
			Name: "RLIMIT_NPROC", Value: now, Bounds: "threads of all processes of this user",
			Lift: rlimitLifts("ulimit -u", "LimitNPROC=", "nproc", 4*now),
		})
	}
	if text, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		if now, _, ok := cgroupTasks("/sys/fs/cgroup", string(text)); ok {
			limits = append(limits, Limit{
				Name: "pids.max", Value: now, Bounds: "threads of the process's control group",
				Lift: []Lift{
					{inUnit, fmt.Sprintf("TasksMax=%d", 4*now)},
					{inDocker, fmt.Sprintf("docker run --pids-limit %d", 4*now)},
				},
			})
		}
	}
	return limits
}

// tasksAllowed is how many threads this process may have as things stand, and the limit that says so.
// Go ends the program when it is refused a thread (runtime: failed to create new OS thread).
func tasksAllowed() (most uint64, by Limit) {
	most = Unlimited
	own, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return most, by
	}
	for _, l := range threadLimits() {
		free := l.Value
		switch l.Name {
		case "pids.max":
			if text, err := os.ReadFile("/proc/self/cgroup"); err == nil {
				_, free, _ = cgroupTasks("/sys/fs/cgroup", string(text))
			}
		case "RLIMIT_NPROC":
			free -= min(free, userTasks(unix.Getuid()))
		default: // of the whole machine
			free -= min(free, allTasks())
		}
		if here := free + uint64(len(own)); here < most {
			most, by = here, l
		}
	}
	return most, by
}

// allTasks is how many processes and threads the machine has (proc_loadavg(5)).
func allTasks() uint64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var load [3]float64
	var runnable, all uint64
	if _, err := fmt.Sscanf(string(text), "%f %f %f %d/%d", &load[0], &load[1], &load[2], &runnable, &all); err != nil {
		return 0
	}
	return all
}

// userTasks is how many threads the processes of a user have that can be seen (proc_pid_status(5)).
func userTasks(uid int) (n uint64) {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		mine, threads := false, uint64(0)
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			switch {
			case len(fields) < 2:
			case fields[0] == "Uid:":
				mine = fields[1] == strconv.Itoa(uid)
			case fields[0] == "Threads:":
				threads, _ = strconv.ParseUint(fields[1], 10, 64)
			}
		}
		if mine {
			n += threads
		}
	}
	return n
}

// cgroupTasks is the smallest pids.max of the groups that a process is in, and how many more tasks they all
// allow, given /proc/self/cgroup's text and where the hierarchies are mounted (cgroups(7)).
func cgroupTasks(mounts, groups string) (least, free uint64, ok bool) {
	free = Unlimited
	for line := range strings.Lines(groups) {
		// ID:CONTROLLERS:PATH; version 2 has no controllers in between.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount := mounts
		switch {
		case slices.Contains(strings.Split(fields[1], ","), "pids"):
			mount = filepath.Join(mounts, "pids")
		case fields[1] != "":
			continue
		}
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			if n, set := number(filepath.Join(mount, group, "pids.max")); set {
				if !ok || n < least {
					least, ok = n, true
				}
				now, _ := number(filepath.Join(mount, group, "pids.current"))
				free = min(free, n-min(n, now))
			}
			if group == "/" {
				break
			}
		}
	}
	return least, free, ok
}

// rlimitLifts are the ways to raise a resource limit.
func rlimitLifts(ulimit, unit, docker string, to uint64) []Lift {
	return []Lift{
		{inShell, fmt.Sprintf("%s %d", ulimit, to)},
		{inUnit, fmt.Sprintf("%s%d", unit, to)},
		{inDocker, fmt.Sprintf("docker run --ulimit %s=%d", docker, to)},
	}
}

// setting is the limit of that kernel setting, none if the kernel has none.
// more is what to raise it to; 0, or if it is that already, four times as much.
func setting(name string, more uint64, bounds string) []Limit {
	now, ok := kernelSetting(name)
	if !ok {
		return nil
	}
	if now >= more {
		more = 4 * now
	}
	lift := []Lift{{inShell, fmt.Sprintf("sysctl -w %s=%d", name, more)}}
	return []Limit{{Name: name, Value: now, Bounds: bounds, Lift: lift}}
}

// kernelSetting reads a setting as sysctl(8) names it.
func kernelSetting(name string) (uint64, bool) {
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
