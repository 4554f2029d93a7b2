package daemon

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/accesslog"
	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/site"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/workers"
)

// The values of etag: and symlinks:.
var (
	etags = map[string]static.ETag{"mtime": static.ETagMtime, "content": static.ETagContent, "off": static.ETagOff}
	links = map[string]static.Links{"beneath": static.LinksBeneath, "follow": static.LinksFollow, "deny": static.LinksDeny}
)

// doormen are what is remembered of clients. They outlast a reload that does not concern them.
type doormen struct {
	limiter  *guard.Limiter
	verifier *guard.Verifier
}

// newDoormen returns those of old that cfg does not change, and others in the place of the rest.
func newDoormen(cfg *config.Config, old *state) doormen {
	d := old.doormen
	if old.cfg == nil || cfg.Limits.RequestsPerClient != old.cfg.Limits.RequestsPerClient {
		d.limiter = guard.NewLimiter(guard.Rate(cfg.Limits.RequestsPerClient))
	}
	if old.cfg == nil || cfg.Workers != old.cfg.Workers {
		// As many as the pool does at a time, and half of the CPUs at most: files are served meanwhile.
		d.verifier = guard.NewVerifier(cpus()/2, workers.ClassShare(cfg.Workers))
	}
	return d
}

// openSites opens the configured roots, with a cache that they share and that keeps so many descriptors.
func openSites(cfg *config.Config, descriptors int, d doormen, tell static.Tell) (*site.Router, error) {
	opts := site.Options{
		Cache: static.NewCache(static.Limits{
			Memory:      cfg.Cache.Memory,
			File:        cfg.Cache.File,
			Descriptors: descriptors,
		}),
		Proxies:  conn.NewNetworks(cfg.TrustedProxies),
		Limiter:  d.limiter,
		Verifier: d.verifier,
		Tell:     tell,
	}
	for i := range cfg.Sites {
		opts.Sites = append(opts.Sites, siteOptions(cfg, &cfg.Sites[i], tell))
	}
	return site.New(opts)
}

// siteOptions is what the configuration says of one site.
func siteOptions(cfg *config.Config, s *config.Site, tell static.Tell) site.Site {
	o := site.Site{
		Hosts: s.Hosts,
		Static: static.Options{
			Root:              s.Root,
			Index:             s.Index,
			Listing:           s.Listing,
			Hide:              s.Hide,
			Links:             links[s.Symlinks],
			ETag:              etags[s.ETag],
			Ranges:            cfg.Limits.Ranges,
			Types:             s.Types,
			Precompressed:     s.Precompressed,
			Compress:          s.Compress,
			RelativeRedirects: s.RelativeRedirects,
			Valid:             cfg.Cache.Valid,
			Tell:              tell,
		},
		TryFiles:   s.TryFiles,
		Fallback:   s.Fallback,
		ErrorPages: s.ErrorPages,
	}
	for _, r := range s.Redirects {
		o.Redirects = append(o.Redirects, site.Redirect(r))
	}
	for i := range s.Paths {
		o.Rules = append(o.Rules, siteRule(&s.Paths[i]))
	}
	return o
}

// siteRule is what the configuration says of some paths of a site.
func siteRule(p *config.PathRule) site.Rule {
	r := site.Rule{Match: p.Match, Headers: p.Headers, Listing: p.Listing, Hide: p.Hide}
	r.Allow, r.Deny = p.Allow, p.Deny
	r.Auth, r.CORS = (*guard.Auth)(p.Auth), (*guard.CORS)(p.CORS)
	if tag, ok := etags[p.ETag]; ok {
		r.ETag = &tag
	}
	if follow, ok := links[p.Symlinks]; ok {
		r.Links = &follow
	}
	return r
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
	return absolute(cfg.Sites[0].Root) + ofHosts(&cfg.Sites[0])
}

// ofHosts names the hosts of the only site there is, if it does not answer for all.
func ofHosts(s *config.Site) string {
	for _, host := range s.Hosts {
		if host == "*" {
			return ""
		}
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
		line := fmt.Sprintf("%s -> %s", strings.Join(s.Hosts, ", "), absolute(s.Root))
		if s.Listing {
			line += ", listing on"
		}
		lines = append(lines, line)
	}
	return lines
}

// absolute is the whole path of a root.
func absolute(root string) string {
	if abs, err := filepath.Abs(root); err == nil {
		return abs
	}
	return root
}

// openAccessLog opens the access log. Lines that are lost are an event.
func openAccessLog(cfg config.AccessLog, events *zap.Logger) (*accesslog.Log, error) {
	format, err := accesslog.ParseFormat(cfg.Format)
	if err != nil {
		return nil, &config.UnusableError{Err: fmt.Errorf("access_log.format: %w", err)}
	}
	log, err := accesslog.Open(cfg.Output, accesslog.Options{
		Format: format,
		OnError: func(err error) {
			events.Error("access lines were lost", zap.String("access_log", cfg.Output), zap.Error(err))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return log, nil
}
