package site

import (
	"slices"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/static"
)

const (
	// routesMax bounds the routes that a loop remembers, of all sites together: some MiB.
	routesMax = 4096
	// threadRoutesMax is the same of each of many threads.
	threadRoutesMax = 64
	// routePath is the longest path, in bytes as it was sent, of which the route is remembered.
	routePath = 256
)

// route is all that follows from a request's path alone. A loop remembers it.
type route struct {
	set      *set
	redirect *redirect // nil: none
	location []byte    // of redirect, without the query
	plan     *static.Plan
	guards   [][]*guard.Guard // for each candidate of the plan, what is asked before it is the answer
	status   int              // an error instead; 0: none
	reason   string
}

// route returns the route of a path as it was sent.
func (l *local) route(sent []byte) *route {
	if r := l.routes[string(sent)]; r != nil {
		return r
	}
	decoded, bad := http1.AppendPath(l.path[:0], sent)
	if l.path = decoded; bad.Status != 0 {
		return &route{set: &set{view: l.host.files}, plan: &static.Plan{ErrorPages: l.pages}, status: bad.Status, reason: bad.Reason()}
	}
	r, err := l.newRoute(string(decoded))
	if err != nil {
		return &route{set: &set{view: l.host.files}, plan: &static.Plan{ErrorPages: l.pages}, status: 500, reason: err.Error()}
	}
	if len(sent) <= routePath {
		if len(l.routes) >= l.max {
			for other := range l.routes { // any one: a map's order is random
				delete(l.routes, other)
				break
			}
		}
		l.routes[string(sent)] = r
	}
	return r
}

// newRoute works out the route of a decoded path.
func (l *local) newRoute(path string) (r *route, err error) {
	s := l.host
	r = &route{}
	matching := s.matching(path)
	if r.set, err = s.set(matching); err != nil {
		return nil, err
	}
	r.plan = &static.Plan{Path: path, ErrorPages: l.pages, Edit: r.set.edit, Hidden: r.set.view.Hides([]byte(path))}
	for _, d := range s.redirects {
		if location, ok := d.location(path); ok {
			r.redirect, r.location = d, location
			return r, nil
		}
	}
	if r.plan.Hidden {
		return r, nil
	}
	var tried []string
	for _, t := range s.tries {
		file, directory, ok := t.of(path)
		if !ok || !directory && slices.Contains(tried, file) {
			continue
		}
		if !directory {
			tried = append(tried, file)
		}
		if !t.derived {
			if err = l.addPlace(r, matching, file, false); err != nil {
				return nil, err
			}
			continue
		}
		set, view, err := s.derived(matching, file)
		if err != nil {
			return nil, err
		}
		if file != path && view.Hides([]byte(file)) {
			continue
		}
		l.add(r, file, static.Candidate{
			CachedPath: static.NewCachedPath(view, file), Edit: set.edit, Derived: true, DirectoryOnly: directory,
		})
	}
	if s.fallback != "" && !s.files.Loads(path) {
		err = l.addPlace(r, matching, s.fallback, true)
	}
	return r, err
}

// add adds a candidate to the plan of a route.
func (l *local) add(r *route, file string, c static.Candidate) {
	r.plan.Candidates = append(r.plan.Candidates, c)
	r.guards = append(r.guards, l.guard(r, file))
}

// addPlace adds a file of the site that has nothing to do with the request's path. matching is which rules match that.
func (l *local) addPlace(r *route, matching, file string, fallback bool) error {
	p, err := l.place(file)
	if err == nil {
		edit := l.host.editElsewhere(matching, p.matching)
		l.add(r, file, static.Candidate{CachedPath: p.CachedPath, Edit: edit, Fallback: fallback})
	}
	return err
}

// derived is what holds for a file whose path is made of the request's: the rules of both, but what is hidden and
// where links may lead, which the file's own say, whatever the request's path is allowed.
func (s *host) derived(request, file string) (both *set, view *static.Site, err error) {
	own := s.matching(file)
	if both, err = s.set(either(request, own)); err != nil {
		return nil, nil, err
	}
	if own == request {
		return both, both.view, nil
	}
	of, err := s.set(own)
	if err != nil {
		return nil, nil, err
	}
	options, strict := both.view.ViewOptions(), of.view.ViewOptions()
	options.Hide, options.Links = strict.Hide, strict.Links
	view, err = both.view.View(options)
	return both, view, err
}

// guard is what is asked before a file is the answer, if other rules say who may have it than say so of the request's path.
// A file that is protected is so by whatever path it is reached, and the index file of a directory beside the directory.
// What CORS says is a matter of the request's path alone.
func (l *local) guard(request *route, file string) (asked []*guard.Guard) {
	for _, path := range append(l.host.indexes(file), file) {
		if a := l.host.accesses.of(l.host.exactly(path)); guards(a, request.set.access) {
			asked = append(asked, &guard.Guard{Networks: a.Networks, Realm: a.Realm})
		}
	}
	return asked
}

// place is a path of the configuration: of the fallback, an error page or a file that is tried.
type place struct {
	*static.CachedPath
	matching string // which rules match the path
}

// place returns the place of a path of the configuration. All routes of a loop share it.
func (l *local) place(path string) (*place, error) {
	if p := l.places[path]; p != nil {
		return p, nil
	}
	matching := l.host.matching(path)
	set, err := l.host.set(matching)
	if err != nil {
		return nil, err
	}
	p := &place{CachedPath: static.NewCachedPath(set.view, path), matching: matching}
	l.places[path] = p
	return p, nil
}
