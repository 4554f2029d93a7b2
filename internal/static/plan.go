package static

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// CachedPath is a path of a view, with what one loop knows of it. It belongs to the PlanServer that serves it.
type CachedPath struct {
	site  *Site
	path  string // decoded, without dot segments; ends with a slash for a directory
	entry *entry // what was seen there last, without a reference: it may be a shell
}

// NewCachedPath returns a decoded path without dot segments, which begins with a slash.
func NewCachedPath(view *Site, path string) *CachedPath { return &CachedPath{site: view, path: path} }

// Candidate is one of the paths where the answer to a request may be.
type Candidate struct {
	*CachedPath
	// Edit is of the head of the answer, if this is it. nil: none.
	Edit *conn.Edit
	// Derived marks a candidate whose path is made from the request's, such as $path.html. A directory named without
	// its slash is redirected to only if it is the request's own path, and no derived candidate is a file.
	Derived bool
	// DirectoryOnly has only a directory count, whose slash is missing: it is redirected to at once.
	DirectoryOnly bool
	// Fallback marks the last candidate as one that is only for a GET or HEAD whose Accept names HTML.
	Fallback bool
}

// Plan is how the answer to a request for one path is looked for: it is the first of the candidates that leads to
// something, else an error, with its page. A candidate that leads to nothing is 404. Any other error is the answer
// where it is met.
type Plan struct {
	Path       string              // of the request, decoded: plans of the same path of the same site are equal
	Candidates []Candidate         // at least one
	ErrorPages map[int]*CachedPath // what is sent with an error, by status
	Edit       *conn.Edit          // of the head of an error
	Hidden     bool                // the answer is 404, whatever is there
}

// Found is where a plan has led: the answer, which is not sent yet. The caller decides whether the client may have it,
// and calls PlanServer.Answer or Drop.
type Found struct {
	Candidate int    // its index in the plan
	entry     *entry // what is there; nil: there is a listing
	held      bool   // the entry is with a reference
	listing   *listResult
}

// PlanServer serves plans through the views of one root to one loop. It is not safe for use by two goroutines.
type PlanServer struct{ handler }

// PlanServer returns what serves plans to one loop, or thread.
func (s *Site) PlanServer() *PlanServer { return &PlanServer{*s.handler(0)} }

// Find looks for the answer. ok is false if the request has been answered already, with an error or a redirect, or has
// been put off. Each time that a request which was put off is served again, Find is to be called again.
func (p *PlanServer) Find(plan *Plan, req *http1.Request, buf []byte, out *conn.Output) (found Found, ok bool) {
	p.plan = plan
	out.Edit(plan.Edit)
	if req.Method > http1.MethodHEAD {
		p.other(req, buf, out)
		return found, false
	}
	if plan.Hidden {
		p.fail(req, buf, out, 404, "", reasonMissing)
		return found, false
	}
	now := out.Clock().Mono
	if p.root = p.site.root.Load(); out.Result() == nil && p.site.rootDue(p.root, now) && p.lookAtRoot(now, out) {
		return found, false
	}
	switch result := out.Result().(type) {
	case *listResult:
		if i := plan.candidateTo(result.path); i >= 0 {
			return Found{Candidate: i, listing: result}, true
		}
	case *searchResult:
		if len(result.entries) == 1 {
			p.keepPage(result)
		}
	}
	return p.search(req, buf, out)
}

// search visits the candidates, in order, until one leads to something.
func (p *PlanServer) search(req *http1.Request, buf []byte, out *conn.Output) (found Found, ok bool) {
	reason := ""
	var slashless *Candidate // a directory, which is redirected to unless another derived candidate is a file
	for i := 0; ; i++ {
		c := p.plan.next(i, req, buf, out)
		if slashless != nil && (c == nil || !c.Derived) {
			out.Edit(slashless.Edit)
			p.redirect(req, buf, out)
			return found, false
		}
		if c == nil {
			p.fail(req, buf, out, 404, "", cmp.Or(reason, reasonMissing))
			return found, false
		}
		e, held := p.visitCached(c.CachedPath, req, buf, out)
		if e == nil {
			p.putOff(req, buf, out)
			return found, false
		}
		switch directory := e.kind == kindRedirect; {
		case directory && c.Derived && !c.DirectoryOnly && c.path == p.plan.Path:
			// Only to the request's own path is a slash added: a directory /a.html/ is no answer to /a.
			slashless = cmp.Or(slashless, c)
		case directory != c.DirectoryOnly, e.status == 404:
			reason = cmp.Or(reason, e.reason)
		case directory, e.kind == kindError:
			if directory {
				out.Edit(c.Edit)
			}
			p.answer(e, req, buf, out)
			e.drop(held)
			return found, false
		default:
			return Found{Candidate: i, entry: e, held: held}, true
		}
		e.drop(held)
	}
}

