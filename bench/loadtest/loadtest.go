// Package loadtest puts a load on one server alone and says how it did: what `evhttpd bench load` does.
//
// It imports bench/experiment, bench/load, bench/machine and bench/text.
package loadtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/machine"
)

const (
	// DurationDefault is how long a run is that has no number of requests.
	DurationDefault = 10 * time.Second
	// DurationMax bounds every run.
	DurationMax = 24 * time.Hour
	// rampMax bounds the time in which connections are opened before the first request. A server that serves one
	// connection at a time may leave the others unaccepted until then.
	rampMax = 2 * time.Second
	// urlsMax bounds a list of URLs.
	urlsMax = 1 << 20
)

// Options say what is asked for and how. Only URL has no default, and Connections, Timeout and Percentiles are
// those of Defaults unless they are set.
type Options struct {
	URL    string   // of the server, as load.ParseURL reads it
	URLs   []string // what is asked for in turn: URLs of this server, or paths that begin with a slash; none: URL
	Socket string   // path of a Unix socket to connect to instead of URL's host

	// Options, Role and Target say how, as the load generator is told: of a duration, 0 stands for DurationDefault or,
	// with Requests, until all are answered; of a method, "" for GET or, with Content, POST; of a host, "" for that
	// of the URL. Run settles roles, targets, addresses and paths.
	load.Options
	load.Role
	load.Target

	Percentiles []float64 // of the latencies, that the report has
	FailIf      []Condition
}

// Defaults are the options that stand unless others are asked for.
func Defaults() Options {
	return Options{Options: load.Options{Timeout: 10 * time.Second, Loops: 1},
		Role:        load.Role{Connections: 50, Pipeline: 1},
		Target:      load.Target{Status: load.SuccessStatus},
		Percentiles: []float64{50, 75, 90, 99, 99.9}}
}

func mistake(format string, args ...any) error {
	return experiment.Mistake("bench load", format, args...)
}

// Run puts the load on the server and reports. The end of ctx ends the load, and the report says what there was
// until then. An error is a mistake in o (an experiment.OptionError, or marked by load.ErrOptions),
// a server where nothing listens, or a limit of this machine.
func Run(ctx context.Context, o Options) (*Report, error) {
	server, paths, err := o.check()
	if err != nil {
		return nil, err
	}
	if _, err := machine.RaiseDescriptors(); err != nil {
		return nil, err
	}
	options := o.load(paths)
	if err := options.Check(); err != nil {
		return nil, err
	}
	addr, err := server.Find(ctx)
	if err != nil {
		return nil, fmt.Errorf("bench load: %w", err)
	}
	options.Roles[0].Addr = addr
	began := time.Now()
	result, err := load.Run(ctx, options)
	if result == nil || err != nil && ctx.Err() == nil {
		return nil, err
	}
	return newReport(&o, addr, began, result, err != nil), nil
}

// load is what the load generator is told, but for the address.
func (o *Options) load(paths []string) load.Options {
	options, role, target := o.Options, o.Role, o.Target
	role.InTurn, target.Length = true, load.AnyLength
	for _, target.Path = range paths {
		role.Targets = append(role.Targets, target)
	}
	options.Roles, options.Ramp = []load.Role{role}, rampMax
	// Every request in flight ends by an answer or by its timeout, which is looked at ten times in its length.
	options.Drain = o.Timeout + o.Timeout/5
	return options
}

// check fills in what follows from other options, and returns the server and what is asked of it.
func (o *Options) check() (load.URL, []string, error) {
	server, paths, err := o.targets()
	if err != nil {
		return server, nil, err
	}
	switch {
	case o.Duration < 0 || o.Duration > DurationMax:
		return server, nil, mistake("a duration of %v: it must be more than 0 and at most %v", o.Duration, DurationMax)
	case o.WarmUp < 0 || o.WarmUp > DurationMax:
		return server, nil, mistake("a warm-up of %v: it must be at most %v", o.WarmUp, DurationMax)
	case o.WarmUp > 0 && o.Requests > 0 && o.Duration == 0:
		return server, nil, mistake("with a number of requests all of them are measured: leave out the warm-up, or " +
			"give a duration")
	case o.Requests > 0:
		// A connection that never has a request would only be opened.
		o.Connections = int(min(int64(o.Connections), o.Requests))
	}
	switch {
	case o.Duration == 0 && o.Requests > 0:
		o.Duration = DurationMax
	case o.Duration == 0:
		o.Duration = DurationDefault
	}
	if o.Method == "" {
		o.Method = "GET"
		if len(o.Content) > 0 {
			o.Method = "POST"
		}
	}
	o.Host = cmp.Or(o.Host, server.Host)
	// A loop without a connection would only cost a thread.
	o.Loops = max(min(o.Loops, o.Connections), 1)
	for _, p := range o.Percentiles {
		if !(p > 0 && p <= 100) {
			return server, nil, mistake("a percentile of %v: it must be more than 0 and at most 100", p)
		}
	}
	slices.Sort(o.Percentiles)
	return server, paths, nil
}

// targets reads URL and URLs.
func (o *Options) targets() (server load.URL, paths []string, err error) {
	if server, err = load.ParseURL(o.URL); err != nil {
		return server, nil, mistake("%q: %w", o.URL, err)
	}
	if len(o.URLs) > urlsMax {
		return server, nil, mistake("a list of %d URLs: at most %d", len(o.URLs), urlsMax)
	}
	for _, text := range o.URLs {
		whole := text
		if len(text) > 0 && text[0] == '/' {
			whole = "http://path" + text
		}
		u, err := load.ParseURL(whole)
		switch {
		case err != nil:
			return server, nil, mistake("%q in the list of URLs: %w", text, err)
		case whole == text && !u.SameServer(server):
			return server, nil, mistake("%q in the list of URLs is not at the server of %s: one server is loaded", text,
				o.URL)
		}
		paths = append(paths, u.Path)
	}
	if len(paths) == 0 {
		paths = []string{server.Path}
	}
	if o.Socket != "" {
		server = server.WithSocket(o.Socket)
	}
	return server, paths, nil
}
