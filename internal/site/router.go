package site

import (
	"fmt"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/static"
)

// Options are all sites and what concerns all of them. They are not changed after New.
type Options struct {
	Sites    []Site           // at least one; the first whose hosts match answers
	Cache    *static.Cache    // shared by all sites
	Valid    time.Duration    // as in static.Options
	Ranges   int              // as in static.Options
	Proxies  conn.Networks    // the proxies whose X-Forwarded-For says which client asks
	Limiter  *guard.Limiter   // limits the requests of a client to all sites; nil: they are not limited
	Verifier *guard.Verifier  // compares the passwords of all sites; nil only if no rule asks for a password
	Tell     static.Tell      // is told what an operator can mend
	Now      func() time.Time // as in static.Options
	// Opening is told of each root before it is opened, which may block; nil: nobody is told.
	Opening func(root string)
}

// Router answers for all sites. It is safe for use by any number of goroutines. Each handler that it makes is for one
// loop.
type Router struct {
	cache     *static.Cache
	hosts     *hosts
	sites     []*openSite
	proxies   conn.Networks
	limiter   *guard.Limiter
	passwords *guard.PasswordFiles
}

// New opens the sites. Its errors name the site and what is wrong with it.
func New(opts Options) (*Router, error) {
	r := &Router{
		cache: opts.Cache, hosts: newHosts(opts.Sites), proxies: opts.Proxies,
		limiter: opts.Limiter, passwords: guard.NewPasswordFiles(opts.Verifier, opts.Tell.Fail),
	}
	for i, s := range opts.Sites {
		if opts.Opening != nil {
			opts.Opening(s.Root)
		}
		open, err := newOpenSite(s, &opts, r.passwords)
		if err != nil {
			r.Close()
			if len(opts.Sites) > 1 {
				err = fmt.Errorf("sites[%d]: %w", i, err)
			}
			return nil, err
		}
		r.sites = append(r.sites, open)
	}
	return r, nil
}

// Cache is the cache that all sites share.
func (r *Router) Cache() *static.Cache { return r.cache }

// Reread reads the files of passwords again, whether they have changed or not. It may block.
func (r *Router) Reread() { r.passwords.Reread() }

// Close gives up all roots, as static.Site.Close does.
func (r *Router) Close() {
	for _, s := range r.sites {
		s.files.Close()
	}
}

// Handler returns the handler of one loop.
func (r *Router) Handler() conn.Handler { return r.handler(static.IndexMax, routesMax) }

// ThreadHandler returns the handler of one of many threads, which remembers little.
func (r *Router) ThreadHandler() conn.Handler { return r.handler(0, threadRoutesMax) }

// handler returns a handler that remembers so many paths, and routes, of all sites together. If there is nothing to be
// done beside serving files, it is static's own.
func (r *Router) handler(paths, routes int) conn.Handler {
	if r.plain() {
		return r.sites[0].files.Handler(paths)
	}
	n := len(r.sites)
	return &handler{
		router: r, paths: (paths + n - 1) / n, routes: max(routes/n, routesMin),
		known: make(map[string]int), sites: make([]*loopSite, n),
	}
}

// plain reports whether every request is answered by the files of one site, and by nothing else. A step that is added
// to handler.Serve for all sites has a part in this condition.
func (r *Router) plain() bool {
	return len(r.sites) == 1 && r.hosts.anything == 0 && r.sites[0].plain && r.limiter == nil && len(r.proxies) == 0
}
