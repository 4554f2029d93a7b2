package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/text"
)

const (
	// starveMax keeps a wait for all of a case within what the client counts as one latency, a minute.
	starveMax = 30 * time.Second
	// starveWarmUp is before the window: the greedy client must have filled its pipeline.
	starveWarmUp = 200 * time.Millisecond
	// starveDrain bounds the time after the window in which late answers still count.
	starveDrain = 5 * time.Second
	// starveRate is due whatever the answers do: a closed loop would send nothing while it is starved, and so
	// hardly notice.
	starveRate        = 1000.0 // requests/s
	starveConnections = 16
	// greedyPipeline is how many requests the greedy client keeps in flight: so many that a receive never empties
	// the server's socket.
	greedyPipeline = 4096
	downloadFile   = "large.bin"
	downloadSize   = 256 << 20 // bytes
	// The budget of a turn is the server's default, said to it so that what is printed is what was measured.
	turnRequests = 64
	turnBytes    = 256 << 10
)

// reloadFields are those of a browser that asks whether its copy is still good. Such a request takes the server as much
// parsing as requests usually do, and its answer, 304 without content, takes the client little: a client that is to
// keep a server's socket from ever running empty, or full, must be the quicker of the two.
var reloadFields = append(slices.Clone(browserFields), "If-None-Match: *")

// starveCases are servers under one load each. The first is the baseline.
var starveCases = []struct {
	experiment.Subject
	trigger string
	budget  bool // a connection's turn is bounded, as it is by default
	greedy  bool // the greedy client and the download are there
}{
	{experiment.Subject{Name: "quiet"}, "edge", true, false},
	{experiment.Subject{Name: "quiet (control)", Control: true}, "edge", true, false},
	{experiment.Subject{Name: "level, no budget"}, "level", false, true},
	{experiment.Subject{Name: "level, budget"}, "level", true, true},
	{experiment.Subject{Name: "edge, no budget"}, "edge", false, true},
	{experiment.Subject{Name: "edge, budget"}, "edge", true, true},
}

// runStarve measures small requests on a server of one loop: alone, and beside one greedy connection that pipelines
// without end and one large download, with the budget of a turn off and on, level- and edge-triggered. Every answer is
// checked: a wrong one, and any failure of a connection, is an error.
func runStarve(ctx context.Context, s *session) (*experiment.Result, error) {
	g := newStarveGrid()
	err := s.serving(func(root string, cpus experiment.CPUs) error {
		// The large file is a hole: it takes no room.
		large := filepath.Join(root, downloadFile)
		if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, downloadSize)); err != nil {
			return err
		}
		return s.each(ctx, func(_, _, subject, _ int) (map[string]float64, error) {
			return s.starve(ctx, subject, root, cpus)
		}, g)
	})
	if err != nil {
		return nil, err
	}
	s.Note("%s", starveText(g))
	return &experiment.Result{Grids: []*experiment.Grid{g}}, nil
}

func newStarveGrid() *experiment.Grid {
	title := fmt.Sprintf("%.0f small requests/s on %d connections of one loop, in ms from when each was due; beside a "+
		"connection that pipelines without end and a download of %d MiB, but for the quiet ones", starveRate,
		starveConnections, downloadSize>>20)
	g := &experiment.Grid{Name: "starve", Title: title, Axis: "load", Wide: true,
		Points: []experiment.Point{{Name: "p99"}}, Metrics: []experiment.Metric{
			{Key: "p50", Name: "p50", Unit: "ms", Unpaired: true}, {Key: "p99", Name: "p99", Unit: "ms"},
			{Key: "max", Name: "max", Unit: "ms", Unpaired: true}, {Key: "rate", Name: "small/s", Unit: "1/s",
				Unpaired: true},
			{Key: "greedy", Name: "greedy/s", Unit: "1/s", Unpaired: true},
			{Key: "download", Name: "MB/s", Unit: "MB/s", Unpaired: true}}}
	for _, c := range starveCases {
		g.Subjects = append(g.Subjects, c.Subject)
	}
	return g
}

