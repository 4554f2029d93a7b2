package machine

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// describe reads what Linux says in /proc and /sys.
func (f *Fingerprint) describe() {
	info := fields("/proc/cpuinfo")
	f.CPU = info["model name"]
	if len(f.CPUs) > 0 {
		f.Governor = line(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", f.CPUs[0]))
	}
	if slices.Contains(strings.Fields(info["flags"]), "hypervisor") {
		vendor, product := line("/sys/class/dmi/id/sys_vendor"), line("/sys/class/dmi/id/product_name")
		f.Hypervisor = cmp.Or(strings.TrimSpace(vendor+" "+product), "yes")
	}
	f.Memory = fields("/proc/meminfo")["MemTotal"]
	f.Load = line("/proc/loadavg")
	f.ConnTrack = connTrack()
	const folder = "/sys/devices/system/cpu/vulnerabilities"
	entries, _ := os.ReadDir(folder) // kernels before 4.15 have none
	for _, e := range entries {
		if state := line(filepath.Join(folder, e.Name())); state != "" && state != "Not affected" {
			f.Mitigations = append(f.Mitigations, e.Name()+": "+state)
		}
	}
	limits := map[string]string{"transparent_hugepage": "/sys/kernel/mm/transparent_hugepage/enabled",
		"clocksource": "/sys/devices/system/clocksource/clocksource0/current_clocksource"}
	for _, name := range []string{"net.core.somaxconn", "net.ipv4.ip_local_port_range",
		"net.ipv4.tcp_congestion_control", "net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem",
		"net.ipv4.tcp_max_syn_backlog"} {
		limits[name] = "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	}
	for name, file := range limits {
		if value := line(file); value != "" {
			f.Limits[name] = strings.Join(strings.Fields(value), " ")
		}
	}
}

// connTrack tells whether connections of this network namespace can be tracked.
func connTrack() string {
	count := line("/proc/sys/net/netfilter/nf_conntrack_count")
	if count == "" {
		return "off (nf_conntrack is not loaded)"
	}
	return fmt.Sprintf("loaded, %s of %s entries", count, line("/proc/sys/net/netfilter/nf_conntrack_max"))
}

// line is a small file's text; empty if it cannot be read.
func line(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// fields are the first "name: value" lines of each name.
func fields(name string) map[string]string {
	found := make(map[string]string)
	for text := range strings.Lines(line(name)) {
		if key, value, ok := strings.Cut(text, ":"); ok {
			key = strings.TrimSpace(key)
			if _, had := found[key]; !had {
				found[key] = strings.TrimSpace(value)
			}
		}
	}
	return found
}

// AllowedCPUs are those that this process may use; nil if that is not known.
func AllowedCPUs() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// Siblings are the hardware threads of a CPU's core, itself among them.
func Siblings(cpu int) []int {
	return parseList(line(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu)))
}

// parseList reads a list of CPUs: 0-3,8.
func parseList(text string) (cpus []int) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if errors.Join(err, err2) != nil {
			continue
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// PinThread has the calling thread, and what it starts, run on these CPUs alone.
func PinThread(cpus []int) error { return pin(0, cpus) }

// PinProcess does so for every thread of this process.
func PinProcess(cpus []int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("machine: %w", err)
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		if err := pin(id, cpus); err != nil && !errors.Is(err, unix.ESRCH) { // that one has ended
			return err
		}
	}
	return nil
}

func pin(thread int, cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(thread, &set); err != nil {
		return fmt.Errorf("machine: pinning to CPUs %v: sched_setaffinity: %w", cpus, err)
	}
	return nil
}

// CPUTime is what all threads of a process have used, those that have ended too, to the nanosecond.
// It reads the process's CPU clock (clock_getcpuclockid(3)), which needs no rights over the process.
func CPUTime(pid int) (time.Duration, bool) {
	const clockSched = 2 // CPUCLOCK_SCHED of linux/posix-timers_types.h
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|clockSched, &at); err != nil {
		return 0, false
	}
	return time.Duration(at.Nano()), true
}

// Resident is the memory of a process that is in RAM, in bytes (proc(5), statm:
// exact since Linux 6.2, before that to 64 pages a thread).
func Resident(pid int) (int64, bool) {
	words := strings.Fields(line(fmt.Sprintf("/proc/%d/statm", pid)))
	if len(words) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

// Switches is how often threads of a process have waited and were preempted: of
// those that are there now.
func Switches(pid int) (voluntary, involuntary int64, ok bool) {
	folder := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(folder)
	if err != nil {
		return 0, 0, false
	}
	for _, task := range tasks {
		status := fields(filepath.Join(folder, task.Name(), "status"))
		// Of a thread that has ended there is nothing to add.
		yielded, _ := strconv.ParseInt(status["voluntary_ctxt_switches"], 10, 64)
		forced, _ := strconv.ParseInt(status["nonvoluntary_ctxt_switches"], 10, 64)
		voluntary, involuntary = voluntary+yielded, involuntary+forced
	}
	return voluntary, involuntary, true
}

// Listeners are the processes that have a socket listening at addr, on any
// address of its port or that one, as far as this process may look.
func Listeners(addr netip.AddrPort) []int {
	const listening = "0A" // TCP_LISTEN
	return owners(9, func(words []string) bool {
		local, err := parseHexAddr(words[1])
		return words[3] == listening && err == nil && local.Port() == addr.Port() &&
			(local.Addr().IsUnspecified() || local.Addr().Unmap() == addr.Addr().Unmap())
	}, "/proc/net/tcp", "/proc/net/tcp6")
}

// UnixListeners are the processes that have a socket listening at that path, as far as this process may look.
func UnixListeners(path string) []int {
	const acceptsConnections = 1 << 16 // __SO_ACCEPTCON of net/unix/af_unix.c, in the column Flags
	// The columns are Num RefCount Protocol Flags Type St Inode Path.
	return owners(6, func(words []string) bool {
		flags, err := strconv.ParseUint(words[3], 16, 32)
		return len(words) == 8 && words[7] == path && err == nil && flags&acceptsConnections != 0
	}, "/proc/net/unix")
}

// owners are the processes that have one of the sockets open that listen, by the tables of proc(5) whose column inode
// numbers them.
func owners(inode int, listens func(words []string) bool, tables ...string) (pids []int) {
	sockets := make(map[string]bool) // as /proc/PID/fd names them
	for _, table := range tables {
		for text := range strings.Lines(line(table)) {
			if words := strings.Fields(text); len(words) > inode && listens(words) {
				sockets["socket:["+words[inode]+"]"] = true
			}
		}
	}
	if len(sockets) == 0 {
		return nil
	}
	folders, _ := filepath.Glob("/proc/[0-9]*/fd") // the pattern is well formed
	for _, folder := range folders {
		entries, _ := os.ReadDir(folder) // another user's, or it has ended
		if slices.ContainsFunc(entries, func(e os.DirEntry) bool {
			target, err := os.Readlink(filepath.Join(folder, e.Name()))
			return err == nil && sockets[target]
		}) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder))) // it begins with a digit
			pids = append(pids, pid)
		}
	}
	return pids
}

// parseHexAddr reads an address of /proc/net/tcp: words of 32 bits in this
// machine's order, in hexadecimal, and the port.
func parseHexAddr(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("machine: %q is no address", text)
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

// Usage is what all CPUs together have worked since the start, and what a hypervisor
// took from them meanwhile (proc(5), stat; in ticks of 10 ms).
func Usage() (busy, stolen time.Duration, ok bool) {
	first, _, _ := strings.Cut(line("/proc/stat"), "\n")
	words := strings.Fields(first)
	if len(words) < 9 || words[0] != "cpu" {
		return 0, 0, false
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform of Go's
	for i, word := range words[1:9] {
		n, err := strconv.ParseInt(word, 10, 64)
		switch {
		case err != nil:
			return 0, 0, false
		case i == 3 || i == 4: // idle, waiting for a disk
		case i == 7:
			stolen = time.Duration(n) * tick
		default:
			busy += time.Duration(n) * tick
		}
	}
	return busy, stolen, true
}
