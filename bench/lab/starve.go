// Package lab shows on a running server what a design decision is for: the
// program starts itself once for each case, loads it, and prints what came of it.
//
// It imports bench/load, bench/server, bench/text and github.com/HdrHistogram/hdrhistogram-go.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/server"
)

// The load of [Starve].
const (
	// smallRate is due whatever the answers do: a closed loop would send
	// nothing while it is starved, and so hardly notice.
	smallRate        = 1000.0 // requests/s
	smallConnections = 16
	smallSize        = 1 << 10 // bytes
	// greedyPipeline is how many requests the greedy client keeps in flight:
	// so many that a receive never empties the server's socket.
	greedyPipeline = 4096
	downloadSize   = 256 << 20 // bytes
	// The budget of a turn is the server's default, said to it so that what is printed is what was measured.
	turnRequests = 64
	turnBytes    = 256 << 10
	// warmUp is before the window: the greedy client must have filled its pipeline.
	warmUp = 200 * time.Millisecond
	// drainMax bounds the time after the window in which late answers still count.
	drainMax = 5 * time.Second
	// DurationMax keeps a wait for all of a case within what the client counts as
	// one latency, a minute.
	DurationMax = 30 * time.Second
	// RoundsMax bounds the time of all of it.
	RoundsMax = 100
)

// Roles of the load.
const (
	roleSmall    = "small"
	roleGreedy   = "greedy"
	roleDownload = "download"
)

const (
	smallPath    = "small.html"
	downloadPath = "large.bin"
)

// reloadFields are what a browser says when it asks whether its copy is still good.
// Such a request takes the server as much parsing as requests usually do, and its answer, 304 without
// content, takes the client little: who is to keep a server's socket from ever
// running empty, or full, must be the quicker of the two.
var reloadFields = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.5",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"DNT: 1",
	"Connection: keep-alive",
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1",
	"Upgrade-Insecure-Requests: 1",
	"Sec-Fetch-Dest: document",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-Site: none",
	"Sec-Fetch-User: ?1",
	"Priority: u=0, i",
	"If-None-Match: *",
}

// Case is one server under one load.
type Case struct {
	Name    string `json:"case"`
	Trigger string `json:"trigger"`
	Budget  bool   `json:"budget"` // a connection's turn is bounded, as it is by default
	Greedy  bool   `json:"greedy"` // the greedy client and the download are there
}

// Cases are what [Starve] compares, in the order of its table. The first is the baseline.
func Cases() []Case {
	return []Case{
		{Name: "quiet", Trigger: "edge", Budget: true},
		{Name: "level, no budget", Trigger: "level", Greedy: true},
		{Name: "level, budget", Trigger: "level", Budget: true, Greedy: true},
		{Name: "edge, no budget", Trigger: "edge", Greedy: true},
		{Name: "edge, budget", Trigger: "edge", Budget: true, Greedy: true},
	}
}

// Options say how [Starve] goes about it.
type Options struct {
	Binary   string        // an evhttpd
	Duration time.Duration // measured of each case in each round, at most DurationMax
	Rounds   int           // how often every case is measured, at most RoundsMax
	// Progress, if set, is called before each measurement, with how many are
	// over and how many there are.
	Progress func(c Case, done, all int)
}

func (o *Options) check() error {
	switch {
	case o.Duration <= 0 || o.Duration > DurationMax:
		return fmt.Errorf("a duration of %v: it must be more than 0 and at most %v", o.Duration, DurationMax)
	case o.Rounds < 1 || o.Rounds > RoundsMax:
		return fmt.Errorf("%d rounds: there must be 1 to %d", o.Rounds, RoundsMax)
	}
	return nil
}

// ErrOptions marks an error in Options.
var ErrOptions = errors.New("lab")

