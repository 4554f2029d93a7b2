package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/text"

	"github.com/evhttpd/evhttpd/poller"
)

const (
	// waitsOperations is what costs are given for, as Kerrisk does.
	waitsOperations = 100_000
)

var waitsCounts = []int{10, 100, 1000, 10_000}

const (
	kerriskKernel = "2.6.25"
	kerriskName   = "Kerrisk, " + kerriskKernel
)

// kerrisk is table 63-9: CPU seconds for 100,000 monitoring operations on Linux 2.6.25.
var kerrisk = []experiment.Original{
	{Name: kerriskName, Subject: "epoll", Metric: "wait", Values: []float64{0.41, 0.42, 0.53, 0.66}},
	{Name: kerriskName, Subject: "poll", Metric: "wait", Values: []float64{0.61, 2.9, 35, 990}},
	{Name: kerriskName, Subject: "select", Metric: "wait", Values: []float64{0.73, 3.0, 35, 930}},
}

// waits is table 63-9 at work.
type waits struct {
	s    *session
	ways []watching
	grid *experiment.Grid
	// which has the ways of whichWays at the last of the grid's points, by where the ready descriptor lies.
	which *experiment.Grid
	pipes []int
}

// runWaits measures what a wait costs of which one random descriptor of N is ready.
func runWaits(ctx context.Context, s *session) (r *experiment.Result, err error) {
	w := &waits{s: s}
	// The clock is the thread's, and sigio wants its signals on one thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if w.ways, err = s.watchings(waitBound); err != nil {
		return nil, err
	}
	w.grid = &experiment.Grid{Name: "waits", Title: fmt.Sprintf("CPU time of %s waits",
		text.Thousands(waitsOperations)), Axis: "descriptors watched",
		Subjects: subjects(w.ways), Metrics: []experiment.Metric{
			{Key: "wait", Name: "of the waits alone, s", Unit: "s"},
			{Key: "whole", Name: "with the write and the read around each wait, s", Unit: "s", Unpaired: true},
			{Key: "alone", Name: "of the writes and reads alone, s", Unit: "s", Unpaired: true},
		}}
	fit := slices.DeleteFunc(slices.Clone(waitsCounts), func(n int) bool { return n > s.Descriptors-spare })
	most := waitsCounts[len(waitsCounts)-1]
	switch len(fit) {
	case len(waitsCounts):
	case 0:
		return nil, fmt.Errorf("the limit of %d descriptors is too low: ulimit -n %d", s.Descriptors, most+spare)
	default:
		least := waitsCounts[len(fit)]
		s.Warn("the limit of %d descriptors leaves out those of %s: ulimit -n %d lets them in", s.Descriptors,
			text.Thousands(least), least+spare)
		most = fit[len(fit)-1]
	}
	w.grid.Points = experiment.Counted(fit...)
	for _, o := range kerrisk {
		o.Values = o.Values[:len(fit)]
		w.grid.Originals = append(w.grid.Originals, o)
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
	return &experiment.Result{Grids: []*experiment.Grid{w.grid, w.which}, Charts: []experiment.Chart{{File: "waits.svg",
		SVG: w.draw()}}}, nil
}

// places are where the ready descriptor lies among those that are watched. A wait that may block enters itself into
// the wait queues of those before it.
var places = []struct {
	name string
	pick func(random *rand.Rand, count int) int
}{
	{"the first", func(*rand.Rand, int) int { return 0 }},
	{"a random one", (*rand.Rand).IntN},
	{"the last", func(_ *rand.Rand, count int) int { return count - 1 }},
}

// whichWays are the ways to wait of which the place is varied: the baseline and poll.
func (w *waits) whichWays() (ways []watching) {
	for i, way := range w.ways {
		if i == 0 || way.Control || way.Name == "poll" || way.Name == "poll, timeout 0" {
			ways = append(ways, way)
		}
	}
	return ways
}

func (w *waits) measureAll(ctx context.Context) error {
	ways, last := w.whichWays(), w.grid.Points[len(w.grid.Points)-1]
	w.which = &experiment.Grid{Name: "which", Title: fmt.Sprintf("%s, of %s descriptors", w.grid.Title, last.Name),
		Axis:     "which is ready",
		Subjects: subjects(ways), Metrics: w.grid.Metrics}
	for i, place := range places {
		w.which.Points = append(w.which.Points, experiment.Point{Name: place.name, X: float64(i)})
	}
	return w.s.each(ctx, func(round, grid, way, point int) (map[string]float64, error) {
		random := rand.New(rand.NewPCG(w.s.Seed, uint64(round)))
		fds, of, pick := w.pipes, ways, (*rand.Rand).IntN
		if grid == 0 {
			fds, of = fds[:int(w.grid.Points[point].X)], w.ways
		} else {
			pick = places[point].pick
		}
		return w.measure(of[way], fds, func() int { return pick(random, len(fds)) })
	}, w.grid, w.which)
}

// measure is one way to wait at one point: what a write, the wait and a read cost, less a write and a read alone
// just before and just after.
func (w *waits) measure(way watching, fds []int, pick func() int) (map[string]float64, error) {
	octet := []byte{0}
	alone := func() error {
		i := pick()
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
	whole, err := w.watched(way, fds, pick, octet)
	if err != nil {
		return nil, err
	}
	after, err := timed(w.s.Duration/10, alone)
	if err != nil {
		return nil, err
	}
	both := (before + after) / 2
	return map[string]float64{"wait": (whole - both) * waitsOperations, "whole": whole * waitsOperations,
		"alone": both * waitsOperations}, nil
}

// watched is the operation with the wait.
func (w *waits) watched(way watching, fds []int, pick func() int, octet []byte) (whole float64, err error) {
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
		if _, err := unix.Write(fds[pick()], octet); err != nil {
			return err
		}
		return receive(p, fds, events, octet)
	}
	// the first one takes what add has left to be looked at
	if _, err := timed(w.s.Duration/20, operation); err != nil {
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
	lines := w.grid.Lines("wait")
	for _, o := range w.grid.Originals {
		line := chart.Line{Name: o.Subject + ", " + kerriskKernel, Dashed: true}
		for p, v := range o.Values {
			line.Points = append(line.Points, chart.Point{X: w.grid.Points[p].X, Y: v})
		}
		lines = append(lines, line)
	}
	return chart.Lines("CPU seconds of 100,000 waits", "one random descriptor of N is ready; both axes logarithmic; "+
		"without the write and the read around each wait", "descriptors watched", lines)
}
