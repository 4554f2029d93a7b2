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
	"github.com/evhttpd/evhttpd/bench/stats"
)

const (
	priceWarmUp = 80 * time.Millisecond
	// priceScrapes is how often the metrics are fetched while they are on: 150 times as often as Prometheus does by
	// itself (15 s).
	priceScrapes = 100 * time.Millisecond
)

// priceServers are evhttpd with everything on, once more as control, and without one thing each.
var priceServers = []struct {
	experiment.Subject
	log, metrics, turn, valid bool
}{
	{experiment.Subject{Name: "everything on"}, true, true, true, true},
	{experiment.Subject{Name: "everything on (control)", Control: true}, true, true, true, true},
	{experiment.Subject{Name: "no access log"}, false, true, true, true},
	{experiment.Subject{Name: "no metrics"}, true, false, true, true},
	{experiment.Subject{Name: "no turn bound"}, true, true, false, true},
	{experiment.Subject{Name: "no revalidation"}, true, true, true, false},
	{experiment.Subject{Name: "none of the four"}, false, false, false, false},
}

// priceLoads are where a request costs least, so that what is paid for each shows most.
var priceLoads = []struct {
	experiment.Point
	connections, pipeline int
}{{experiment.Point{Name: "1 KiB, 64 connections", X: 1}, 64, 1}, {experiment.Point{Name: "16 pipelined on each of 16",
	X: 2}, 16, 16}}

// runPrice measures what a request costs without one thing that correctness takes, and what strict parsing and counting
// cost by themselves.
func runPrice(ctx context.Context, s *session) (*experiment.Result, error) {
	g := &experiment.Grid{Name: "price", Title: "a request", Axis: "load", Metrics: []experiment.Metric{{Key: "cpu",
		Name: "µs of the server's CPU", Unit: "µs"}, {Key: "rate", Name: "requests/s", Unit: "1/s", Unpaired: true}}}
	for _, l := range priceLoads {
		g.Points = append(g.Points, l.Point)
	}
	for _, v := range priceServers {
		g.Subjects = append(g.Subjects, v.Subject)
	}
	name := func(i int) string { return g.Subjects[i].Name }
	err := s.serving(func(root string, cpus experiment.CPUs) error {
		return s.Each(ctx, 1, len(g.Subjects), name, func(round, i int) error {
			return s.measurePrices(ctx, g, round, i, root, cpus)
		})
	})
	if err != nil {
		return nil, err
	}
	s.Note("Access lines go to a file. The metrics, while they are on, are fetched every %v, and Prometheus does that "+
		"every 15 s. Revalidation is cache.valid (1 s) and off an hour. A turn is bounded by 64 requests or 256 KiB, "+
		"and off not at all.", priceScrapes)
	parts := timeParts()
	return &experiment.Result{Grids: []*experiment.Grid{g}, Tables: []experiment.Table{priceTable(g), partsTable(g,
		parts)}, Charts: []experiment.Chart{{File: "price.svg", SVG: priceChart(g, parts)}}}, nil
}

// measurePrices measures one server under all loads.
func (s *session) measurePrices(ctx context.Context, g *experiment.Grid, round, subject int, root string,
	cpus experiment.CPUs) (err error) {
	v := &priceServers[subject]
	folder, err := os.MkdirTemp("", "evhttpd-lab-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	child, err := server.Start(ctx, server.Options{Binary: s.Binary, Args: []string{"serve"}, CPUs: cpus.Server,
		Counters: true, Config: priceConfig(root, folder, v.log, v.turn, v.valid)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	if v.metrics {
		defer func(end func() error) { err = errors.Join(err, end()) }(scrape(ctx, child))
	}
	for point, l := range priceLoads {
		values, result, err := s.loaded(ctx, child, load.Options{
			Roles: []load.Role{{Name: "requests", Addr: load.TCP(child.Addr()), Connections: l.connections,
				Pipeline: l.pipeline, Greet: true, Targets: []load.Target{small}}},
			WarmUp: priceWarmUp, CPUs: cpus.Client})
		if err != nil {
			return err
		}
		if err := failures(result); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
		g.Add(round, point, subject, values)
	}
	return nil
}

// priceConfig is what the server's configuration file says.
func priceConfig(root, folder string, log, turn, valid bool) string {
	output := "off"
	if log {
		output = filepath.Join(folder, "access.log")
	}
	text := fmt.Sprintf("listen: [\"127.0.0.1:0\"]\nloops: 1\nsites: [{hosts: [\"*\"], root: %q}]\naccess_log: "+
		"{output: %q}\n", root, output)
	if !turn {
		text += "turn: {requests: 0, bytes: 0}\n"
	}
	if !valid {
		text += "cache: {valid: 1h}\n"
	}
	return text
}

// scrape fetches the server's metrics again and again. What it returns ends that, with what went wrong.
func scrape(ctx context.Context, child *server.Server) (end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		again := time.NewTicker(priceScrapes)
		defer again.Stop()
		for {
			if _, err := child.Ask(ctx, "/metrics"); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				done <- nil
				return
			}
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// price is the part of a request's CPU that one thing takes, of what it costs with everything on; with its interval.
func price(g *experiment.Grid, point, subject int) (median, low, high float64, ok bool) {
	f, has := g.Figure(point, subject, "cpu")
	if !has || f.Ratio == nil {
		return 0, 0, 0, false
	}
	return 1 - f.Ratio.Median, 1 - f.Ratio.High, 1 - f.Ratio.Low, true
}

// priceTable says it in per cent.
func priceTable(g *experiment.Grid) experiment.Table {
	return g.Table("what it saves to be without, % of a request's CPU with everything on [interval]", 1,
		func(point, subject int) string {
			median, low, high, ok := price(g, point, subject)
			if !ok {
				return ""
			}
			return fmt.Sprintf("%.1f [%.1f %.1f]", 100*median, 100*low, 100*high)
		})
}

func priceChart(g *experiment.Grid, parts []part) string {
	var rows []chart.Row
	for p := range g.Points {
		for i := 1; i < len(g.Subjects); i++ {
			median, low, high, ok := price(g, p, i)
			row := chart.Row{Name: strings.TrimPrefix(g.Subjects[i].Name, "everything on ") + []string{"", " ×16"}[p],
				Class: priceClass(g, p, i)}
			if ok {
				row.Value, row.Low, row.High, row.Text = 100*median, 100*low, 100*high, fmt.Sprintf("%.1f %%",
					100*median)
			}
			rows = append(rows, row)
		}
	}
	for _, t := range parts {
		if whole, ok := g.Figure(0, 0, "cpu"); ok && whole.Median > 0 {
			share := 100 * t.costs() / 1e3 / whole.Median
			rows = append(rows, chart.Row{Name: t.short, Value: share, Class: "plain", Text: fmt.Sprintf("%.1f %%",
				share)})
		}
	}
	return chart.Bars("The price of being correct", "% of a request's CPU (1 KiB) that it saves to be without; ×16: "+
		"pipelined; green: a saving, grey: no difference, blue: not to be told or not compared", rows)
}

// priceClass colours a bar by the verdict on what it stands for.
func priceClass(g *experiment.Grid, point, subject int) string {
	f, _ := g.Figure(point, subject, "cpu")
	switch {
	case g.Subjects[subject].Control, f.Verdict == stats.Same:
		return "same"
	case f.Verdict == stats.Less:
		return "better"
	case f.Verdict == stats.More:
		return "worse"
	default:
		return "plain"
	}
}
