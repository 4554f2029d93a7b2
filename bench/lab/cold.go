package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/text"
)

const (
	// coldRounds and coldDuration keep it under two minutes with all models and nginx.
	coldRounds   = 3
	coldDuration = 700 * time.Millisecond
	coldWarmUp   = 200 * time.Millisecond
	// coldDrain is how long late answers count: without a pool a loop is behind by what it read.
	coldDrain = 4 * time.Second
	// The small requests are due whatever the answers do, so that waiting is seen.
	coldSmallRate        = 2000.0
	coldSmallConnections = 16
	// The cold ones: each of a file that nobody has asked for, on so many connections.
	coldConnections = 8
	coldSize        = 1 << 20
	coldDelay       = 32 * time.Millisecond
	// coldFiles is how many there are to choose from at random: so many that few are asked for twice.
	coldFiles = 1 << 14
	slowDir   = "slow"
)

// The points of the cold grid.
const (
	coldAlone  = iota // small requests only
	coldPooled        // beside cold ones, with workers
	coldBare          // the same without: of nginx alone
)

var coldPoints = []experiment.Point{{Name: "alone", X: coldAlone}, {Name: "beside cold, workers", X: coldPooled},
	{Name: "beside cold, none", X: coldBare}}

// Metrics of the cold grid.
const (
	coldP50  = "p50"
	coldP99  = "p99"
	coldRate = "rate"
)

func newColdGrid() *experiment.Grid {
	return &experiment.Grid{Name: "cold", Title: "small cached requests", Axis: "what is beside them", Points: coldPoints,
		Metrics: []experiment.Metric{{Key: coldP50, Name: "p50 in ms", Unit: "ms", Unpaired: true},
			{Key: coldP99, Name: "p99 in ms", Unit: "ms", Unpaired: true},
			{Key: coldRate, Name: "MB/s of cold files", Unit: "MB/s", Unpaired: true}}}
}

// coldCell is one server at one point.
type coldCell struct {
	point, subject int
	start          func(ctx context.Context, root string, workers bool) (coldServer, error)
}

// coldServer is one under measurement.
type coldServer interface {
	Addr() netip.AddrPort
	Stop() error
}

// runCold measures small cached requests at a fixed rate, alone and beside large cold ones.
func runCold(ctx context.Context, s *session) (*experiment.Result, error) {
	s.Defaults(coldRounds, coldDuration)
	g := newColdGrid()
	if err := s.serving(func(root string, cpus experiment.CPUs) error { return s.coldAll(ctx, g, root, cpus) }); err != nil {
		return nil, err
	}
	s.Note("Small requests: 1 KiB, cached, %.0f/s on %d connections, timed from when each was due. Beside them %d "+
		"connections ask for files of 1 MiB that nobody asked for before, each read of which (128 KiB) takes %v on "+
		"average (FUSE). The server has one CPU, its workers included; the client and the slow file system share the "+
		"other. nginx without aio threads was measured once only.", coldSmallRate, coldSmallConnections, coldConnections,
		coldDelay)
	return &experiment.Result{Grids: []*experiment.Grid{g}, Tables: []experiment.Table{coldRatios(g)},
		Charts: []experiment.Chart{{File: "cold.svg", SVG: coldChart(g)}}}, nil
}

