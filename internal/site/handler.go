package site

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/static"
)

// handler serves all sites to one loop, or one thread. It is not safe for use by two goroutines.
type handler struct {
	router *Router
	sites  []conn.Handler // of static
}

func newHandler(r *Router, files func(*static.Site) conn.Handler) *handler {
	h := &handler{router: r}
	for _, s := range r.sites {
		h.sites = append(h.sites, files(s.files))
	}
	return h
}

// Serve answers a request. It is called again, with out.Result, when a step has put it off:
// what must count once (a rate) counts when that is nil.
func (h *handler) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	// 1. Who the client is (trusted_proxies, X-Forwarded-For).
	// 2. How often it may ask (limits.requests_per_client): 429.
	i := h.router.hosts.find(req.Host.In(buf))
	if i < 0 {
		out.Fail(421, "", "no site has this host (RFC 9110 section 15.5.20)")
		return
	}
	h.serve(i, req, buf, out)
}

// serve answers a request to the site of that index.
func (h *handler) serve(i int, req *http1.Request, buf []byte, out *conn.Output) {
	// 3. The rules of the decoded path, and the fields that they set (out.Edit).
	// 4. Who may ask (allow, deny): 403.
	// 5. CORS: a preflight is answered, else its fields are added (out.Add).
	// 6. Authentication: 401.
	// 7. Redirects.
	// 8. The files that are tried, the fallback and the error pages: static's.
	h.sites[i].Serve(req, buf, out)
}

// fail answers with an error: the site's page for that status, else text as out.Fail. Every
// step of serve answers its errors so.
func (h *handler) fail(req *http1.Request, buf []byte, out *conn.Output, status int, fields, reason string) {
	out.Fail(status, fields, reason)
}
