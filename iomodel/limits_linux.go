package iomodel

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/quota"
)

const (
	pidMost   = 1 << 22 // PID_MAX_LIMIT of a 64-bit kernel (proc_sys_kernel(5))
	queueMost = 65535   // for a listener's queue: plenty, and once the field's width
)

// descriptorCeiling is how far RLIMIT_NOFILE can be raised from now, and the
// command before that if fs.nr_open has to be raised first.
func descriptorCeiling(now uint64) (before string, more uint64) {
	most, ok := quota.Setting("fs.nr_open")
	if !ok || most > now {
		return "", max(most, 1<<20)
	}
	return fmt.Sprintf("sysctl -w fs.nr_open=%d && ", 2*now), 2 * now
}

// queueLimits is what caps a listener's queue (listen(2)).
func queueLimits() []Limit {
	return setting("net.core.somaxconn", queueMost, "connections that wait to be accepted, a listening socket; "+
		"it caps backlog, 4096 by default. Clients beyond try again a second later")
}

// threadLimits are all that bound the threads of this process, with how many more each allows.
func threadLimits() []Limit {
	limits := append(setting("kernel.threads-max", 0, "threads of the whole machine"),
		setting("kernel.pid_max", pidMost, "processes and threads of the whole machine")...)
	for i, all := 0, allTasks(); i < len(limits); i++ {
		limits[i].free = limits[i].Value - min(limits[i].Value, all)
	}
	if unix.Geteuid() != 0 {
		for _, l := range rlimit(unix.RLIMIT_NPROC, "NPROC", "ulimit -u", 1, "threads of all processes of this user") {
			l.free = l.Value - min(l.Value, userTasks(unix.Getuid()))
			limits = append(limits, l)
		}
	}
	if now, free, ok := quota.Tasks(); ok {
		limits = append(limits, Limit{
			Name: "pids.max", Value: now, Bounds: "threads of the process's control group", free: free,
			Lift: []Lift{
				{inUnit, fmt.Sprintf("TasksMax=%d", 4*now)},
				{inDocker, fmt.Sprintf("docker run --pids-limit %d", 4*now)},
			},
		})
	}
	return limits
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
