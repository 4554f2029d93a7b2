package classic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/poller"
)

const (
	// waitsOperations is what costs are given for, as Kerrisk does.
	waitsOperations = 100_000
	waitsRounds     = 9
	waitsDuration   = 200 * time.Millisecond
)

var waitsCounts = []int{10, 100, 1000, 10_000}

const (
	kerriskKernel = "2.6.25"
	kerriskName   = "Kerrisk, " + kerriskKernel
)

// kerrisk is table 63-9: CPU seconds for 100,000 monitoring operations on Linux 2.6.25.
var kerrisk = []Original{
	{Name: kerriskName, Subject: "epoll", Metric: "wait", Values: []float64{0.41, 0.42, 0.53, 0.66}},
	{Name: kerriskName, Subject: "poll", Metric: "wait", Values: []float64{0.61, 2.9, 35, 990}},
	{Name: kerriskName, Subject: "select", Metric: "wait", Values: []float64{0.73, 3.0, 35, 930}},
}

// waits is table 63-9 at work.
type waits struct {
	s     *Session
	ways  []watching
	grid  *Grid
	pipes []int
}

// runWaits measures what a wait costs of which one random descriptor of N is ready.
func runWaits(ctx context.Context, s *Session) (r *Result, err error) {
	s.Defaults(waitsRounds, waitsDuration)
	w := &waits{s: s}
	// The clock is the thread's, and sigio wants its signals on one thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if w.ways, err = s.watchings(waitBound); err != nil {
		return nil, err
	}
	w.grid = &Grid{Name: "waits", Title: fmt.Sprintf("CPU time of %s waits", thousands(waitsOperations)), Axis: "descriptors watched",
		Subjects: subjects(w.ways), Originals: kerrisk, Metrics: []Metric{
			{Key: "wait", Name: "of the waits alone, s", Unit: "s"},
			{Key: "whole", Name: "with the write and the read around each wait, s", Unit: "s", Alone: true},
			{Key: "alone", Name: "of the writes and reads alone, s", Unit: "s", Alone: true},
		}}
	most := 0
	for i, n := range waitsCounts {
		if n > s.Descriptors-spare {
			s.Tell("the limit of %d descriptors leaves out those of %s: ulimit -n %d lets them in", s.Descriptors, thousands(n), n+spare)
			for k := range kerrisk { // as many figures as points
				w.grid.Originals = cut(w.grid.Originals, k, i)
			}
			break
		}
		w.grid.Points, most = append(w.grid.Points, Counted(n)), n
	}
	if most == 0 {
		return nil, fmt.Errorf("the limit of %d descriptors is too low: ulimit -n %d", s.Descriptors, waitsCounts[len(waitsCounts)-1]+spare)
	}
	release, err := reserve()
	if err != nil {
		return nil, err
	}
	w.pipes, err = twoWay(most)
	defer func() { err = errors.Join(err, closeAll(w.pipes)) }()
	if err = errors.Join(err, release()); err != nil {
		return nil, err
	}
	if err = w.measureAll(ctx); err != nil {
		return nil, err
	}
	return &Result{Grids: []*Grid{w.grid}, Charts: []Chart{{File: "waits.svg", SVG: w.draw()}}}, nil
}

// cut shortens one of the published rows to so many figures, in a copy.
func cut(all []Original, row, count int) []Original {
	all = slices.Clone(all)
	all[row].Values = all[row].Values[:count]
	return all
}

func (w *waits) measureAll(ctx context.Context) error {
	points := len(w.grid.Points)
	name := func(cell int) string {
		return fmt.Sprintf("%s, %s descriptors", w.ways[cell/points].Name, w.grid.Points[cell%points].Name)
	}
	return w.s.Each(ctx, points*len(w.ways), name, func(round, cell int) error {
		way, point := cell/points, cell%points
		random := rand.New(rand.NewPCG(w.s.Seed, uint64(round)))
		values, err := w.measure(w.ways[way], w.pipes[:int(w.grid.Points[point].X)], random)
		if err == nil {
			w.grid.Add(round, point, way, values)
		}
		return err
	})
}

// measure is one way to wait at one point: what a write, the wait and a read cost, less a write and a read alone
// just before and just after.
func (w *waits) measure(way watching, fds []int, random *rand.Rand) (map[string]float64, error) {
	octet := []byte{0}
	alone := func() error {
		i := random.IntN(len(fds))
		_, err := unix.Write(fds[i], octet)
		if err == nil {
			_, err = unix.Read(fds[i], octet)
		}
		return err
	}
	if _, err := timed(w.s.Duration/20, alone); err != nil { // the pipes' memory is to be near
		return nil, err
	}
	before, err := timed(w.s.Duration/10, alone)
	if err != nil {
		return nil, err
	}
	whole, err := w.watched(way, fds, random, octet)
	if err != nil {
		return nil, err
	}
	after, err := timed(w.s.Duration/10, alone)
	if err != nil {
		return nil, err
	}
	both := (before + after) / 2
	return map[string]float64{"wait": (whole - both) * waitsOperations, "whole": whole * waitsOperations, "alone": both * waitsOperations}, nil
}

// watched is the operation with the wait.
func (w *waits) watched(way watching, fds []int, random *rand.Rand, octet []byte) (whole float64, err error) {
	p, err := way.open()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, forget(p, fds)) }()
	if err := watch(p, fds); err != nil {
		return 0, err
	}
	events := make([]poller.Event, eventsMax)
	operation := func() error {
		if _, err := unix.Write(fds[random.IntN(len(fds))], octet); err != nil {
			return err
		}
		return receive(p, fds, events, octet)
	}
	if _, err := timed(w.s.Duration/20, operation); err != nil { // the first one takes what add has left to be looked at
		return 0, err
	}
	return timed(w.s.Duration, operation)
}

// eventsMax is the most that a poller's wait brings.
const eventsMax = 512

// triesMax bounds the waits for one octet: spin tells of 512 descriptors at a time.
const triesMax = 10_000

// receive waits until the one octet that was written has been read.
func receive(p watcher, fds []int, events []poller.Event, octet []byte) error {
	for range triesMax {
		n, err := p.wait(events)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			_, err := unix.Read(fds[e.Token], octet)
			if err == nil {
				return nil
			}
			if err != unix.EAGAIN {
				return err
			}
		}
	}
	return errors.New("what was written is not reported")
}

// draw shows what was measured beside what was published.
func (w *waits) draw() string {
	var lines []chart.Line
	for i, subject := range w.grid.Subjects {
		if subject.Control {
			continue
		}
		lines = append(lines, w.grid.line(subject.Name, i, "wait"))
	}
	for _, o := range w.grid.Originals {
		line := chart.Line{Name: o.Subject + ", " + kerriskKernel, Dashed: true}
		for p, v := range o.Values {
			line.Points = append(line.Points, chart.Point{X: w.grid.Points[p].X, Y: v})
		}
		lines = append(lines, line)
	}
	return chart.Lines("CPU seconds of 100,000 waits", "one random descriptor of N is ready; both axes logarithmic; without the write and the read around each wait", "descriptors watched", lines)
}
