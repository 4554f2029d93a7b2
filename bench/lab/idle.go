package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

const (
	idleWarmUp = 200 * time.Millisecond // from the last connection on
	idleRamp   = 30 * time.Second
	// settleEvery and settleMax are how often, and how long at most, it is looked whether the kernel has freed what
	// the measurement before took; settled is by how many bytes memory that is at rest still changes.
	settleEvery = 60 * time.Millisecond
	settleMax   = 3 * time.Second
	settled     = 256 << 10
	million     = 1_000_000
)

// idleShares are the points: parts of the most connections that a process can have here.
var idleShares = []float64{1.0 / 18, 1.0 / 3, 2.0 / 3, 1}

// Metrics of the idle grid.
const (
	idleUser   = "user"
	idleKernel = "kernel"
	idleCPU    = "cpu"
)

// idleRun is the experiment at work.
type idleRun struct {
	s     *session
	g     *experiment.Grid
	all   []server.Variant
	root  string
	cpus  experiment.CPUs
	slabs map[string]int64 // bytes that each of the kernel's caches grew by, of the first subject at the last point
}

// runIdle measures what silent connections take.
func runIdle(ctx context.Context, s *session) (result *experiment.Result, err error) {
	r := &idleRun{s: s}
	if r.all, err = s.variants(ctx); err != nil {
		return nil, err
	}
	err = s.serving(func(root string, cpus experiment.CPUs) error {
		r.root, r.cpus = root, cpus
		return r.measureAll(ctx)
	})
	if err != nil {
		return nil, err
	}
	s.Note("Each connection has made one request and is silent. User memory: what is resident of the server's "+
		"process. Kernel memory: what the system's slabs, kernel stacks and page tables grew by (/proc/meminfo), less "+
		"what the client's end takes: on loopback both ends are in it, and with %s they are alike, so that half of "+
		"its growth is the client's.", r.g.Subjects[0].Name)
	out := &experiment.Result{Grids: []*experiment.Grid{r.g}, Tables: []experiment.Table{r.slopes(), r.caches(),
		limitsTable(r.limits())}, Charts: []experiment.Chart{{File: "idle.svg", SVG: r.draw()}}}
	return out, nil
}

// idleMost is how many connections a server of the client's limit of descriptors has: 90 % of it, as its default has
// it.
func (s *session) idleMost() int { return min(s.Descriptors*9/10, s.Descriptors-128) }

func (r *idleRun) measureAll(ctx context.Context) error {
	r.g = &experiment.Grid{Name: "idle", Title: "idle connections", Axis: "connections", Metrics: []experiment.Metric{
		{Key: idleUser, Name: "MB of the server's own memory", Unit: "MB", Unpaired: true},
		{Key: idleKernel, Name: "MB of the kernel's, for the server's end", Unit: "MB", Unpaired: true},
		{Key: idleCPU, Name: "% of a CPU that the server uses", Unit: "%", Unpaired: true}}}
	for _, share := range idleShares {
		r.g.Points = append(r.g.Points, experiment.Counted(int(float64(r.s.idleMost())*share))...)
	}
	for _, v := range r.all {
		r.g.Subjects = append(r.g.Subjects, experiment.Subject{Name: v.Name})
	}
	both := make(map[[3]int]float64) // kernel memory of both ends, by round, subject and point
	err := r.s.each(ctx, func(round, _, subject, point int) (map[string]float64, error) {
		if !r.all[subject].Serves(int(r.g.Points[point].X)) {
			return nil, nil
		}
		values, err := r.measure(ctx, subject, point)
		both[[3]int{round, subject, point}] = values[idleKernel]
		return values, err
	}, r.g)
	for i := range r.g.Samples {
		smp := &r.g.Samples[i]
		smp.Values[idleKernel] -= both[[3]int{smp.Round - 1, 0, smp.Point}] / 2
	}
	return err
}

// measure opens the connections of one point and looks at what they take.
func (r *idleRun) measure(ctx context.Context, subject, point int) (values map[string]float64, err error) {
	v, count := &r.all[subject], int(r.g.Points[point].X)
	child, err := server.Start(ctx, server.Options{Binary: r.s.Binary, Args: v.Args(r.root, 1, count),
		CPUs: r.cpus.Server})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, child.Kill()) }() // there is nothing to end in order
	before, err := settledMemory(child.Pid())
	if err != nil {
		return nil, err
	}
	probe := server.WatchProcesses([]int{child.Pid()})
	var after memory
	var failed error
	result, err := load.Run(ctx, load.Options{
		Roles: []load.Role{{Name: "idle", Addr: load.TCP(child.Addr()), Connections: count, Idle: true,
			Targets: []load.Target{small}}},
		Duration: r.s.Duration, WarmUp: idleWarmUp, Ramp: idleRamp, CPUs: r.cpus.Client,
		OnBegin: probe.Begin, OnEnd: func() {
			probe.End()
			after, failed = readMemory(child.Pid())
		}})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	if role := &result.Roles[0]; role.Served < int64(count) {
		return nil, fmt.Errorf("%d of %d connections were served: %s", role.Served, count, firstFailure(role))
	}
	if subject == 0 && point == len(r.g.Points)-1 && after.caches != nil {
		r.slabs = make(map[string]int64)
		for name, bytes := range after.caches {
			r.slabs[name] = bytes - before.caches[name]
		}
	}
	values = map[string]float64{
		idleUser:   float64(after.resident-before.resident) / 1e6,
		idleKernel: float64(after.kernel-before.kernel) / 1e6,
	}
	if share, known := probe.Share(); known {
		values[idleCPU] = 100 * share
	}
	return values, nil
}

