package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/text"
	"github.com/evhttpd/evhttpd/poller"
)

// pipesCounts are the pipes in all; the last is replaced by as many as the limit of descriptors allows, up to it.
var pipesCounts = []int{100, 300, 1000, 3000, 9000}

// chains are the loads of libevent's page: 1 active connection (with its bench.c's own number of writes), and 100
// that chain writes "until thousand writes and reads have happened".
var chains = []struct{ active, writes int }{{1, 100}, {100, 1000}}

// runPipes measures how long a chain of writes and reads takes among many pipes.
func runPipes(ctx context.Context, s *session) (r *experiment.Result, err error) {
	// The clock is the thread's, and sigio wants its signals on one thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// bench.c calls event_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK): its waits have a timeout of 0.
	ways, err := s.watchings(0)
	if err != nil {
		return nil, err
	}
	points, wanted := pipePoints(s.Descriptors), pipesCounts[len(pipesCounts)-1]
	if len(points) == 0 {
		return nil, fmt.Errorf("the limit of %d descriptors is too low: ulimit -n %d", s.Descriptors, 2*wanted+spare)
	}
	most := points[len(points)-1]
	if most < wanted {
		s.Warn("the limit of %d descriptors allows %s pipes: ulimit -n %d allows %s", s.Descriptors,
			text.Thousands(most), 2*wanted+spare, text.Thousands(wanted))
	}
	r = &experiment.Result{}
	for _, c := range chains {
		g := &experiment.Grid{Name: fmt.Sprintf("%d active", c.active), Title: fmt.Sprintf("%d active, %s writes",
			c.active, text.Thousands(c.writes)), Axis: "pipes",
			Points: experiment.Counted(points...), Subjects: subjects(ways), Metrics: []experiment.Metric{
				{Key: "chain", Name: "µs until all are read", Unit: "µs"},
				{Key: "registering", Name: "µs to have every pipe forgotten and watched again", Unit: "µs",
					Unpaired: true},
			}}
		r.Grids = append(r.Grids, g)
	}
	release, err := reserve()
	if err != nil {
		return nil, err
	}
	reads, writes, err := pipePairs(most)
	defer func() { err = errors.Join(err, closeAll(reads), closeAll(writes)) }()
	if err = errors.Join(err, release()); err != nil {
		return nil, err
	}
	err = s.each(ctx, func(_, grid, way, point int) (map[string]float64, error) {
		count := int(r.Grids[grid].Points[point].X)
		c := chain{reads: reads[:count], writes: writes[:count], active: chains[grid].active,
			length: chains[grid].writes}
		return c.measure(ways[way], s.Duration)
	}, r.Grids...)
	if err != nil {
		return nil, err
	}
	for i, g := range r.Grids {
		svg := chart.Lines("µs for a chain: "+g.Title,
			"CPU time until every octet has been read; both axes logarithmic", "pipes watched", g.Lines("chain"))
		r.Charts = append(r.Charts, experiment.Chart{File: fmt.Sprintf("pipes-%d.svg", chains[i].active), SVG: svg})
	}
	s.Note("%s", libeventShape)
	return r, nil
}

// libeventShape is what libevent's page shows of the same two loads; its charts are pictures without a table.
const libeventShape = "Published: the time for one active connection rises with the number of connections under " +
	"select and poll, and hardly under epoll and kqueue; with one hundred active the same, less steeply (two charts " +
	"without a table on libevent's page: \"exposes scalability issues of traditional interfaces like select or poll\")."

// pipePoints are the numbers of pipes that so many descriptors allow.
func pipePoints(descriptors int) (points []int) {
	most := (descriptors - spare) / 2
	for _, n := range pipesCounts {
		if n > most {
			if least := pipesCounts[0]; most > least && most > points[len(points)-1] {
				points = append(points, most)
			}
			break
		}
		points = append(points, n)
	}
	return points
}

// chain is bench.c's run: active octets are written at even distances. For each octet that is read one is written
// into the next pipe, until length further ones have been written.
type chain struct {
	reads, writes  []int
	active, length int

	watcher watcher
	events  []poller.Event
	left    int // octets that may yet be written
	count   int // octets read
	buffer  [64]byte
}

// measure repeats the run for so long, at least once, each time with every pipe registered anew.
func (c *chain) measure(way watching, long time.Duration) (values map[string]float64, err error) {
	if c.watcher, err = way.open(); err != nil {
		return nil, err
	}
	c.events = make([]poller.Event, eventsMax)
	defer func() { err = errors.Join(err, forget(c.watcher, c.reads)) }()
	if err = watch(c.watcher, c.reads); err != nil {
		return nil, err
	}
	if err = c.run(); err != nil { // the first one takes what add has left to be looked at
		return nil, err
	}
	var registering, running time.Duration
	runs := 0
	for began := time.Now(); runs == 0 || time.Since(began) < long; runs++ {
		one, err := cost(c.register)
		if err != nil {
			return nil, err
		}
		if err := c.start(); err != nil {
			return nil, err
		}
		other, err := cost(c.finish)
		if err != nil {
			return nil, err
		}
		registering, running = registering+one, running+other
	}
	micros := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(runs) }
	return map[string]float64{"chain": micros(running), "registering": micros(registering)}, nil
}

// register has every pipe forgotten and watched again, and settles what that leaves to be done.
func (c *chain) register() error {
	for i, fd := range c.reads {
		if err := c.watcher.remove(fd); err != nil {
			return err
		}
		if err := c.watcher.add(fd, poller.Token(i)); err != nil {
			return err
		}
	}
	if s, ok := c.watcher.(settler); ok {
		return s.settle()
	}
	_, err := c.look()
	return err
}

func (c *chain) run() error {
	if err := c.start(); err != nil {
		return err
	}
	return c.finish()
}

// start writes the first octets.
func (c *chain) start() error {
	c.left, c.count = c.length, 0
	active := min(c.active, len(c.writes))
	for i := range active {
		if err := c.write(i * (len(c.writes) / active)); err != nil {
			return err
		}
	}
	return nil
}

func (c *chain) write(i int) error {
	_, err := unix.Write(c.writes[i], c.buffer[:1])
	return err
}

// finish waits until every octet has been read.
func (c *chain) finish() error {
	all := min(c.active, len(c.writes)) + c.length
	for idle := 0; c.count < all; idle++ {
		read, err := c.look()
		switch {
		case err != nil:
			return err
		case read:
			idle = 0
		case idle > triesMax:
			return fmt.Errorf("%d of %d octets have been read, and no other is reported", c.count, all)
		}
	}
	return nil
}

// look waits once, reads from the pipes that are ready and hands what it has read on to the next pipe. It takes all
// that there is, bench.c one octet at a time: under an edge trigger the others would never be told of again.
func (c *chain) look() (read bool, err error) {
	n, err := c.watcher.wait(c.events)
	if err != nil {
		return false, err
	}
	for _, e := range c.events[:n] {
		i := int(e.Token)
		got, err := unix.Read(c.reads[i], c.buffer[:])
		if err == unix.EAGAIN {
			continue // a hint
		}
		if err != nil {
			return read, err
		}
		read = true
		c.count += got
		for ; got > 0 && c.left > 0; got-- {
			c.left--
			if err := c.write((i + 1) % len(c.writes)); err != nil {
				return read, err
			}
		}
	}
	return read, nil
}
