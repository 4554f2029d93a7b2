package attacks

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

const (
	// timeEnv is how long the whole form takes: make attacks ATTACK_TIME=1h.
	timeEnv = "ATTACK_TIME"
	// Each kind alone takes aloneMax at most, all of them a third of the time, and a third of that is quiet.
	aloneMax = 6 * time.Second
	// Together they attack for roundTime, then it is quiet for quietTime, and so on.
	roundTime = 50 * time.Second
	quietTime = 10 * time.Second
	// nicer is how much less the attackers' threads weigh than the server's and the well-behaved client's: on a
	// real network they are other machines.
	nicer = 5

	// Each measurement has quiet of its own time to be compared with, since the machine may have other work later.
	quiet      = "quiet"
	together   = "all together"
	quietLater = "quiet between"
)

// TestWhole attacks for as long as the variable says, in a group of 256 MiB, and shows what others got meanwhile.
func TestWhole(t *testing.T) {
	if os.Getenv(timeEnv) == "" {
		testkit.Skip(t, timeEnv)
	}
	length, err := time.ParseDuration(os.Getenv(timeEnv))
	must(t, err)
	s := startConfined(t)
	must(t, s.warm())
	open, err := s.openDescriptors()
	must(t, err)
	v := s.visitedFromOutside(t)
	must(t, niceThreads(nicer))
	most := s.watch(t)
	began := time.Now()
	each := min(aloneMax, length/time.Duration(3*len(kinds)))
	for i, k := range kinds {
		v.mark(t, quiet)
		time.Sleep(each / 3)
		v.mark(t, k.name)
		s.during(t, each*2/3, i)
		v.mark(t, "between")
	}
	alone := time.Since(began)
	for round := 0; time.Since(began) < length; round++ {
		v.mark(t, quietLater)
		time.Sleep(quietTime)
		v.mark(t, together)
		s.during(t, roundTime, every()...)
		v.mark(t, "between")
		t.Logf("%v: round %d, %s", time.Since(began).Round(time.Second), round, s.holding())
	}
	r, m := v.end(t), most()
	s.settled(t, open)
	if len(r.Wrong) > 0 {
		t.Errorf("the well-behaved client: %q", r.Wrong)
	}
	if err := m.check(); err != nil {
		t.Error(err)
	}
	t.Logf("each alone for %v, then together until %v\n%s", alone.Round(time.Second),
		time.Since(began).Round(time.Second), r.table())
	t.Logf("%v; %d requests were asked again, since their idle connection was closed", m, r.Retried)
	if values, err := s.metrics(); err == nil {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if strings.HasPrefix(name, "evhttpd_") && strings.Contains(name, "_total") && values[name] > 0 {
				t.Logf("%s %.0f", name, values[name])
			}
		}
	}
}

// during attacks for that long; it ends early when the server has ended.
func (s *server) during(t *testing.T, d time.Duration, numbers ...int) {
	t.Helper()
	wave := s.attack(memoryScale, numbers...)
	select {
	case <-time.After(d):
	case <-s.exited:
		t.Fatalf("the server has ended: %v\n%s", s.cmd.ProcessState, s.stderr.String())
	}
	if err := wave.stop(); err != nil {
		t.Error(err)
	}
}

// warm waits until what the well-behaved client asks for is old enough to be cached.
func (s *server) warm() error {
	time.Sleep(3 * time.Second)
	_, err := s.metrics()
	return err
}

// holding says what the server holds at the moment.
func (s *server) holding() string {
	values, err := s.metrics()
	if err != nil {
		return err.Error()
	}
	anonymous, err := s.status("RssAnon")
	if err != nil {
		return err.Error()
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d MiB, cache %.0f MiB, heap %.0f MiB, %.0f goroutines, %.0f s of CPU, the attackers %d s",
		anonymous>>20, values["evhttpd_cache_bytes"]/(1<<20), values["go_memstats_heap_inuse_bytes"]/(1<<20),
		values["go_goroutines"], values["process_cpu_seconds_total"], own.Utime.Sec+own.Stime.Sec)
}

// outside is the well-behaved client in a process of its own.
type outside struct {
	cmd   *exec.Cmd
	marks io.WriteCloser
	said  io.ReadCloser
}

func (s *server) visitedFromOutside(t *testing.T) *outside {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	o := &outside{cmd: testkit.Command(self)}
	o.cmd.Env = append(os.Environ(), probeEnv+"="+s.addr)
	o.cmd.Stderr = os.Stderr
	o.marks, err = o.cmd.StdinPipe()
	must(t, err)
	o.said, err = o.cmd.StdoutPipe()
	must(t, err)
	must(t, o.cmd.Start())
	return o
}

func (o *outside) mark(t *testing.T, label string) {
	t.Helper()
	_, err := fmt.Fprintln(o.marks, label)
	must(t, err)
}

func (o *outside) end(t *testing.T) (r report) {
	t.Helper()
	must(t, o.marks.Close())
	must(t, json.NewDecoder(o.said).Decode(&r))
	must(t, o.cmd.Wait())
	return r
}

// table shows for each kind the 99th percentile of each request, and how many times that of quiet it is.
func (r report) table() string {
	var b strings.Builder
	b.WriteString("| attack | what it does |")
	for _, q := range requests {
		fmt.Fprintf(&b, " %s, p99 |", q.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(requests)) + "\n")
	row := func(name, does, quiet string) {
		fmt.Fprintf(&b, "| %s | %s |", name, does)
		for _, q := range requests {
			f, base := r.Took[name][q.name], r.Took[quiet][q.name]
			fmt.Fprintf(&b, " %.1f ms", f.P99.Seconds()*1000)
			if name != quiet && base.P99 > 0 {
				fmt.Fprintf(&b, " (%.1f)", f.P99.Seconds()/base.P99.Seconds())
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	row(quiet, "nobody attacks", quiet)
	for _, k := range kinds {
		row(k.name, k.does, quiet)
	}
	row(quietLater, "nobody attacks", quietLater)
	row(together, fmt.Sprintf("%d kinds", len(kinds)), quietLater)
	return b.String()
}

// niceThreads makes the threads of this process weigh less; those that come later are made by these.
func niceThreads(more int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(filepath.Base(task.Name()))
		if err != nil {
			return err
		}
		// The call returns 20 less the niceness (getpriority(2)).
		now, err := syscall.Getpriority(syscall.PRIO_PROCESS, id)
		if err == nil {
			err = syscall.Setpriority(syscall.PRIO_PROCESS, id, min(20-now+more, 19))
		}
		if err != nil && err != syscall.ESRCH {
			return err
		}
	}
	return nil
}
