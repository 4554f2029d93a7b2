package site

import (
	"slices"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
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
	way      *static.Way
	status   int // an error instead; 0: none
	reason   string
}

// route returns the route of a path as it was sent.
func (l *local) route(sent []byte) *route {
	if r := l.routes[string(sent)]; r != nil {
		return r
	}
	decoded, bad := http1.AppendPath(l.path[:0], sent)
	if l.path = decoded; bad.Status != 0 {
		return &route{set: &set{view: l.host.files}, way: &static.Way{Pages: l.pages}, status: bad.Status, reason: bad.Reason()}
	}
	r, err := l.newRoute(string(decoded))
	if err != nil {
		return &route{set: &set{view: l.host.files}, way: &static.Way{Pages: l.pages}, status: 500, reason: err.Error()}
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
	w := &static.Way{Path: path, Pages: l.pages, Edit: r.set.edit, Hidden: r.set.view.Hides([]byte(path))}
	r.way = w
	for _, d := range s.redirects {
		if location, ok := d.location(path); ok {
			r.redirect, r.location = d, location
			return r, nil
		}
	}
	if w.Hidden {
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
		step := static.Step{Derived: t.derived, Directory: directory}
		if t.derived {
			set, view, err := s.derived(matching, file)
			if err != nil {
				return nil, err
			}
			if file != path && view.Hides([]byte(file)) {
				continue
			}
			step.Spot, step.Edit, step.Guard = static.NewSpot(view, file), set.edit, l.guard(r, file)
		} else if err := l.elsewhere(&step, r, matching, file); err != nil {
			return nil, err
		}
		w.Steps = append(w.Steps, step)
	}
	if s.fallback != "" && !s.files.Loads(path) {
		w.Fallback = &static.Step{}
		err = l.elsewhere(w.Fallback, r, matching, s.fallback)
	}
	return r, err
}

// elsewhere makes the step to a file of the site that has nothing to do with the request's path.
func (l *local) elsewhere(step *static.Step, request *route, matching, file string) error {
	p, err := l.spot(file)
	if err != nil {
		return err
	}
	step.Spot, step.Edit, step.Guard = p.Spot, l.host.editElsewhere(matching, p.matching), l.guard(request, file)
	return nil
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

// guard is what is asked before a file is the answer, if other rules say who may have it
// than of the request's path: a file that is protected is so by whatever path it is reached, and a directory's
// index file beside the directory. nil: there is nothing to be asked. What CORS says is the request's path's alone.
func (l *local) guard(request *route, file string) func(*http1.Request, []byte, *conn.Output) bool {
	var asked []*access
	for _, path := range append(l.host.indexes(file), file) {
		if a := l.host.accesses.of(l.host.exactly(path)); a.guards(request.set.access) {
			asked = append(asked, &access{networks: a.networks, auth: a.auth})
		}
	}
	if len(asked) == 0 {
		return nil
	}
	return func(req *http1.Request, buf []byte, out *conn.Output) bool {
		return slices.ContainsFunc(asked, func(a *access) bool { return l.refused(request, a, req, buf, out) })
	}
}

// place is a path of the configuration: of the fallback, an error page or a file that is tried.
type place struct {
	*static.Spot
	matching string
}

// spot returns the place of a path of the configuration. All routes of a loop share it.
func (l *local) spot(path string) (*place, error) {
	if p := l.places[path]; p != nil {
		return p, nil
	}
	matching := l.host.matching(path)
	set, err := l.host.set(matching)
	if err != nil {
		return nil, err
	}
	p := &place{Spot: static.NewSpot(set.view, path), matching: matching}
	l.places[path] = p
	return p, nil
}
