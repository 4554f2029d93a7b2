package site

import (
	"fmt"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/static"
)

// Options are all sites and what concerns all of them. They are not changed after New.
type Options struct {
	Sites []Site        // at least one; the first whose hosts match answers
	Cache *static.Cache // shared by all sites
}

// Site is one site: its hosts, its root, and how its paths are answered.
type Site struct {
	Hosts  []string       // exact, *.example.org, or * for any and none
	Static static.Options // of the root
	Rules  []Rule         // of paths; all that match apply, in order, the later winning key by key
}

// Rule is what differs for the paths that match. What is nil or empty says nothing.
type Rule struct {
	Match string // a pattern: * within a segment, ** across
}

// Router answers for all sites. It is safe for use by any number of goroutines;
// the handlers that it makes are each one loop's.
type Router struct {
	cache *static.Cache
	hosts *hosts
	sites []*host
}

// host is one site, open.
type host struct {
	options Site
	files   *static.Site
}

// New opens the sites. Its errors name the site and what is wrong with it.
func New(opts Options) (*Router, error) {
	r := &Router{cache: opts.Cache, hosts: newHosts(opts.Sites)}
	for i, s := range opts.Sites {
		files, err := static.New(s.Static, opts.Cache)
		if err != nil {
			r.Close()
			if len(opts.Sites) > 1 {
				err = fmt.Errorf("sites[%d]: %w", i, err)
			}
			return nil, err
		}
		r.sites = append(r.sites, &host{options: s, files: files})
	}
	return r, nil
}

// Cache is the cache that all sites share.
func (r *Router) Cache() *static.Cache { return r.cache }

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
	return newHandler(r, (*static.Site).Handler)
}

// ThreadHandler returns the handler of one of many threads, which remembers nothing.
func (r *Router) ThreadHandler() conn.Handler {
	if r.plain() {
		return r.sites[0].files.ThreadHandler()
	}
	return newHandler(r, (*static.Site).ThreadHandler)
}

// plain reports whether every request is answered by the files of one site, and by nothing else.
// Whoever adds a step to handler.serve that all sites share adds to this.
func (r *Router) plain() bool {
	s := r.sites[0]
	return r.hosts.anything == 0 && len(r.hosts.exact)+len(r.hosts.beneath) == 0 && len(r.sites) == 1 && len(s.options.Rules) == 0
}
