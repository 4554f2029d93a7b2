package site

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/static"
)

// routesMin is how many routes of a site are remembered, however many sites there are.
const routesMin = 16

// hostsMax bounds the hosts, as they were sent, of which a loop remembers the site.
const hostsMax = 256

// handler serves all sites to one loop, or one thread. It is not safe for use by two goroutines.
type handler struct {
	router *Router
	files  func(*static.Site) conn.Handler // makes static's handler of a plain site
	max    int                             // routes to be remembered, of each site
	known  map[string]int                  // the site of a host as it was sent
	sites  []*loopSite                     // nil: not asked for yet
}

// loopSite is one site, as one loop knows it.
type loopSite struct {
	*openSite
	handler conn.Handler       // static's, if the site is plain; nil: it is more than its files
	plans   *static.PlanServer // serves the plans of routes
	pages   map[int]*static.CachedPath
	targets map[string]*target
	routes  map[string]*route // by path as it was sent
	max     int
	path    []byte // decoded
	head    []byte // that is put together for one answer
}

// newHandler returns a handler that remembers so many routes, and a few of each site.
func newHandler(r *Router, routes int, files func(*static.Site) conn.Handler) *handler {
	return &handler{
		router: r, files: files, max: max(routes/len(r.sites), routesMin),
		known: make(map[string]int), sites: make([]*loopSite, len(r.sites)),
	}
}

// site returns what this loop knows of the site of that index.
func (h *handler) site(i int) *loopSite {
	if h.sites[i] == nil {
		h.sites[i] = h.newSite(h.router.sites[i])
	}
	return h.sites[i]
}

func (h *handler) newSite(s *openSite) *loopSite {
	l := &loopSite{openSite: s, max: h.max}
	if s.plain {
		l.handler = h.files(s.files)
		return l
	}
	l.plans = s.files.PlanServer()
	l.targets, l.routes = make(map[string]*target), make(map[string]*route)
	l.pages = make(map[int]*static.CachedPath)
	for status, path := range s.pages {
		if t, err := l.target(path); err == nil { // else text is sent, and routes say why
			l.pages[status] = t.CachedPath
		}
	}
	return l
}

// remember adds to a map that has a bound. In a full one any other entry makes room.
func remember[V any](m map[string]V, bound int, key string, value V) {
	if len(m) >= bound {
		for other := range m { // a map's order is random
			delete(m, other)
			break
		}
	}
	m[key] = value
}

// Serve answers a request. It is called again, with out.Result, when a step has put it off:
// what must count once (a rate) counts when that is nil.
func (h *handler) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	guard.Forwarded(h.router.proxies, req, buf, out)
	// 2. How often it may ask (limits.requests_per_client): 429.
	if out.Deferred() == 0 && h.router.limiter.Check(out) {
		return
	}
	i := h.find(req.Host.In(buf))
	if i < 0 {
		out.Fail(421, "", "no site has this host (RFC 9110 section 15.5.20)")
		return
	}
	l := h.site(i)
	if l.handler != nil {
		l.handler.Serve(req, buf, out)
		return
	}
	l.serve(req, buf, out)
}

// find returns the index of a host's site; -1: there is none.
func (h *handler) find(host []byte) int {
	if i, ok := h.known[string(host)]; ok {
		return i
	}
	i := h.router.hosts.find(host)
	if len(host) <= hostMax+len(":65535") {
		remember(h.known, hostsMax, string(host), i)
	}
	return i
}

// serve answers a request to the site.
func (l *loopSite) serve(req *http1.Request, buf []byte, out *conn.Output) {
	sent := req.Path.In(buf)
	if len(sent) == 0 {
		sent = slash // RFC 9110 section 4.2.3, and OPTIONS *
	}
	// 3. The rules of the decoded path, and the fields that they set.
	r := l.route(sent)
	out.Edit(r.effect.edit)
	if r.status != 0 {
		l.fail(r, req, buf, out, r.status, "", r.reason)
		return
	}
	// 4. Who may ask (allow, deny): 403.
	// 5. CORS: its fields are added, and a preflight is answered.
	// 6. Authentication: 401.
	if l.refused(r, r.effect.guard, req, buf, out) {
		return
	}
	// 7. Redirects.
	if r.redirect != nil && req.Method <= http1.MethodPATCH && req.Method != http1.MethodOPTIONS {
		l.redirect(r, req, buf, out)
		return
	}
	// 8. The files that are tried, the fallback and the error pages.
	found, ok := l.plans.Find(r.plan, req, buf, out)
	if !ok {
		return
	}
	// 9. Who may have that file, if other rules than those of the request's path say so.
	for _, a := range r.guards[found.Candidate] {
		if l.refused(r, a, req, buf, out) {
			l.plans.Drop(found)
			return
		}
	}
	l.plans.Answer(found, req, buf, out)
}

var slash = []byte{'/'}

// fail answers with an error: the site's page for that status, else text as out.Fail. Every
// step answers its errors so. The request may be put off to read the page: it has to come to the same
// error again.
func (l *loopSite) fail(r *route, req *http1.Request, buf []byte, out *conn.Output, status int, fields, reason string) {
	l.plans.Fail(r.plan, req, buf, out, status, fields, reason, false)
}

// refused reports whether a request has been answered, or put off, by who says who may have something of the route.
func (l *loopSite) refused(r *route, g *guard.Guard, req *http1.Request, buf []byte, out *conn.Output) bool {
	if g == nil {
		return false
	}
	refusal, done := g.Check(req, buf, out)
	if refusal.Status == 0 {
		return done
	}
	// What is refused for its rate is not when it is asked for again: it does not wait for a page.
	now := refusal.Status != 401 && refusal.Status != 403
	l.plans.Fail(r.plan, req, buf, out, refusal.Status, refusal.Fields, refusal.Reason, now)
	return true
}

// redirect sends the client elsewhere.
func (l *loopSite) redirect(r *route, req *http1.Request, buf []byte, out *conn.Output) {
	b := r.redirect.appendTo(append(l.head[:0], "Location: "...), r.location, req.Query.In(buf), req.HasQuery)
	l.head = append(b, "\r\nContent-Length: 0\r\n"...)
	out.Head(r.redirect.status, l.head)
}
