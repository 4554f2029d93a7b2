package classic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/bench/chart"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/stats"
	"github.com/evhttpd/evhttpd/bench/text"
)

const (
	priceSource   = "the question that every rewrite in the name of speed begs."
	priceRounds   = 9
	priceDuration = 350 * time.Millisecond
	priceWarmUp   = 80 * time.Millisecond
	// priceScrapes is how often the metrics are fetched while they are on: 150 times as often as Prometheus does by itself (15 s).
	priceScrapes = 100 * time.Millisecond
	priceTimeout = 5 * time.Second
)

// priceServers are evhttpd with everything on, once more as control, and without one thing each.
var priceServers = []struct {
	Subject
	log, metrics, turn, valid bool
}{
	{Subject{Name: "everything on"}, true, true, true, true},
	{Subject{Name: "everything on (control)", Control: true}, true, true, true, true},
	{Subject{Name: "no access log"}, false, true, true, true},
	{Subject{Name: "no metrics"}, true, false, true, true},
	{Subject{Name: "no turn bound"}, true, true, false, true},
	{Subject{Name: "no revalidation"}, true, true, true, false},
	{Subject{Name: "none of the four"}, false, false, false, false},
}

// priceLoads are where a request costs least, so that what is paid for each shows most.
var priceLoads = []struct {
	Point
	connections, pipeline int
}{{Point{"1 KiB, 64 connections", 1}, 64, 1}, {Point{"16 pipelined on each of 16", 2}, 16, 16}}

