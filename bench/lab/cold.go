package lab

import (
	"context"
	"errors"
	"fmt"
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
	coldWarmUp = 200 * time.Millisecond
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
	coldBeside        // beside cold ones
)

var coldPoints = []experiment.Point{{Name: "alone", X: coldAlone}, {Name: "beside cold", X: coldBeside}}

// Metrics of the cold grid.
const (
	coldP50  = "p50"
	coldP99  = "p99"
	coldRate = "rate"
)

func newColdGrid() *experiment.Grid {
	return &experiment.Grid{Name: "cold", Title: "small cached requests", Axis: "what is beside them",
		Points: coldPoints,
		Metrics: []experiment.Metric{{Key: coldP50, Name: "p50 in ms", Unit: "ms", Unpaired: true},
			{Key: coldP99, Name: "p99 in ms", Unit: "ms", Unpaired: true},
			{Key: coldRate, Name: "MB/s of cold files", Unit: "MB/s", Unpaired: true}}}
}

// coldSubject is a server that is measured.
type coldSubject struct {
	name    string
	options func() (server.Options, error)
}

// runCold measures small cached requests at a fixed rate, alone and beside large cold ones.
func runCold(ctx context.Context, s *session) (*experiment.Result, error) {
	g := newColdGrid()
	err := s.serving(func(root string, cpus experiment.CPUs) error { return s.coldAll(ctx, g, root, cpus) })
	if err != nil {
		return nil, err
	}
	s.Note("Small requests: 1 KiB, cached, %.0f/s on %d connections, timed from when each was due. Beside them %d "+
		"connections ask for files of 1 MiB that nobody asked for before, each read of which (128 KiB) takes %v on "+
		"average (FUSE). The server has one CPU, its workers included; the client and the slow file system share the "+
		"other.", coldSmallRate, coldSmallConnections, coldConnections, coldDelay)
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
	all, err := s.coldSubjects(ctx, root, scratch)
	if err != nil {
		return err
	}
	for _, of := range all {
		g.Subjects = append(g.Subjects, experiment.Subject{Name: of.name})
	}
	return s.each(ctx, func(_, _, subject, point int) (map[string]float64, error) {
		o, err := all[subject].options()
		if err != nil {
			return nil, err
		}
		o.CPUs = cpus.Server
		return s.measureCold(ctx, o, point, root, slow, cpus.Client)
	}, g)
}

// coldSubjects are the models, and nginx with a thread pool and without one, whose files are in scratch.
func (s *session) coldSubjects(ctx context.Context, root, scratch string) (all []coldSubject, err error) {
	variants, err := s.variants(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range variants {
		all = append(all, coldSubject{v.Name, func() (server.Options, error) {
			return server.Options{Binary: s.Binary, Args: v.Args(root, 1, coldSmallConnections+coldConnections)}, nil
		}})
	}
	if reason := nginxLacks(ctx); reason != "" {
		s.Warn("nginx is not beside them: %s", reason)
		return all, nil
	}
	for _, threads := range []string{"threads", "off"} {
		name := map[string]string{"threads": "nginx, aio threads", "off": "nginx without"}[threads]
		all = append(all, coldSubject{name, func() (server.Options, error) { return nginx(root, scratch, threads) }})
	}
	return all, nil
}

// measureCold measures one server at one point, beside the files that the program slow mounts.
func (s *session) measureCold(ctx context.Context, o server.Options, point int, root, slow string, cpus []int) (
	values map[string]float64, err error) {
	// One for each measurement: what the kernel has of it goes with it. It runs on the client's CPUs.
	mount, err := mountSlow(ctx, slow, filepath.Join(root, slowDir), coldSize, coldDelay)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, mount.end()) }()
	srv, err := server.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	roles := []load.Role{{Name: "small", Addr: load.TCP(srv.Addr()), Connections: coldSmallConnections,
		Rate: coldSmallRate, Greet: true, Targets: []load.Target{small}}}
	if point != coldAlone {
		roles = append(roles, load.Role{Name: "cold", Addr: load.TCP(srv.Addr()), Connections: coldConnections,
			Targets: coldTargets()})
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
	if point != coldAlone {
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

// coldRatio is how many times its p99 alone a subject's small requests have beside cold files, in the median of the
// rounds; 0: not known.
func coldRatio(g *experiment.Grid, subject int) float64 {
	alone, ok := g.Figure(coldAlone, subject, coldP99)
	beside, has := g.Figure(coldBeside, subject, coldP99)
	if !ok || !has || alone.Median <= 0 {
		return 0
	}
	return beside.Median / alone.Median
}

// coldRatios is what the experiment is about in one table.
func coldRatios(g *experiment.Grid) experiment.Table {
	return g.Table("p99 of the small requests: × their own alone", 0, func(point, subject int) string {
		switch ratio := coldRatio(g, subject); {
		case point == coldAlone:
			return "1"
		case ratio > 0:
			return text.Number(ratio)
		default:
			return ""
		}
	})
}

func coldChart(g *experiment.Grid) string {
	legend := []string{"alone", "beside cold files"}
	var rows []chart.Dots
	for i, s := range g.Subjects {
		row := chart.Dots{Name: s.Name}
		for point := range g.Points {
			f, _ := g.Figure(point, i, coldP99)
			row.Values = append(row.Values, f.Median)
		}
		rows = append(rows, row)
	}
	return chart.DotRows("p99 of small cached requests beside cold large ones",
		fmt.Sprintf("ms, on a logarithmic axis; %.0f small requests/s; 128 KiB of a cold file take %v to read",
			coldSmallRate, coldDelay), legend, rows)
}
