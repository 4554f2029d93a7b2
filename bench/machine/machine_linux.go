package machine

import (
	"bufio"
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
		f.Hypervisor = orDefault(strings.TrimSpace(line("/sys/class/dmi/id/sys_vendor")+" "+
			""+line("/sys/class/dmi/id/product_name")), "yes")
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
	for _, name := range []string{"net.core.somaxconn", "net.ipv4.ip_local_port_range",
		"net.ipv4.tcp_congestion_control", "net.ipv4.tcp_tw_reuse",
		"net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem", "net.ipv4.tcp_max_syn_backlog"} {
		if value := line("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); value != "" {
			f.Limits[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	if value := line("/sys/kernel/mm/transparent_hugepage/enabled"); value != "" {
		f.Limits["transparent_hugepage"] = value
	}
	if value := line("/sys/devices/system/clocksource/clocksource0/current_clocksource"); value != "" {
		f.Limits["clocksource"] = value
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

func orDefault(s, standard string) string {
	if s == "" {
		return standard
	}
	return s
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
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(last); err != nil {
				continue
			}
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
		yielded, err := strconv.ParseInt(status["voluntary_ctxt_switches"], 10, 64)
		if err != nil {
			continue // the thread has ended
		}
		forced, err := strconv.ParseInt(status["nonvoluntary_ctxt_switches"], 10, 64)
		if err != nil {
			continue
		}
		voluntary, involuntary = voluntary+yielded, involuntary+forced
	}
	return voluntary, involuntary, true
}

// Listeners are the processes that have a socket listening at addr, on any
// address of its port or that one, as far as this process may look.
func Listeners(addr netip.AddrPort) []int {
	sockets := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listening(table, addr, sockets)
	}
	return owners(sockets)
}

// UnixListeners are the processes that have a socket listening at that path, as far as this process may look.
func UnixListeners(path string) []int {
	const acceptsConnections = 1 << 16 // __SO_ACCEPTCON of net/unix/af_unix.c, in the column Flags
	sockets := make(map[string]bool)
	file, err := os.Open("/proc/net/unix")
	if err != nil {
		return nil
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text()) // Num RefCount Protocol Flags Type St Inode Path
		if len(words) != 8 || words[7] != path {
			continue
		}
		if flags, err := strconv.ParseUint(words[3], 16, 32); err == nil && flags&acceptsConnections != 0 {
			sockets["socket:["+words[6]+"]"] = true
		}
	}
	return owners(sockets)
}

// owners are the processes that have one of the sockets open, which are named as /proc/PID/fd names them.
func owners(sockets map[string]bool) []int {
	if len(sockets) == 0 {
		return nil
	}
	var pids []int
	folders, _ := filepath.Glob("/proc/[0-9]*/fd") // the pattern is well formed
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // another user's, or it has ended
		}
		for _, entry := range entries {
			if target, err := os.Readlink(filepath.Join(folder, entry.Name())); err == nil && sockets[target] {
				if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(folder))); err == nil {
					pids = append(pids, pid)
				}
				break
			}
		}
	}
	return pids
}

// listening adds the sockets of one table of proc(5) that listen at addr, as /proc/PID/fd names them.
func listening(table string, addr netip.AddrPort, sockets map[string]bool) {
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 10 || words[3] != "0A" { // TCP_LISTEN
			continue
		}
		local, err := parseHexAddr(words[1])
		if err == nil && local.Port() == addr.Port() && (local.Addr().IsUnspecified() ||
			local.Addr().Unmap() == addr.Addr().Unmap()) {
			sockets["socket:["+words[9]+"]"] = true
		}
	}
}

// parseHexAddr reads an address of /proc/net/tcp: words of 32 bits in this
// machine's order, in hexadecimal, and the port.
func parseHexAddr(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if littleEndian {
		for i := 0; i+4 <= len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
	}
	addr, ok := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("machine: %q is no address", text)
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

var littleEndian = func() bool {
	var one [2]byte
	binary.NativeEndian.PutUint16(one[:], 1)
	return one[0] == 1
}()

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
