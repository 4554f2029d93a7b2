package site

import (
	"slices"

	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/mediatype"
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
	effect   *effect   // of the rules that match the path
	redirect *redirect // nil: none
	location []byte    // of redirect, without the query
	plan     *static.Plan
	guards   [][]*guard.Guard // for each candidate of the plan, what is asked before it is the answer
	status   int              // an error instead; 0: none
	reason   string
}

// route returns the route of a path as it was sent.
func (l *loopSite) route(sent []byte) *route {
	if r := l.routes[string(sent)]; r != nil {
		return r
	}
	decoded, bad := http1.AppendPath(l.path[:0], sent)
	if l.path = decoded; bad.Status != 0 {
		return &route{effect: &effect{}, plan: &static.Plan{ErrorPages: l.pages}, status: bad.Status, reason: bad.Reason()}
	}
	r, err := l.newRoute(string(decoded))
	if err != nil {
		return &route{effect: &effect{}, plan: &static.Plan{ErrorPages: l.pages}, status: 500, reason: err.Error()}
	}
	if len(sent) <= routePath {
		remember(l.routes, l.max, string(sent), r)
	}
	return r
}

// newRoute works out the route of a decoded path.
func (l *loopSite) newRoute(path string) (r *route, err error) {
	r = &route{}
	matching := l.rules.matching(path)
	if r.effect, err = l.rules.effect(matching); err != nil {
		return nil, err
	}
	r.plan = &static.Plan{Path: path, ErrorPages: l.pages, Edit: r.effect.edit, Hidden: r.effect.view.Hides([]byte(path))}
	for _, d := range l.redirects {
		if location, ok := d.location(path); ok {
			r.redirect, r.location = d, location
			return r, nil
		}
	}
	if r.plan.Hidden {
		return r, nil
	}
	var tried []string
	for _, t := range l.tries {
		file, directory, ok := t.of(path)
		if !ok || !directory && slices.Contains(tried, file) {
			continue
		}
		if !directory {
			tried = append(tried, file)
		}
		if !t.derived {
			if err = l.addTarget(r, matching, file, false); err != nil {
				return nil, err
			}
			continue
		}
		effect, view, err := l.rules.derived(matching, file)
		if err != nil {
			return nil, err
		}
		if file != path && view.Hides([]byte(file)) {
			continue
		}
		l.add(r, file, static.Candidate{
			CachedPath: static.NewCachedPath(view, file), Edit: effect.edit, Derived: true, DirectoryOnly: directory,
		})
	}
	if l.fallback != "" && !mediatype.OfPart(l.files.TypeOf(path)) {
		err = l.addTarget(r, matching, l.fallback, true)
	}
	return r, err
}

// add adds a candidate to the plan of a route.
func (l *loopSite) add(r *route, file string, c static.Candidate) {
	r.plan.Candidates = append(r.plan.Candidates, c)
	r.guards = append(r.guards, l.guard(r, file))
}

// addTarget adds a file of the site that has nothing to do with the request's path. matching are the rules that match that path.
func (l *loopSite) addTarget(r *route, matching ruleSet, file string, fallback bool) error {
	t, err := l.target(file)
	if err == nil {
		edit := l.rules.editOfOther(matching, t.matching)
		l.add(r, file, static.Candidate{CachedPath: t.CachedPath, Edit: edit, Fallback: fallback})
	}
	return err
}

// guard is what is asked before a file is the answer, if other rules say who may have it than say so of the request's path.
// A file that is protected is so by whatever path it is reached, and the index file of a directory beside the directory.
// What CORS says is a matter of the request's path alone.
func (l *loopSite) guard(request *route, file string) (asked []*guard.Guard) {
	for _, path := range append(l.rules.indexes(file), file) {
		if own := l.rules.guard(l.rules.exactly(path)); asksMore(own, request.effect.guard) {
			asked = append(asked, &guard.Guard{Networks: own.Networks, Realm: own.Realm})
		}
	}
	return asked
}

// target is a path of the configuration: of the fallback, an error page or a file that is tried.
type target struct {
	*static.CachedPath
	matching ruleSet // the rules that match the path
}

// target returns the target of a path of the configuration. All routes of a loop share it.
func (l *loopSite) target(path string) (*target, error) {
	if t := l.targets[path]; t != nil {
		return t, nil
	}
	matching := l.rules.matching(path)
	effect, err := l.rules.effect(matching)
	if err != nil {
		return nil, err
	}
	t := &target{CachedPath: static.NewCachedPath(effect.view, path), matching: matching}
	l.targets[path] = t
	return t, nil
}
