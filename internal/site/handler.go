package site

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/guard"
	"github.com/evhttpd/evhttpd/internal/static"
)

// routesMin is the number of routes of a site that are remembered at least, however many sites there are.
const routesMin = 16

// hostsMax bounds the values of Host, as they were sent, whose site a loop remembers.
const hostsMax = 256

// handler serves all sites to one loop, or one thread. It is not safe for use by two goroutines.
type handler struct {
	router *Router
	paths  int            // the bound of the paths in the index of each plain site
	routes int            // the bound of the remembered routes of each other site
	known  map[string]int // the site's index, by the value of Host as it was sent
	sites  []*loopSite    // an element is nil until the site is asked for
}

// loopSite is one site, as one loop knows it.
type loopSite struct {
	*openSite
	handler conn.Handler               // static's handler of a plain site; nil: the site is more than its files
	plans   *static.PlanServer         // serves the plans of routes
	pages   map[int]*static.CachedPath // the error pages, by status
	targets map[string]*target         // by path
	routes  map[string]*route          // by path as it was sent
	max     int                        // the bound of routes
	path    []byte                     // scratch for a decoded path
	head    []byte                     // scratch for the head of a redirect
}

// site returns what this loop knows of the site of that index.
func (h *handler) site(i int) *loopSite {
	if h.sites[i] == nil {
		h.sites[i] = h.newSite(h.router.sites[i])
	}
	return h.sites[i]
}

func (h *handler) newSite(s *openSite) *loopSite {
	l := &loopSite{openSite: s, max: h.routes}
	if s.plain {
		l.handler = s.files.Handler(h.paths)
		return l
	}
	l.plans = s.files.PlanServer()
	l.targets, l.routes = make(map[string]*target), make(map[string]*route)
	l.pages = make(map[int]*static.CachedPath)
	for status, path := range s.pages {
		if t, err := l.target(path); err == nil { // without its page an error is sent as text
			l.pages[status] = t.CachedPath
		}
	}
	return l
}

// remember adds an entry to a map that has a bound. In a full map any one of the others makes room.
func remember[V any](m map[string]V, bound int, key string, value V) {
	if len(m) >= bound {
		for other := range m { // a map has a random order
			delete(m, other)
			break
		}
	}
	m[key] = value
}

// Serve answers a request in nine steps. It is called again when a step has put the request off (out.Deferred).
func (h *handler) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	// 1. Which client it is, if a proxy stands before the server.
	guard.Forwarded(h.router.proxies, req, buf, out)
	// 2. How often the client may ask (limits.requests_per_client): 429. A request counts once.
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

// find returns the index of the site that a Host names; -1: there is none.
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
		l.plans.Fail(r.plan, req, buf, out, r.status, "", r.reason, false)
		return
	}
	// 4. Which addresses may ask (allow, deny): 403.
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
	// 9. Who may have the file that was found, as far as other rules say so than those of the request's path.
	for _, g := range r.guards[found.Candidate] {
		if l.refused(r, g, req, buf, out) {
			l.plans.Drop(found)
			return
		}
	}
	l.plans.Answer(found, req, buf, out)
}

var slash = []byte{'/'}

// refused asks a guard, and reports whether that has answered the request or put it off.
func (l *loopSite) refused(r *route, g *guard.Guard, req *http1.Request, buf []byte, out *conn.Output) bool {
	if g == nil {
		return false
	}
	refusal, done := g.Check(req, buf, out)
	if refusal.Status == 0 {
		return done
	}
	// The request may be put off to read the error page, after which it has to come to the same refusal. A refusal
	// for a rate would not be repeated, so it is sent without the page if that has to be waited for.
	now := refusal.Status != 401 && refusal.Status != 403
	l.plans.Fail(r.plan, req, buf, out, refusal.Status, refusal.Fields, refusal.Reason, now)
	return true
}

// redirect answers with the redirect of the route.
func (l *loopSite) redirect(r *route, req *http1.Request, buf []byte, out *conn.Output) {
	b := r.redirect.appendTo(append(l.head[:0], "Location: "...), r.location, req.Query.In(buf), req.HasQuery)
	l.head = append(b, "\r\nContent-Length: 0\r\n"...)
	out.Head(r.redirect.status, l.head)
}