// coldAll measures every server at every point.
func (s *session) coldAll(ctx context.Context, g *experiment.Grid, root string, cpus experiment.CPUs) (err error) {
	mountpoint := filepath.Join(root, slowDir)
	if err := os.Mkdir(mountpoint, 0o755); err != nil {
		return err
	}
	// Nothing is to be removed through a mount that was left.
	defer func() { err = errors.Join(err, os.Remove(mountpoint)) }()
	scratch, err := os.MkdirTemp("", "evhttpd-slowfs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	slow, err := findSlow(ctx, s.Binary, scratch)
	if err != nil {
		return err
	}
	cells, err := s.coldCells(ctx, g, cpus.Server)
	if err != nil {
		return err
	}
	name := func(i int) string { return g.Subjects[cells[i].subject].Name + ", " + coldPoints[cells[i].point].Name }
	return s.Each(ctx, len(cells), name, func(round, i int) error {
		if round > 0 && cells[i].point == coldBare {
			return nil // once is enough where it is by hundreds
		}
		values, err := s.measureCold(ctx, &cells[i], root, slow, cpus.Client)
		if err == nil {
			g.Add(round, cells[i].point, cells[i].subject, values)
		}
		return err
	})
}

// coldCells lists who is measured where.
func (s *session) coldCells(ctx context.Context, g *experiment.Grid, cpus []int) (cells []coldCell, err error) {
	variants, err := s.variants(ctx)
	if err != nil {
		return nil, err
	}
	add := func(name string, start func(context.Context, string, bool) (coldServer, error), points ...int) {
		for _, p := range points {
			cells = append(cells, coldCell{p, len(g.Subjects), start})
		}
		g.Subjects = append(g.Subjects, experiment.Subject{Name: name})
	}
	for _, v := range variants {
		add(v.Name, func(ctx context.Context, root string, _ bool) (coldServer, error) {
			return server.StartWith(ctx, server.Options{Binary: s.Binary, CPUs: cpus,
				Args: v.Args(root, 1, coldSmallConnections+coldConnections)})
		}, coldAlone, coldPooled)
	}
	if reason := nginxLacks(ctx); reason != "" {
		s.Warn("nginx is not beside them: %s", reason)
	} else {
		add("nginx", func(ctx context.Context, root string, threads bool) (coldServer, error) {
			return startNginx(ctx, root, threads, cpus)
		}, coldAlone, coldPooled, coldBare)
	}
	return cells, nil
}

// measureCold measures one server at one point, beside the files that the program slow mounts.
func (s *session) measureCold(ctx context.Context, c *coldCell, root, slow string, cpus []int) (values map[string]float64, err error) {
	// One for each measurement: what the kernel has of it goes with it. It runs on the client's CPUs.
	mount, err := mountSlow(ctx, slow, filepath.Join(root, slowDir), coldSize, coldDelay)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, mount.end()) }()
	srv, err := c.start(ctx, root, c.point != coldBare)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	roles := []load.Role{{Name: "small", Addr: load.TCP(srv.Addr()), Connections: coldSmallConnections, Rate: coldSmallRate, Greet: true,
		Targets: []load.Target{small}}}
	if c.point != coldAlone {
		roles = append(roles, load.Role{Name: "cold", Addr: load.TCP(srv.Addr()), Connections: coldConnections, Targets: coldTargets()})
	}
	result, err := load.Run(ctx, load.Options{Roles: roles, Duration: s.Duration, WarmUp: coldWarmUp, Drain: coldDrain,
		Timeout: s.Duration + 2*coldDrain, Seed: uint64(srv.Addr().Port()), CPUs: cpus})
	if err != nil {
		return nil, err
	}
	if err := failures(result); err != nil {
		return nil, err
	}
	latency := &result.Roles[0].Latency
	values = map[string]float64{coldP50: millis(latency.P50), coldP99: millis(latency.P99)}
	if c.point != coldAlone {
		values[coldRate] = float64(result.Roles[1].Bytes) / result.Window.Seconds() / 1e6
	}
	return values, nil
}

// coldTargets are the files of the slow file system.
var coldTargets = sync.OnceValue(func() []load.Target {
	all := make([]load.Target, coldFiles)
	for i := range all {
		all[i] = load.Target{Path: "/" + slowDir + "/f" + strconv.Itoa(i), Length: coldSize}
	}
	return all
})

// coldRatio is how many times its p99 alone a subject's small requests have at a point, in the median of the rounds;
// 0: not known.
func coldRatio(g *experiment.Grid, point, subject int) float64 {
	alone, ok := g.Figure(coldAlone, subject, coldP99)
	beside, has := g.Figure(point, subject, coldP99)
	if !ok || !has || alone.Median <= 0 {
		return 0
	}
	return beside.Median / alone.Median
}

// coldRatios is what the experiment is about in one table.
func coldRatios(g *experiment.Grid) experiment.Table {
	return g.Table("p99 of the small requests: × their own alone", 0, func(point, subject int) string {
		if ratio := coldRatio(g, point, subject); ratio > 0 {
			return text.Number(ratio)
		}
		return ""
	})
}

func coldChart(g *experiment.Grid) string {
	legend := []string{"alone", "beside cold files, with workers", "nginx without aio threads"}
	var rows []chart.Dots
	for i, s := range g.Subjects {
		row := chart.Dots{Name: s.Name}
		for point := range g.Points {
			f, _ := g.Figure(point, i, coldP99)
			row.Values = append(row.Values, f.Median)
		}
		rows = append(rows, row)
	}
	return chart.DotRows("p99 of small cached requests beside cold large ones", fmt.Sprintf("ms, on a logarithmic axis; "+
		"%.0f small requests/s; 128 KiB of a cold file take %v to read; nginx: with aio threads and without",
		coldSmallRate, coldDelay), legend, rows)
}
