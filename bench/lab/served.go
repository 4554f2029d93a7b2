package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/load"
	"github.com/evhttpd/evhttpd/bench/server"
	"github.com/evhttpd/evhttpd/bench/text"
)

const (
	smallFile = "small.html"
	smallSize = 1 << 10 // bytes
)

// small is a request for the small file.
var small = load.Target{Path: "/" + smallFile, Body: smallBody()}

func smallBody() []byte {
	body := make([]byte, smallSize)
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	return body
}

// makeRoot makes a folder with the small file in it.
func makeRoot() (root string, err error) {
	if root, err = os.MkdirTemp("", "evhttpd-lab-"); err != nil {
		return "", err
	}
	file := filepath.Join(root, smallFile)
	// What changed within the last 2 s is not cached: an hour ago. Another user's nginx is to read it.
	err = errors.Join(os.Chmod(root, 0o755), os.WriteFile(file, small.Body, 0o644),
		os.Chtimes(file, time.Time{}, time.Now().Add(-time.Hour)))
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(root))
	}
	return root, nil
}

// serving makes the folder, pins this process for a server of one loop, and calls measure with both.
func (s *session) serving(measure func(root string, cpus experiment.CPUs) error) (err error) {
	cpus, undo := s.Pin(1)
	defer undo()
	root, err := makeRoot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	return measure(root, cpus)
}

// start starts an evhttpd that tells its counters.
func (s *session) start(ctx context.Context, cpus experiment.CPUs, args ...string) (*server.Server, error) {
	return server.Start(ctx, server.Options{Binary: s.Binary, Args: args, CPUs: cpus.Server, Counters: true})
}

// loaded puts a load on a server that tells its counters. Of the load's first role it returns the answers a second
// (rate), p50 and p99 in µs, and of each answer the server's CPU time in µs (cpu) and its calls and waits; and the
// share of its CPU that the client used (client). What is not known is left out.
func (s *session) loaded(ctx context.Context, child *server.Server, o load.Options) (map[string]float64, *load.Result,
	error) {
	probe := server.Watch(child)
	o.Duration, o.OnBegin, o.OnEnd = s.Duration, probe.Begin, probe.End
	result, err := load.Run(ctx, o)
	if err = errors.Join(err, probe.Err()); err != nil {
		return nil, nil, err
	}
	role := &result.Roles[0]
	rate := result.Rate(&role.Counts)
	values := probe.PerRequest(rate)
	if cpu, ok := values[server.CPU]; ok {
		values[server.CPU] = cpu / 1e3
	}
	values["rate"] = rate
	if role.Latency.Count > 0 {
		values["p50"], values["p99"] = micros(role.Latency.P50), micros(role.Latency.P99)
	}
	if len(result.Loops) > 0 && result.Loops[0].Known {
		values["client"] = result.Loops[0].Share
	}
	return values, result, nil
}

// noteFailures notes what failed in one of the measurements of that name.
func (s *session) noteFailures(name string, role *load.RoleResult) {
	if role.Failed() > 0 {
		s.Note("%s: %s in one of the measurements, the first: %s", name, text.Count(int(role.Failed()), "failure"),
			firstFailure(role))
	}
}

// failures is an error if anything but waiting went wrong.
func failures(r *load.Result) error {
	var errs []error
	for i := range r.Roles {
		role := &r.Roles[i]
		for f, n := range role.Failures {
			if n > 0 {
				errs = append(errs, fmt.Errorf("role %s: %d × %v, the first: %s", role.Name, n, load.Failure(f),
					role.First[f]))
			}
		}
	}
	return errors.Join(errs...)
}

// firstFailure is the first failure that is described.
func firstFailure(r *load.RoleResult) string {
	return cmp.Or(append(r.First[:], "of which nothing is known")...)
}

func micros(d time.Duration) float64 { return d.Seconds() * 1e6 }
func millis(d time.Duration) float64 { return d.Seconds() * 1e3 }

// variants are the models that can run here, or those of Options.Models, with each trigger that they have.
func (s *session) variants(ctx context.Context) (all []server.Variant, err error) {
	models, err := server.AskModels(ctx, s.Binary)
	if err != nil {
		return nil, err
	}
	return pickVariants(models, s.Models)
}

// pickVariants leaves those of the named models; without names all.
func pickVariants(models *server.Models, names []string) ([]server.Variant, error) {
	if err := models.Check(names); err != nil {
		return nil, experiment.Mistake("lab", "%w", err)
	}
	return slices.DeleteFunc(models.Variants(), func(v server.Variant) bool {
		return len(names) > 0 && !slices.Contains(names, v.Model)
	}), nil
}