// next returns the candidate of that index; nil: there is none, or this request may not have it. That the client's
// Accept decides of a fallback is said in the answer (RFC 9110 section 12.5.5), whether it is the fallback or not.
func (p *Plan) next(i int, req *http1.Request, buf []byte, out *conn.Output) *Candidate {
	if i == len(p.Candidates) {
		return nil
	}
	c := &p.Candidates[i]
	if c.Fallback {
		out.Add(varyAccept)
		if !acceptsHTML(req, buf) {
			return nil
		}
	}
	return c
}

var varyAccept = []byte("Vary: Accept\r\n")

// Answer sends what Find has found.
func (p *PlanServer) Answer(found Found, req *http1.Request, buf []byte, out *conn.Output) {
	c := &p.plan.Candidates[found.Candidate]
	out.Edit(c.Edit)
	p.view = c.site
	switch {
	case found.listing != nil:
		p.sendListing(found.listing, req, buf, out)
	case !p.answer(found.entry, req, buf, out): // given up since it was found
		c.entry = nil
		p.putOff(req, buf, out)
	}
	p.Drop(found)
}

// Drop gives up what Find has found, in place of Answer.
func (p *PlanServer) Drop(found Found) { found.entry.drop(found.held) }

// Fail answers with an error and the plan's page for it, or text if there is none, as conn.Output.Fail does. If the
// page has to be waited for the request is put off, and is to come to the same error when it is served again; not if
// now is set: then there is no page.
func (p *PlanServer) Fail(
	plan *Plan, req *http1.Request, buf []byte, out *conn.Output, status int, fields, reason string, now bool,
) {
	p.plan, p.hurried = plan, now
	out.Edit(plan.Edit)
	p.fail(req, buf, out, status, fields, reason)
	p.hurried = false
}

// candidateTo is the index of the candidate with that path; -1: there is none.
func (p *Plan) candidateTo(path string) int {
	return slices.IndexFunc(p.Candidates, func(c Candidate) bool { return c.path == path })
}

// visitCached finds out what a path leads to, as visit does, and remembers that.
func (h *handler) visitCached(p *CachedPath, req *http1.Request, buf []byte, out *conn.Output) (e *entry, held bool) {
	h.path = append(h.path[:0], p.path...)
	if e, held = h.visit(p.site, p.entry, req, buf, out); e != nil {
		p.keep(e, h.root)
	}
	return e, held
}

// visit finds out what h.path leads to in that view. known is what was seen there last. The entry is nil if it has to
// be waited for. held: it is with a reference.
func (h *handler) visit(
	s *Site, known *entry, req *http1.Request, buf []byte, out *conn.Output,
) (e *entry, held bool) {
	if result, ok := out.Result().(*searchResult); ok {
		if e = result.at(s, h.path); e != nil {
			return e, false
		}
	}
	if known != nil && (known.key.scope != s.scope(h.root) || !known.whole()) {
		known = nil
	}
	if known != nil && h.current(s, known, req, buf, out) {
		hit(known, out)
		return known, false
	}
	if cached := s.cache.get(s.scope(h.root), h.path); cached != nil {
		if h.current(s, cached, req, buf, out) {
			hit(cached, out)
			return cached, true
		}
		defer cached.Release()
		known = cached
	}
	e = h.lookHere(s, known, req, out)
	return e, e != nil
}

// current reports whether an entry is recent enough: as Site.current, or looked at since the request came, however
// often it was put off.
func (h *handler) current(s *Site, e *entry, req *http1.Request, buf []byte, out *conn.Output) bool {
	if s.current(e, out.Clock().Mono, req, buf, out) {
		return true
	}
	began := out.Began()
	return out.Deferred() > 0 && e.looked.Load() >= began &&
		(len(s.precompressed) == 0 || !req.Has(http1.FieldAcceptEncoding) || e.precompressedLooked.Load() >= began)
}