// Starve measures small requests on a server of one loop: alone, and beside one
// greedy connection that pipelines without end and one large download, with the
// budget of a turn off and on, level- and edge-triggered. Cases are interleaved
// over rounds. Every answer is checked: a wrong one, and any failure of a connection, is an
// error. When Starve returns, its servers are gone; ctx's end is an error.
func Starve(ctx context.Context, o Options) (report *Report, err error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	root, err := makeRoot()
	if err != nil {
		return nil, fmt.Errorf("lab: the files to be served: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	cases := Cases()
	report = newReport(cases, &o)
	for round := range o.Rounds {
		for i, c := range cases {
			if o.Progress != nil {
				o.Progress(c, round*len(cases)+i, o.Rounds*len(cases))
			}
			result, err := measure(ctx, &o, c, root)
			if err != nil {
				return nil, fmt.Errorf("lab: round %d, %s: %w", round+1, c.Name, err)
			}
			report.add(i, result)
		}
	}
	report.sum()
	return report, nil
}

// makeRoot makes a folder with the two files. The large one is a hole: it takes no room.
func makeRoot() (root string, err error) {
	root, err = os.MkdirTemp("", "evhttpd-lab-")
	if err != nil {
		return "", err
	}
	err = os.WriteFile(filepath.Join(root, smallPath), smallContent(), 0o600)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, downloadPath), nil, 0o600)
	}
	if err == nil {
		err = os.Truncate(filepath.Join(root, downloadPath), downloadSize)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(root))
	}
	return root, nil
}

func smallContent() []byte {
	content := make([]byte, smallSize)
	for i := range content {
		content[i] = byte('a' + i%26)
	}
	return content
}

// measure runs one case once, on a server of its own.
func measure(ctx context.Context, o *Options, c Case, root string) (result *load.Result, err error) {
	s, err := server.Start(ctx, o.Binary, serverArgs(c, root)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	result, err = load.Run(ctx, load.Options{
		Roles:    roles(c, s),
		Duration: o.Duration,
		WarmUp:   warmUp,
		Drain:    drainMax,
		// Who is starved gets no byte for the whole run.
		Timeout:    o.Duration + warmUp + drainMax + time.Second,
		CheckEvery: 1,
	})
	if err != nil {
		return nil, err
	}
	return result, failures(result)
}

func serverArgs(c Case, root string) []string {
	args := []string{"serve", root, "--listen", "127.0.0.1:0", "--loops", "1", "--trigger", c.Trigger, "--access-log", "off"}
	requests, bytes := turnRequests, turnBytes
	if !c.Budget {
		requests, bytes = 0, 0 // no bound
	}
	return append(args, "--turn-requests", strconv.Itoa(requests), "--turn-bytes", strconv.Itoa(bytes))
}

func roles(c Case, s *server.Server) []load.Role {
	small := load.Target{Path: "/" + smallPath, Body: smallContent()}
	all := []load.Role{{Name: roleSmall, Addr: load.TCP(s.Addr()), Connections: smallConnections, Rate: smallRate, Targets: []load.Target{small}}}
	if !c.Greedy {
		return all
	}
	greedy := load.Target{Path: small.Path, Status: 304, Fields: reloadFields}
	return append(all,
		load.Role{Name: roleGreedy, Addr: load.TCP(s.Addr()), Connections: 1, Pipeline: greedyPipeline, Targets: []load.Target{greedy}},
		load.Role{Name: roleDownload, Addr: load.TCP(s.Addr()), Connections: 1, Targets: []load.Target{{Path: "/" + downloadPath, Length: downloadSize}}})
}

// failures is an error if anything but waiting went wrong.
func failures(r *load.Result) error {
	var errs []error
	for i := range r.Roles {
		role := &r.Roles[i]
		for f, n := range role.Failures {
			if n > 0 {
				errs = append(errs, fmt.Errorf("role %s: %d × %v, the first: %s", role.Name, n, load.Failure(f), role.First[f]))
			}
		}
	}
	return errors.Join(errs...)
}