// starve measures one case once, on a server of its own.
func (s *session) starve(ctx context.Context, i int, root string, cpus experiment.CPUs) (values map[string]float64,
	err error) {
	c := &starveCases[i]
	requests, bytes := turnRequests, turnBytes
	if !c.budget {
		requests, bytes = 0, 0 // no bound
	}
	args := (&server.Variant{Model: "auto", Trigger: c.trigger}).Args(root, 1, starveConnections)
	child, err := s.start(ctx, cpus, append(args, "--turn-requests", strconv.Itoa(requests), "--turn-bytes",
		strconv.Itoa(bytes))...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	at := load.TCP(child.Addr())
	roles := []load.Role{{Name: "small", Addr: at, Connections: starveConnections, Rate: starveRate,
		Targets: []load.Target{small}}}
	if c.greedy {
		roles = append(roles,
			load.Role{Name: "greedy", Addr: at, Connections: 1, Pipeline: greedyPipeline,
				Targets: []load.Target{{Path: small.Path, Status: 304, Fields: reloadFields}}},
			load.Role{Name: "download", Addr: at, Connections: 1,
				Targets: []load.Target{{Path: "/" + downloadFile, Length: downloadSize}}})
	}
	result, err := load.Run(ctx, load.Options{Roles: roles, Duration: s.Duration, WarmUp: starveWarmUp,
		Drain: starveDrain,
		// A connection that is starved gets no byte for the whole run.
		Timeout: s.Duration + starveWarmUp + starveDrain + time.Second, CheckEvery: 1, CPUs: cpus.Client})
	if err != nil {
		return nil, err
	}
	s.noteStarved(c.Name, result)
	return starveValues(result), failures(result)
}

// noteStarved notes what makes the times other than the server's.
func (s *session) noteStarved(name string, r *load.Result) {
	if never := r.Roles[0].Unanswered + r.Roles[0].Unsent; never > 0 {
		s.Note("%s: %s had no answer even %v after the end of a round; it counts as the time it had waited.", name,
			text.Count(int(never), "request"), starveDrain)
	}
	if r.Saturated() {
		s.Note("The client used its CPU up: a part of these times is its own.")
	}
}

// starveValues are the figures of one measurement.
func starveValues(r *load.Result) map[string]float64 {
	l := &r.Roles[0].Latency
	values := map[string]float64{"p50": millis(l.P50), "p99": millis(l.P99), "max": millis(l.Max),
		"rate": r.Rate(&r.Roles[0].Counts)}
	if len(r.Roles) > 1 {
		values["greedy"] = r.Rate(&r.Roles[1].Counts)
		values["download"] = float64(r.Roles[2].Bytes) / r.Window.Seconds() / 1e6
	}
	return values
}

// starveCure is by what the budget divides the p99 of the small requests, with that trigger.
func starveCure(g *experiment.Grid, trigger string) float64 {
	p99 := make(map[bool]float64)
	for i, c := range starveCases {
		if f, ok := g.Figure(0, i, "p99"); ok && c.greedy && c.trigger == trigger {
			p99[c.budget] = f.Median
		}
	}
	return p99[false] / max(p99[true], 1e-6)
}

// starveText says what the table shows.
func starveText(g *experiment.Grid) string {
	return fmt.Sprintf(`The budget divides the small requests' p99 by %s with the edge trigger, and by %s with the
level trigger. Without it a connection is served until its socket is empty, or full. A client that keeps it from ever
becoming either makes all others wait until it pauses: how long is up to the client, and here to the length of a run.
An edge-triggered loop may not stop earlier unless it remembers which connection it left, since no second event comes.
A level trigger would tell it again, but does not help a loop that drains its sockets, as this one does. The budget is
that memory: after %d requests or %d KiB a connection goes to the back of a queue, and the others have their turn.`,
		text.Number(starveCure(g, "edge")), text.Number(starveCure(g, "level")), turnRequests, turnBytes>>10)
}
