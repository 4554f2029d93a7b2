package site

import (
	"fmt"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/pattern"
	"github.com/evhttpd/evhttpd/internal/static"
)

// Options are all sites and what concerns all of them. They are not changed after New.
type Options struct {
	Sites    []Site           // at least one; the first whose hosts match answers
	Cache    *static.Cache    // shared by all sites
	Valid    time.Duration    // how stale an answer may be, as for static.Options
	Ranges   int              // a request may ask for, as for static.Options
	Proxies  conn.Networks    // whose X-Forwarded-For says who the client is
	Limiter  *guard.Limiter   // of each client's requests, to all sites; nil: none
	Verifier *guard.Verifier  // compares the passwords of all sites; nil only if no rule asks for one
	Tell     static.Tell      // of what an operator can mend
	Now      func() time.Time // as for static.Options
}

// Site is one site: its hosts, its root, and how its paths are answered. Paths are decoded ones. The yaml tag of a field is
// its key in the configuration, which is read by internal/config.
type Site struct {
	Hosts             []string          `yaml:"hosts"` // lower case: exact, *.example.org, or * for any and none
	Root              string            `yaml:"root"`
	Index             []string          `yaml:"index"`
	Listing           bool              `yaml:"listing"`
	Hide              []string          `yaml:"hide"`
	Links             static.Links      `yaml:"symlinks"`
	ETag              static.ETag       `yaml:"etag"`
	Types             map[string]string `yaml:"types"` // .ext: media type
	Precompressed     []string          `yaml:"precompressed"`
	Compress          []string          `yaml:"compress"`
	TryFiles          []string          `yaml:"try_files"`   // $path, $path with an ending, or a path of the site; none: $path
	Fallback          string            `yaml:"fallback"`    // for a GET or HEAD that accepts HTML by name; empty: none
	ErrorPages        map[int]string    `yaml:"error_pages"` // paths of the site, by status
	Redirects         []Redirect        `yaml:"redirects"`   // the first that matches is made
	RelativeRedirects bool              `yaml:"relative_redirects"`
	Rules             []Rule            `yaml:"paths"` // all that match apply, in order, the later winning key by key
}

// Router answers for all sites. It is safe for use by any number of goroutines;
// the handlers that it makes are each one loop's.
type Router struct {
	cache     *static.Cache
	hosts     *hosts
	sites     []*host
	proxies   conn.Networks // say who the client is; none: the peer is
	limiter   *guard.Limiter
	passwords *guard.PasswordFiles
}

// host is one site, open.
type host struct {
	options   Site
	files     *static.Site
	rules     []*pattern.Pattern // of options.Rules
	accesses  *accesses
	redirects []*redirect
	tries     []try
	fallback  string
	pages     map[int]string

	mu    sync.Mutex
	sets  map[string]*set       // by which rules match
	edits map[string]*conn.Edit // of answers that are another path's file
}

// New opens the sites. Its errors name the site and what is wrong with it.
func New(opts Options) (*Router, error) {
	r := &Router{
		cache: opts.Cache, hosts: newHosts(opts.Sites), proxies: opts.Proxies,
		limiter: opts.Limiter, passwords: guard.NewPasswordFiles(opts.Verifier, opts.Tell.Fail),
	}
	for i, s := range opts.Sites {
		h, err := newHost(s, &opts, r.passwords)
		if err != nil {
			r.Close()
			if len(opts.Sites) > 1 {
				err = fmt.Errorf("sites[%d]: %w", i, err)
			}
			return nil, err
		}
		r.sites = append(r.sites, h)
	}
	return r, nil
}

// newHost opens a site.
func newHost(site Site, opts *Options, passwords *guard.PasswordFiles) (*host, error) {
	s := &host{options: site}
	o := static.Options{
		Root: site.Root, Index: site.Index, Listing: site.Listing, Hide: site.Hide, Links: site.Links, ETag: site.ETag, Types: site.Types,
		Precompressed: site.Precompressed, Compress: site.Compress, RelativeRedirects: site.RelativeRedirects,
		Ranges: opts.Ranges, Valid: opts.Valid, Tell: opts.Tell, Now: opts.Now,
	}
	for i, r := range site.Rules {
		p, err := pattern.New(r.Match)
		if err != nil {
			return nil, fmt.Errorf("paths[%d].match: %w", i, err)
		}
		s.rules = append(s.rules, p)
		if r.Hide != nil || r.guards() {
			o.Paths = append(o.Paths, static.PathRule{Match: p, Hide: r.Hide, Guards: r.guards()})
		}
	}
	var err error
	if s.files, err = static.New(o, opts.Cache); err != nil {
		return nil, err
	}
	if err := s.newPaths(passwords); err != nil {
		s.files.Close()
		return nil, err
	}
	return s, nil
}

// newPaths checks what the options say of paths.
func (s *host) newPaths(passwords *guard.PasswordFiles) (err error) {
	if err := s.newRules(passwords); err != nil {
		return err
	}
	for i, r := range s.options.Redirects {
		d, err := newRedirect(r)
		if err != nil {
			return fmt.Errorf("redirects[%d].%w", i, err)
		}
		s.redirects = append(s.redirects, d)
	}
	s.tries = []try{{derived: true}}
	if len(s.options.TryFiles) > 0 {
		s.tries = nil
	}
	for _, text := range s.options.TryFiles {
		t, err := newTry(text)
		if err != nil {
			return fmt.Errorf("try_files: %w", err)
		}
		s.tries = append(s.tries, t)
	}
	if s.options.Fallback != "" {
		s.fallback = cleaned(s.options.Fallback)
	}
	if err := CheckFallback(s.options.Fallback); err != nil {
		return fmt.Errorf("fallback: %w", err)
	}
	s.pages = make(map[int]string)
	for status, text := range s.options.ErrorPages {
		if err := CheckPath(text); err != nil {
			return fmt.Errorf("error_pages: %d: %w", status, err)
		}
		s.pages[status] = cleaned(text)
	}
	return nil
}

// plain reports whether the site is its files and nothing else: its handler is static's own.
func (s *host) plain() bool {
	o := &s.options
	return len(o.TryFiles)+len(o.ErrorPages)+len(o.Redirects)+len(o.Rules) == 0 && o.Fallback == ""
}

// Cache is the cache that all sites share.
func (r *Router) Cache() *static.Cache { return r.cache }

// Reread reads the files of passwords again, whatever they say of themselves. It may block.
func (r *Router) Reread() { r.passwords.Reread() }

// Close gives up all roots, as static.Site.Close does.
func (r *Router) Close() {
	for _, s := range r.sites {
		s.files.Close()
	}
}

// Handler returns the handler of one loop. If there is nothing to be done beside
// serving files, that is the one of static itself.
func (r *Router) Handler() conn.Handler {
	if r.plain() {
		return r.sites[0].files.Handler()
	}
	return newHandler(r, routesMax, func(files *static.Site) conn.Handler { return files.PartHandler(len(r.sites)) })
}

// ThreadHandler returns the handler of one of many threads, which remembers little.
func (r *Router) ThreadHandler() conn.Handler {
	if r.plain() {
		return r.sites[0].files.ThreadHandler()
	}
	return newHandler(r, threadRoutesMax, (*static.Site).ThreadHandler)
}

// plain reports whether every request is answered by the files of one site, and by nothing else.
// Whoever adds a step to handler.Serve that all sites share adds to this.
func (r *Router) plain() bool {
	return len(r.sites) == 1 && r.hosts.anything == 0 && r.sites[0].plain() && r.limiter == nil && len(r.proxies) == 0
}