// keepPage remembers the error page that the request was put off for.
func (p *PlanServer) keepPage(result *searchResult) {
	for _, page := range p.plan.ErrorPages {
		if e := result.at(page.site, []byte(page.path)); e != nil {
			page.keep(e, p.root)
		}
	}
}

// keep remembers what the path leads to.
func (p *CachedPath) keep(e *entry, r *root) {
	if !e.transient && e.key.scope == p.site.scope(r) {
		p.entry = e
	}
}

// putOff has a worker search.
func (p *PlanServer) putOff(req *http1.Request, buf []byte, out *conn.Output) {
	j := newSearchJob(searchKey{site: p.site, path: p.plan.Path}, out)
	for _, c := range p.plan.Candidates {
		if c.Fallback {
			if !acceptsHTML(req, buf) {
				break
			}
			j.key.html = true
		}
		j.paths = append(j.paths, *c.CachedPath)
	}
	if page := p.plan.ErrorPages[404]; page != nil {
		j.paths = append(j.paths, *page)
	}
	out.Defer(j)
}

// searchJob is a search by a worker, which may wait. Its result is what was found.
type searchJob struct {
	key   searchKey
	paths []CachedPath
	mono  int64 // Clock.Mono when it was asked for
}

func newSearchJob(key searchKey, out *conn.Output, paths ...CachedPath) *searchJob {
	return &searchJob{key: key, paths: paths, mono: out.Clock().Mono}
}

// searchKey joins searches through the same paths.
type searchKey struct {
	site *Site
	path string // of the request
	html bool   // the fallback is among the paths
	page int    // the status whose page alone is looked for; 0: the candidates are
}

// Key joins searches through the same paths.
func (j *searchJob) Key() any { return j.key }

// Class is that of files, or of those that are compressed, by the first path.
func (j *searchJob) Class() conn.JobClass {
	if len(j.paths) == 0 {
		return conn.JobFile
	}
	return j.paths[0].site.jobClass(j.paths[0].path)
}

// Run looks at one path after the other, up to the first that is the answer, and keeps the entries in the cache.
func (j *searchJob) Run(conn.Demand) conn.Result {
	for tries := 1; ; tries++ {
		result, r, missing := j.search()
		if missing && tries < jobRetries {
			// What is missing from a root that has been replaced is not missing.
			if j.key.site.checkRoot(); j.key.site.root.Load() != r {
				result.Release()
				continue
			}
		}
		for _, e := range result.entries {
			j.key.site.cache.put(e, r)
		}
		return result
	}
}

// search looks once. r is the root in which it looked. missing: one of the paths led to nothing.
func (j *searchJob) search() (result *searchResult, r *root, missing bool) {
	r = j.key.site.acquire()
	defer r.release()
	result = newSearchResult()
	for i := range j.paths {
		p := &j.paths[i]
		e := p.site.lookIn(r, []byte(p.path), j.mono)
		result.entries = append(result.entries, e)
		missing = missing || e.status == 404
		if e.status != 404 && e.kind != kindRedirect {
			break
		}
	}
	return result, r, missing
}

// searchResult is the conn.Result of a searchJob, and of a listJob that has failed.
type searchResult struct {
	refs    atomic.Int32
	entries []*entry
}

func newSearchResult(entries ...*entry) *searchResult {
	r := &searchResult{entries: entries}
	r.refs.Store(1)
	return r
}

// Retain adds a reference.
func (r *searchResult) Retain() { r.refs.Add(1) }

// Release drops a reference. The last one gives up the entries.
func (r *searchResult) Release() {
	if r.refs.Add(-1) > 0 {
		return
	}
	for _, e := range r.entries {
		e.Release()
	}
}

// at is what was found at a path of the view; nil: it was not looked at.
func (r *searchResult) at(s *Site, path []byte) *entry {
	for _, e := range r.entries {
		if e.key.view == s.view && e.key.path == string(path) {
			return e
		}
	}
	return nil
}

// acceptsHTML reports whether the client names HTML, or XHTML, among what it accepts: for a page, and for nothing that
// a page loads.
func acceptsHTML(req *http1.Request, buf []byte) bool {
	html, xhtml := http1.AcceptsPages(req.Get(http1.FieldAccept, buf))
	return html || xhtml
}
