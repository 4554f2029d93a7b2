package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/text"
)

const (
	// ratesIdle are the idle connections of Gammo et al.
	ratesIdle = 10_000
	// ratesWarmUp is what is thrown away of each rate, at most.
	ratesWarmUp = 30 * time.Millisecond
	// ratesDrain is how long late answers are waited for.
	ratesDrain = 200 * time.Millisecond
	// idleMax bounds the time in which the idle connections are opened, idleStays how long they stay at most.
	idleMax   = 30 * time.Second
	idleStays = time.Hour
)

// ratesServers are the event mechanisms of the paper: model and trigger. The first is the baseline.
var ratesServers = []struct {
	experiment.Subject
	server.Variant
}{
	{experiment.Subject{Name: "epoll level"}, server.Variant{Model: "epoll", Trigger: "level"}},
	{experiment.Subject{Name: "epoll level (control)", Control: true},
		server.Variant{Model: "epoll", Trigger: "level"}},
	{experiment.Subject{Name: "epoll edge"}, server.Variant{Model: "epoll", Trigger: "edge"}},
	{experiment.Subject{Name: "poll"}, server.Variant{Model: "poll", Trigger: "level"}},
	{experiment.Subject{Name: "select"}, server.Variant{Model: "select", Trigger: "level"}},
}

// requesting is a way to make requests at a fixed rate.
type requesting struct {
	name        string // of files
	title       string
	connections int
	closeEach   bool
	rates       []int
}

// requestings: the paper's one-byte workload makes a connection for each request. Persistent connections show the
// mechanism beneath what opening and closing costs.
var requestings = []requesting{
	{"connections", "1 byte, a connection each", 256, true, []int{5000, 10_000, 15_000, 20_000}},
	{"requests", "1 byte, persistent connections", 128, false, []int{20_000, 60_000, 100_000, 140_000}},
}

// rates is the paper's experiment at work.
type rates struct {
	s     *session
	root  string
	cpus  experiment.CPUs
	idle  []int              // connections
	grids []*experiment.Grid // for each of idle, one for each of requestings
}

// runRates measures reply rate and latency of the server itself against the rate of requests.
func runRates(ctx context.Context, s *session) (result *experiment.Result, err error) {
	r := &rates{s: s, idle: []int{0, ratesIdle}}
	// The server keeps a tenth of its descriptors for other uses.
	if most := s.Descriptors*9/10 - 512; most < ratesIdle {
		if most < 100 {
			return nil, fmt.Errorf("the limit of %d descriptors is too low: ulimit -n %d", s.Descriptors,
				(ratesIdle+512)*10/9+1)
		}
		r.idle[1] = most
		s.Warn("the limit of %d descriptors allows %s idle connections: ulimit -n %d allows %s",
			s.Descriptors, text.Thousands(most), (ratesIdle+512)*10/9+1, text.Thousands(ratesIdle))
	}
	r.makeGrids()
	err = s.serving(func(root string, cpus experiment.CPUs) error {
		r.root, r.cpus = root, cpus
		if err := os.WriteFile(filepath.Join(root, "1"), oneByte.Body, 0o644); err != nil {
			return err
		}
		name := func(cell int) string {
			return ratesServers[cell%len(ratesServers)].Subject.Name + ", " +
				text.Thousands(r.idle[cell/len(ratesServers)]) + " idle"
		}
		return s.Each(ctx, 1, len(ratesServers)*len(r.idle), name, func(round, cell int) error {
			return r.session(ctx, round, cell%len(ratesServers), cell/len(ratesServers))
		})
	})
	if err != nil {
		return nil, err
	}
	result = &experiment.Result{Grids: r.grids, Tables: []experiment.Table{gammo}}
	for _, g := range r.grids {
		result.Charts = append(result.Charts, draw(g)...)
	}
	r.remark()
	s.Note("%s", gammoShape)
	return result, nil
}

// gammo is table 1 of the paper: what its server's time went into, of the calls that ours makes too.
var gammo = experiment.Table{
	Title: "Published: % of the µserver's time by gprof, one-byte workload at 22,000 requests/s, no idle connections " +
		"(Gammo et al., table 1)",
	Head: []string{"", "select", "poll", "epoll level", "epoll edge"},
	Rows: [][]string{
		{"select, poll or epoll_wait", "13.33", "13.32", "7.15", "6.52"},
		{"epoll_ctl", text.Unknown, text.Unknown, "16.34", "11.06"},
		{"read", "21.51", "20.97", "20.95", "22.19"},
		{"close", "14.90", "14.79", "14.05", "14.14"},
		{"accept", "10.08", "10.20", "9.51", "9.30"},
	},
}

// gammoShape is what the paper's figures 1 to 6 show; they have no numbers but on their axes.
const gammoShape = "Published: without idle connections select and poll answer as much as epoll, or slightly more, " +
	"up to some 20,000 replies/s; with 10,000 idle ones select and poll fall by up to 79 % (Gammo et al., figures 3 " +
	"and 5)."

// oneByte is a request for the file of the one-byte workload.
var oneByte = load.Target{Path: "/1", Body: []byte("1")}