// runPrice measures what a request costs without one thing that correctness takes, and what strict parsing and counting cost by themselves.
func runPrice(ctx context.Context, s *Session) (r *Result, err error) {
	s.Defaults(priceRounds, priceDuration)
	cpus, client, undo := s.Apart(1)
	defer undo()
	root, err := os.MkdirTemp("", "evhttpd-price-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	// What changed within the last 2 s is not cached: an hour ago.
	file := filepath.Join(root, smallFile)
	if err := errors.Join(os.WriteFile(file, smallBody(), 0o644), os.Chtimes(file, time.Time{}, time.Now().Add(-time.Hour))); err != nil {
		return nil, err
	}
	g := &Grid{Name: "price", Title: "a request", Axis: "load", Metrics: []Metric{{Key: "cpu", Name: "µs of the server's CPU", Unit: "µs"}, {Key: "rate", Name: "requests/s", Unit: "1/s", Alone: true}}}
	for _, l := range priceLoads {
		g.Points = append(g.Points, l.Point)
	}
	for _, v := range priceServers {
		g.Subjects = append(g.Subjects, v.Subject)
	}
	err = s.Each(ctx, len(g.Subjects), func(i int) string { return g.Subjects[i].Name }, func(round, i int) error {
		return s.measurePrices(ctx, g, round, i, root, cpus, client)
	})
	if err != nil {
		return nil, err
	}
	s.Note("Access lines go to a file. The metrics, while they are on, are fetched every %v, and Prometheus does that every 15 s. Revalidation is cache.valid (1 s) and off an hour. "+
		"A turn is bounded by 64 requests or 256 KiB, and off not at all.", priceScrapes)
	parts := timeParts()
	return &Result{Grids: []*Grid{g}, Tables: []Table{priceTable(g), partsTable(g, parts)}, Charts: []Chart{{"price.svg", priceChart(g, parts)}}}, nil
}

// measurePrices measures one server under all loads.
func (s *Session) measurePrices(ctx context.Context, g *Grid, round, subject int, root string, cpus, client []int) (err error) {
	v := &priceServers[subject]
	folder, err := os.MkdirTemp("", "evhttpd-priced-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	config := filepath.Join(folder, "evhttpd.yaml")
	socket := filepath.Join(folder, "admin")
	if err := os.WriteFile(config, []byte(priceConfig(root, folder, socket, v.log, v.metrics, v.turn, v.valid)), 0o600); err != nil {
		return err
	}
	child, err := server.StartWith(ctx, server.Options{Binary: s.Binary, Args: []string{"serve", "--config", config}, CPUs: cpus, Counters: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	if v.metrics {
		defer func(end func() error) { err = errors.Join(err, end()) }(fetch(ctx, socket))
	}
	for point, l := range priceLoads {
		values, result, err := s.serve(ctx, child, load.Options{
			Roles: []load.Role{{Name: "requests", Addr: load.TCP(child.Addr()), Connections: l.connections, Pipeline: l.pipeline, Greet: true,
				Targets: []load.Target{{Path: "/" + smallFile, Body: smallBody()}}}},
			Duration: s.Duration, WarmUp: priceWarmUp, CPUs: client})
		if err != nil {
			return err
		}
		if role := &result.Roles[0]; role.Failed() > 0 {
			return fmt.Errorf("%s: %s, the first: %s", l.Name, text.Count(int(role.Failed()), "failure"), first(role))
		}
		g.Add(round, point, subject, values)
	}
	return nil
}

// priceConfig is the server's configuration file.
func priceConfig(root, folder, socket string, log, metrics, turn, valid bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: [\"127.0.0.1:0\"]\nloops: 1\nsites: [{hosts: [\"*\"], root: %q}]\n", root)
	output := "off"
	if log {
		output = filepath.Join(folder, "access.log")
	}
	fmt.Fprintf(&b, "access_log: {output: %q}\n", output)
	if metrics {
		fmt.Fprintf(&b, "admin: {listen: [%q]}\n", "unix:"+socket)
	}
	if !turn {
		b.WriteString("turn: {requests: 0, bytes: 0}\n")
	}
	if !valid {
		b.WriteString("cache: {valid: 1h}\n")
	}
	return b.String()
}

// fetch fetches the metrics again and again; what it returns ends that, with what went wrong.
func fetch(ctx context.Context, socket string) (end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	client := &http.Client{Timeout: priceTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		again := time.NewTicker(priceScrapes)
		defer again.Stop()
		for ctx.Err() == nil {
			if err := fetchOnce(ctx, client); err != nil && ctx.Err() == nil {
				failed = err
				return
			}
			select {
			case <-again.C:
			case <-ctx.Done():
			}
		}
	})
	return func() error {
		cancel()
		wg.Wait()
		client.CloseIdleConnections()
		return failed
	}
}

func fetchOnce(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/metrics", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the metrics: %w", err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the metrics: %s", answer.Status)
	}
	return err
}

// price is the part of a request's CPU that one thing takes, of what it costs with everything on; with its interval.
func price(g *Grid, point, subject int) (median, low, high float64, ok bool) {
	f, has := g.Figure(point, subject, "cpu")
	if !has || f.Ratio == nil {
		return 0, 0, 0, false
	}
	return 1 - f.Ratio.Median, 1 - f.Ratio.High, 1 - f.Ratio.Low, true
}

// priceTable says it in per cent.
func priceTable(g *Grid) Table {
	t := Table{Title: "what it saves to be without, % of a request's CPU with everything on [interval]", Head: []string{""}}
	for _, p := range g.Points {
		t.Head = append(t.Head, p.Name)
	}
	for i := 1; i < len(g.Subjects); i++ {
		row := []string{g.Subjects[i].Name}
		for p := range g.Points {
			text := unknown
			if median, low, high, ok := price(g, p, i); ok {
				text = fmt.Sprintf("%.1f [%.1f %.1f]", 100*median, 100*low, 100*high)
			}
			row = append(row, text)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func priceChart(g *Grid, parts []part) string {
	var rows []chart.Row
	for p := range g.Points {
		for i := 1; i < len(g.Subjects); i++ {
			median, low, high, ok := price(g, p, i)
			row := chart.Row{Name: strings.TrimPrefix(g.Subjects[i].Name, "everything on ") + []string{"", " ×16"}[p], Class: priceClass(g, p, i)}
			if ok {
				row.Value, row.Low, row.High, row.Text = 100*median, 100*low, 100*high, fmt.Sprintf("%.1f %%", 100*median)
			}
			rows = append(rows, row)
		}
	}
	for _, t := range parts {
		if whole, ok := g.Figure(0, 0, "cpu"); ok && whole.Median > 0 {
			share := 100 * t.costs() / 1e3 / whole.Median
			rows = append(rows, chart.Row{Name: t.short, Value: share, Class: "plain", Text: fmt.Sprintf("%.1f %%", share)})
		}
	}
	return chart.Bars("The price of being correct", "% of a request's CPU (1 KiB) that it saves to be without; ×16: pipelined; green: a saving, grey: no difference, blue: not to be told or not compared", rows)
}

// priceClass colours a bar by the verdict on what it stands for.
func priceClass(g *Grid, point, subject int) string {
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
