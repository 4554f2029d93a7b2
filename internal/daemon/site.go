package daemon

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/quota"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/workers"
)

// gatekeepers are what is remembered of clients. They outlast a reload that does not concern them.
type gatekeepers struct {
	limiter  *guard.Limiter
	verifier *guard.Verifier
}

// verifyingPart is the part of the threads (io_model blocking) that passwords may take, those that wait for their turn
// among them.
const verifyingPart = 4

// newGatekeepers returns those of old that cfg does not change, and others in the place of the rest.
func newGatekeepers(cfg *config.Config, old *state) gatekeepers {
	d := old.gatekeepers
	if old.cfg == nil || cfg.Limits.RequestsPerClient != old.cfg.Limits.RequestsPerClient {
		d.limiter = guard.NewLimiter(cfg.Limits.RequestsPerClient)
	}
	if old.cfg == nil || cfg.Workers != old.cfg.Workers {
		// As many as the pool does at a time, and half of the CPUs at most: files are served meanwhile.
		d.verifier = guard.NewVerifier(cpus()/2, workers.ClassShare(cfg.Workers))
	}
	return d
}

// openSites opens the configured roots, with a cache that they share and that has so many descriptors kept.
func openSites(cfg *config.Config, kept int, d gatekeepers, tell static.Tell, a *grace.Attempt) (*site.Router, error) {
	return site.New(site.Options{
		Sites: cfg.Sites,
		Cache: static.NewCache(static.Limits{
			Memory:      cacheMemory(cfg),
			File:        cfg.Cache.File,
			Descriptors: kept,
			Listings:    quota.Share(math.MaxInt64, quota.Memory(), 8),
		}),
		Valid:    cfg.Cache.Valid,
		Ranges:   cfg.Limits.Ranges,
		Proxies:  conn.NewNetworks(cfg.TrustedProxies),
		Limiter:  d.limiter,
		Verifier: d.verifier,
		Tell:     tell,
		Opening:  func(root string) { a.WaitFor("the root " + root) },
	})
}

// sameSites reports whether the files are served in the same way.
func sameSites(a, b *config.Config) bool {
	return reflect.DeepEqual(a.Sites, b.Sites) && a.Cache == b.Cache && a.Limits.Ranges == b.Limits.Ranges &&
		slices.Equal(a.TrustedProxies, b.TrustedProxies) &&
		a.Limits.RequestsPerClient == b.Limits.RequestsPerClient && a.Workers == b.Workers
}

// served says what is served, in a few words: the root, or how many sites.
func served(cfg *config.Config) string {
	if len(cfg.Sites) > 1 {
		return counted(len(cfg.Sites), "site")
	}
	return config.Absolute(cfg.Sites[0].Root) + ofHosts(&cfg.Sites[0])
}

// ofHosts names the hosts of the only site there is, if it does not answer for all.
func ofHosts(s *site.Site) string {
	if slices.Contains(s.Hosts, "*") {
		return ""
	}
	return " for " + strings.Join(s.Hosts, ", ")
}

// sitesServed says of each of several sites what it serves, a line for each.
func sitesServed(cfg *config.Config) (lines []string) {
	if len(cfg.Sites) == 1 {
		return nil
	}
	for i := range cfg.Sites {
		s := &cfg.Sites[i]
		line := fmt.Sprintf("%s -> %s", strings.Join(s.Hosts, ", "), config.Absolute(s.Root))
		if s.Listing {
			line += ", listing on"
		}
		lines = append(lines, line)
	}
	return lines
}

// openAccessLog opens the access log. Lines that are lost are an event.
func (s *Server) openAccessLog(cfg config.AccessLog) (*accesslog.Log, error) {
	log, err := accesslog.Open(cfg.Output, accesslog.Options{
		Format: cfg.Format,
		Lost:   &s.plane.lost,
		OnError: func(err error) {
			s.events.Error("access lines were lost", zap.String("access_log", cfg.Output), zap.Error(err))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return log, nil
}