// memory is what a server and the kernel have at a time.
type memory struct {
	resident int64            // bytes of the process
	kernel   int64            // bytes of slabs, kernel stacks and page tables of the whole system
	caches   map[string]int64 // bytes by slab cache; nil: only root is told
}

// settledMemory reads it when the kernel's does not change any more: sockets are freed a while after they are closed.
func settledMemory(pid int) (m memory, err error) {
	for began := time.Now(); ; {
		before := m.kernel
		if m, err = readMemory(pid); err != nil || time.Since(began) > settleMax {
			return m, err
		}
		if change := m.kernel - before; -settled < change && change < settled {
			return m, nil
		}
		time.Sleep(settleEvery)
	}
}

func readMemory(pid int) (m memory, err error) {
	var ok bool
	if m.resident, ok = machine.Resident(pid); !ok {
		return m, errors.New("what a process uses is only told on Linux (/proc)")
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	m.kernel = memoryNamed(string(text), kernelMemory...)
	if text, err := os.ReadFile("/proc/slabinfo"); err == nil { // it is root's
		m.caches = slabCaches(string(text))
	}
	return m, nil
}

// fit is how steep a line through points is: the median of what any two of them say (Theil and Sen), which
// one point that is wrong does not move.
func fit(points []chart.Point) float64 {
	var all []float64
	for i, a := range points {
		for _, b := range points[i+1:] {
			if b.X != a.X {
				all = append(all, (b.Y-a.Y)/(b.X-a.X))
			}
		}
	}
	if len(all) == 0 {
		return 0
	}
	return stats.Of(all).Median
}

// slope is how many bytes a connection more takes of a subject.
func (r *idleRun) slope(subject int, metric string) float64 {
	var points []chart.Point
	for p, at := range r.g.Points {
		if f, ok := r.g.Figure(p, subject, metric); ok {
			points = append(points, chart.Point{X: at.X, Y: f.Median * 1e6})
		}
	}
	return fit(points)
}

// slopes says what a connection takes, and what a million would.
func (r *idleRun) slopes() experiment.Table {
	t := experiment.Table{Title: "a connection more takes, by the slope; and a million on paper",
		Head: []string{"", "user, bytes", "kernel, bytes", "user, GB", "kernel, GB", "both, GB"}}
	for i, s := range r.g.Subjects {
		user, kernel := r.slope(i, idleUser), r.slope(i, idleKernel)
		row := []string{s.Name, text.Number(user), text.Number(kernel)}
		for _, bytes := range []float64{user, kernel, user + kernel} {
			row = append(row, text.Number(bytes*million/1e9))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// caches says what the kernel keeps for a connection of the first subject.
func (r *idleRun) caches() experiment.Table {
	t := experiment.Table{Title: fmt.Sprintf("the kernel's slab caches with %s: bytes a connection, both ends",
		r.g.Subjects[0].Name), Head: []string{"", "bytes"}}
	if r.slabs == nil {
		t.Rows = append(t.Rows, []string{"/proc/slabinfo is not told to this user", text.Unknown})
		return t
	}
	names := slices.SortedFunc(maps.Keys(r.slabs), func(a, b string) int { return int(r.slabs[b] - r.slabs[a]) })
	count := r.g.Points[len(r.g.Points)-1].X
	for _, name := range names[:min(len(names), 12)] {
		if each := float64(r.slabs[name]) / count; each >= 16 {
			t.Rows = append(t.Rows, []string{name, text.Number(each)})
		}
	}
	return t
}

func (r *idleRun) draw() string {
	var lines []chart.Line
	for i, s := range r.g.Subjects {
		lines = append(lines, r.g.Line(s.Name, i, idleUser))
	}
	kernel := r.g.Line("kernel, "+r.g.Subjects[0].Name, 0, idleKernel)
	kernel.Dashed = true
	return chart.Lines("Memory of idle connections", "MB of the server's process, and of the kernel for its end "+
		"(dashed); both axes logarithmic", r.g.Axis, append(lines, kernel))
}