func (r *rates) makeGrids() {
	var all []experiment.Subject
	for _, s := range ratesServers {
		all = append(all, s.Subject)
	}
	for _, idle := range r.idle {
		for _, q := range requestings {
			g := &experiment.Grid{Name: fmt.Sprintf("rates-%s-%d", q.name, idle), Title: fmt.Sprintf("%s, %s idle",
				q.title, text.Thousands(idle)),
				Axis: "requests/s", Points: experiment.Counted(q.rates...), Subjects: all, Metrics: []experiment.Metric{
					{Key: "replies", Name: "replies/s", Unit: "replies/s"},
					{Key: "p50", Name: "p50 in µs", Unit: "µs"},
					{Key: "p99", Name: "p99 in µs", Unit: "µs", Unpaired: true},
					{Key: "cpu", Name: "server's CPU a reply in µs", Unit: "µs"},
					{Key: "waits", Name: "waits a reply", Unit: "1", Unpaired: true},
					{Key: "calls", Name: "system calls a reply, the waits among them", Unit: "1", Unpaired: true},
					{Key: "client", Name: "share of its CPU that the client used", Unit: "1", Unpaired: true},
				}}
			r.grids = append(r.grids, g)
		}
	}
}

// session is one server, with its idle connections, under every rate.
func (r *rates) session(ctx context.Context, round, subject, idle int) (err error) {
	child, err := r.s.start(ctx, r.cpus, ratesServers[subject].Args(r.root, 1, r.idle[idle])...)
	if err != nil {
		return err
	}
	// Ending 10,000 connections in order would take too long.
	defer func() { err = errors.Join(err, child.Kill()) }()
	leave, err := r.openIdle(ctx, child, r.idle[idle])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	for q := range requestings {
		g := r.grids[idle*len(requestings)+q]
		for point, rate := range requestings[q].rates {
			values, err := r.measure(ctx, child, &requestings[q], rate)
			if err != nil {
				return fmt.Errorf("%s at %s/s: %w", g.Title, text.Thousands(rate), err)
			}
			g.Add(round, point, subject, values)
		}
	}
	return nil
}

// openIdle opens idle connections, each of which has made one request, and returns what closes them.
func (r *rates) openIdle(ctx context.Context, child *server.Server, count int) (leave func() error, err error) {
	if count == 0 {
		return func() error { return nil }, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	opened := make(chan struct{})
	done := make(chan error, 1)
	left := errors.New("the rates are over")
	go func() {
		result, err := load.Run(ctx, load.Options{
			Roles: []load.Role{{Name: "idle", Addr: load.TCP(child.Addr()), Connections: count, Idle: true,
				Targets: []load.Target{oneByte}}},
			Duration: idleStays, Ramp: idleMax, CPUs: r.cpus.Client, OnBegin: func() { close(opened) },
		})
		if errors.Is(err, left) {
			err = nil
		}
		if err == nil && result.Roles[0].Served < int64(count) {
			err = fmt.Errorf("%d of %d idle connections were served", result.Roles[0].Served, count)
		}
		done <- err
	}()
	leave = func() error {
		cancel(left)
		return <-done
	}
	select {
	case <-opened:
		return leave, nil
	case err := <-done:
		cancel(left)
		return nil, errors.Join(err, errors.New("the idle connections did not stay"))
	}
}

// measure is one rate.
func (r *rates) measure(ctx context.Context, child *server.Server, q *requesting, rate int) (map[string]float64,
	error) {
	values, result, err := r.s.loaded(ctx, child, load.Options{
		Roles: []load.Role{{Name: "active", Addr: load.TCP(child.Addr()), Connections: q.connections,
			Rate:      float64(rate),
			CloseEach: q.closeEach, Greet: !q.closeEach, Targets: []load.Target{oneByte}}},
		WarmUp: min(r.s.Duration/2, ratesWarmUp), Drain: ratesDrain, CPUs: r.cpus.Client})
	if err != nil {
		return nil, err
	}
	r.s.noteFailures(fmt.Sprintf("%s at %s/s", q.title, text.Thousands(rate)), &result.Roles[0])
	values["replies"] = values["rate"]
	return values, nil
}

// clientFull is the share of its CPU from which the client may be the limit.
const clientFull = 0.9

// remark says where figures are the client's.
func (r *rates) remark() {
	for _, g := range r.grids {
		var full []string
		for p := range g.Points {
			for i := range g.Subjects {
				if f, ok := g.Figure(p, i, "client"); ok && f.Median >= clientFull {
					full = append(full, g.Points[p].Name)
					break
				}
			}
		}
		if len(full) > 0 {
			r.s.Note("%s: the client used its CPU up at %s: replies/s and latency may be its limit there; the "+
				"server's CPU a reply is not affected.", g.Title, strings.Join(full, ", "))
		}
	}
}

// draw shows what the server answered, how fast, and what that cost it, against what was asked.
func draw(g *experiment.Grid) []experiment.Chart {
	asked := chart.Line{Name: "all that is asked", Dashed: true}
	for _, p := range g.Points {
		asked.Points = append(asked.Points, chart.Point{X: p.X, Y: p.X})
	}
	var charts []experiment.Chart
	for _, of := range []struct {
		metric, title, note string
		also                []chart.Line
	}{
		{"replies", "Replies/s", "against the rate of requests, which does not wait for answers; both axes logarithmic",
			[]chart.Line{asked}},
		{"p50", "Median latency in µs", "from when a request was due; both axes logarithmic", nil},
		{"p99", "p99 of latency in µs", "from when a request was due; both axes logarithmic", nil},
		{"cpu", "The server's CPU a reply in µs", "both axes logarithmic", nil},
	} {
		charts = append(charts, experiment.Chart{File: g.Name + "-" + of.metric + ".svg",
			SVG: chart.Lines(of.title+": "+g.Title, of.note, g.Axis, append(g.Lines(of.metric), of.also...))})
	}
	return charts
}
