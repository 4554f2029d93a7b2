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
	// threadRoutesMax bounds the routes that each of many threads remembers.
	threadRoutesMax = 64
	// routePath is the length of the longest path whose route is remembered, in bytes as it was sent.
	routePath = 256
)

// route is all that follows from a request's path alone. A loop remembers it.
type route struct {
	effect   *effect          // what the rules that match the path say
	redirect *redirect        // nil: there is none
	location []byte           // where the redirect leads, without the query
	plan     *static.Plan     // the files that are tried, and the error pages
	guards   [][]*guard.Guard // for each candidate of the plan, the guards that are asked before it is the answer
	status   int              // of an error, which is the answer; 0: there is none
	reason   string           // of the error
}

// route returns the route of a path as it was sent.
func (l *loopSite) route(sent []byte) *route {
	if r := l.routes[string(sent)]; r != nil {
		return r
	}
	decoded, bad := http1.AppendPath(l.path[:0], sent)
	if l.path = decoded; bad.Status != 0 {
		return l.wrongRoute(bad.Status, bad.Reason())
	}
	r, err := l.newRoute(string(decoded))
	if err != nil {
		return l.wrongRoute(500, err.Error())
	}
	if len(sent) <= routePath {
		remember(l.routes, l.max, string(sent), r)
	}
	return r
}

// wrongRoute is the route of a path that has only an error as its answer.
func (l *loopSite) wrongRoute(status int, reason string) *route {
	return &route{effect: &effect{}, plan: &static.Plan{ErrorPages: l.pages}, status: status, reason: reason}
}

// newRoute works out the route of a decoded path.
func (l *loopSite) newRoute(path string) (r *route, err error) {
	r = &route{}
	matching := l.rules.matching(path)
	if r.effect, err = l.rules.effect(matching); err != nil {
		return nil, err
	}
	r.plan = &static.Plan{Path: path, ErrorPages: l.pages, Edit: r.effect.edit,
		Hidden: r.effect.view.Hides([]byte(path))}
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

// addTarget adds a file whose path does not depend on the request's path. matching are the rules that match the latter.
func (l *loopSite) addTarget(r *route, matching ruleSet, file string, fallback bool) error {
	t, err := l.target(file)
	if err == nil {
		edit := l.rules.editOfOther(matching, t.matching)
		l.add(r, file, static.Candidate{CachedPath: t.CachedPath, Edit: edit, Fallback: fallback})
	}
	return err
}

// guard returns the guards that are asked before a file is the answer. There are some if other rules say who may have
// the file than say so of the request's path: a file that is protected is so by whatever path it is reached, and an
// index file beside its directory. What CORS says is a matter of the request's path alone.
func (l *loopSite) guard(request *route, file string) (asked []*guard.Guard) {
	for _, path := range append(l.rules.indexes(file), file) {
		if own := l.rules.guard(l.rules.exactly(path)); asksMore(own, request.effect.guard) {
			asked = append(asked, &guard.Guard{Networks: own.Networks, Realm: own.Realm})
		}
	}
	return asked
}

// target is a path that the configuration names: of the fallback, an error page or a file that is tried.
type target struct {
	*static.CachedPath
	matching ruleSet // the rules that match the path
}

// target returns the target of a path that the configuration names. All routes of a loop share it.
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
