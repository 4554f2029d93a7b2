package lab

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/text"
)

// kernelMemory names what of /proc/meminfo the kernel needs for sockets, files, threads and address spaces.
var kernelMemory = []string{"Slab", "KernelStack", "PageTables"}

// memoryNamed adds up what of /proc/meminfo has one of the names, in bytes.
func memoryNamed(meminfo string, names ...string) (sum int64) {
	for text := range strings.Lines(meminfo) {
		if name, value, _ := strings.Cut(text, ":"); slices.Contains(names, name) {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) // it has this form
			sum += kib << 10
		}
	}
	return sum
}

// slabCaches reads /proc/slabinfo (slabinfo(5)): bytes of objects in use by cache.
func slabCaches(slabinfo string) map[string]int64 {
	caches := make(map[string]int64)
	for text := range strings.Lines(slabinfo) {
		words := strings.Fields(text)
		if len(words) < 4 {
			continue
		}
		active, err := strconv.ParseInt(words[1], 10, 64)
		size, err2 := strconv.ParseInt(words[3], 10, 64)
		if err == nil && err2 == nil {
			caches[words[0]] = active * size
		}
	}
	return caches
}

// limit is something that bounds connections.
type limit struct {
	name  string
	value string
	most  float64 // connections
	means string
}

// limits are those of this machine, the lowest first.
func (r *idleRun) limits() []limit {
	each := r.slope(0, idleUser) + r.slope(0, idleKernel)
	all := []limit{{"RLIMIT_NOFILE", text.Thousands(r.s.Descriptors), float64(r.s.Descriptors) * 0.9,
		"descriptors of a process; the server keeps a tenth (LimitNOFILE=, ulimit -n)"}}
	add := func(file, means string) {
		if text, v, ok := firstNumber(file); ok {
			name := strings.ReplaceAll(strings.TrimPrefix(file, "/proc/sys/"), "/", ".")
			all = append(all, limit{name, text, v, means})
		}
	}
	add("/proc/sys/fs/nr_open", "the highest RLIMIT_NOFILE")
	add("/proc/sys/fs/file-max", "open files of the system")
	add("/proc/sys/fs/epoll/max_user_watches", "descriptors that a user's epolls watch")
	add("/proc/sys/net/netfilter/nf_conntrack_max", "connections that are tracked")
	add("/proc/sys/kernel/threads-max", "threads of the system: io_model blocking (and Go ends a program of "+
		"10,000)")
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		var low, high int
		if n, err := fmt.Sscan(string(text), &low, &high); n == 2 && err == nil {
			all = append(all, limit{"net.ipv4.ip_local_port_range", fmt.Sprintf("%d to %d", low, high),
				float64(high - low + 1),
				"ports of one client's address to one of the server's: a test's limit, not a server's; 127.0.0.2 and " +
					"so on have as many each"})
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil && each > 0 {
		if free := float64(memoryNamed(string(text), "MemAvailable")); free > 0 {
			all = append(all, limit{"memory", fmt.Sprintf("%.1f GB available", free/1e9), free / each,
				"user and kernel memory of the first model, without a byte in flight"})
		}
	}
	slices.SortStableFunc(all, func(a, b limit) int { return cmp.Compare(a.most, b.most) })
	return all
}

// firstNumber is the number that a file of the kernel's begins with.
func firstNumber(file string) (text string, v float64, ok bool) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", 0, false
	}
	words := strings.Fields(string(content))
	if len(words) == 0 {
		return "", 0, false
	}
	v, err = strconv.ParseFloat(words[0], 64)
	return words[0], v, err == nil
}

func limitsTable(limits []limit) experiment.Table {
	t := experiment.Table{Title: "limits of this machine, the first to be met first", Head: []string{"", "is",
		"connections", "what it bounds"}}
	for _, l := range limits {
		most := "no bound"
		if l.most < math.MaxInt32 {
			most = text.Thousands(int(l.most))
		}
		t.Rows = append(t.Rows, []string{l.name, l.value, most, l.means})
	}
	return t
}
