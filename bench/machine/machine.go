// Package machine knows the machine that a comparison runs on: its fingerprint, its CPUs
// and which process runs on which, its limits, and what a process has used.
//
// It imports golang.org/x/sys.
package machine

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Fingerprint is what figures depend on besides the program. What this machine does not tell is empty.
type Fingerprint struct {
	Hostname    string   `json:"hostname"`
	Platform    string   `json:"platform"` // GOOS/GOARCH
	Kernel      string   `json:"kernel"`   // its name, release and version
	CPU         string   `json:"cpu"`
	CPUs        []int    `json:"cpus"` // that this process may use
	Governor    string   `json:"governor"`
	Hypervisor  string   `json:"hypervisor"` // what it is a guest of, or that it is one
	Mitigations []string `json:"mitigations"`
	Memory      string   `json:"memory"`
	Load        string   `json:"load"` // load averages when the run began
	// ConnTrack is the state of connection tracking, which costs every packet.
	ConnTrack string            `json:"connection_tracking"`
	Limits    map[string]string `json:"limits"`
	Go        string            `json:"go"`
	Versions  map[string]string `json:"versions"` // of the programs that took part
}

// Describe takes the fingerprint.
func Describe() Fingerprint {
	f := Fingerprint{
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Go:       runtime.Version(),
		Limits:   map[string]string{},
		Versions: map[string]string{},
	}
	// A machine without a name has none in the report.
	f.Hostname, _ = os.Hostname()
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		f.Kernel = strings.Join([]string{text(name.Sysname[:]), text(name.Release[:]), text(name.Version[:])}, " ")
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		f.Limits["RLIMIT_NOFILE"] = fmt.Sprintf("%d (hard %d)", limit.Cur, limit.Max)
	}
	f.CPUs = AllowedCPUs()
	f.describe()
	return f
}

func text(field []byte) string { return unix.ByteSliceToString(field) }

// Short is one line of what matters most.
func (f *Fingerprint) Short() string {
	parts := []string{f.Kernel, fmt.Sprintf("%s, %d CPUs", cmp.Or(f.CPU, "unknown CPU"), len(f.CPUs))}
	if words := strings.Fields(f.Kernel); len(words) > 1 {
		parts[0] = words[0] + " " + words[1]
	}
	if f.Hypervisor != "" {
		parts = append(parts, "virtual machine")
	}
	return strings.Join(append(parts, f.Go), ", ")
}

// Line is one fact of a fingerprint.
type Line struct{ Name, Value string }

// Lines lists the facts that are known, for people.
func (f *Fingerprint) Lines() []Line {
	lines := []Line{
		{"Host", f.Hostname}, {"Platform", f.Platform}, {"Kernel", f.Kernel}, {"CPU", f.CPU},
		{"CPUs of this process", strings.Trim(fmt.Sprint(f.CPUs), "[]")}, {"Governor", f.Governor}, {"Virtualization",
			f.Hypervisor},
		{"Memory", f.Memory}, {"Load before", f.Load}, {"Connection tracking", f.ConnTrack}, {"Go", f.Go},
	}
	for _, of := range []map[string]string{f.Versions, f.Limits} {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			lines = append(lines, Line{name, of[name]})
		}
	}
	lines = append(lines, Line{"Mitigations", strings.Join(f.Mitigations, "; ")})
	return slices.DeleteFunc(lines, func(l Line) bool { return l.Value == "" })
}

// Differences names what two fingerprints do not have in common, of what figures depend on.
func (f *Fingerprint) Differences(o *Fingerprint) []string {
	var names []string
	mine, theirs := f.Lines(), o.Lines()
	for _, l := range mine {
		if l.Name == "Host" || l.Name == "Load before" {
			continue
		}
		i := slices.IndexFunc(theirs, func(t Line) bool { return t.Name == l.Name })
		if i < 0 || theirs[i].Value != l.Value {
			names = append(names, l.Name)
		}
	}
	return names
}

// RaiseDescriptors raises the soft limit of descriptors to the hard one, for this process and
// those that it starts, and returns it. Go does so for itself alone: what
// it starts gets the old limit back unless the program sets one (syscall.Setrlimit).
func RaiseDescriptors() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("machine: getrlimit RLIMIT_NOFILE: %w", err)
	}
	limit.Cur = limit.Max
	// macOS refuses more than kern.maxfilesperproc, whatever the hard limit says: what stands is asked for.
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("machine: getrlimit RLIMIT_NOFILE: %w", err)
	}
	return uint64(limit.Cur), nil
}

// Split shares the CPUs out: count for the server, and others for the client, as many
// if there are. The client gets the first, where interrupts usually are handled. Sibling threads
// of a core are on the same side if that leaves enough. ok is false when there are not
// enough to keep the two apart.
func Split(cpus []int, siblings func(cpu int) []int, count int) (server, client []int, ok bool) {
	if count < 1 || len(cpus) < count+1 {
		return nil, nil, false
	}
	server = slices.Clone(cpus[len(cpus)-count:])
	taken := slices.Clone(server)
	for _, cpu := range server {
		taken = append(taken, siblings(cpu)...)
	}
	free := func(taken []int) []int {
		return slices.DeleteFunc(slices.Clone(cpus), func(cpu int) bool { return slices.Contains(taken, cpu) })
	}
	if client = free(taken); len(client) == 0 {
		client = free(server)
	}
	return server, client[:min(count, len(client))], true
}

// Version asks a program for its version: the first line that it prints.
func Version(name string, args ...string) string {
	// wrk prints its usage with the version and fails.
	out, _ := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(line)
}

// OwnUsage is the CPU time of this process and of those of its children that it has waited for.
func OwnUsage() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err == nil {
			sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
	}
	return sum
}
