package static

import (
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// Spot is a path of a view, and what one loop knows of it. It belongs to the Files that serves it.
type Spot struct {
	site  *Site
	path  string // decoded, without dot segments; ends with a slash for a directory
	entry *entry // seen there last; no reference: it may be a shell
}

// NewSpot returns the spot of a decoded path without dot segments, which begins with a slash.
func NewSpot(view *Site, path string) *Spot { return &Spot{site: view, path: path} }

// Step is one of the places where the answer to a request may be.
type Step struct {
	*Spot
	// Edit is of the head of the answer, if it is found here. nil: none.
	Edit *conn.Edit
	// Derived says that the path is made of the request's. If it is the request's, a directory whose
	// slash is missing is redirected to, if no other derived step is a file.
	Derived bool
	// Guard is asked before the file is the answer, nil: nobody is. It reports whether it has
	// answered instead, or put the request off; then it is asked again.
	Guard func(req *http1.Request, buf []byte, out *conn.Output) bool
	// Directory has only a directory count, whose slash is missing: it is redirected to at once.
	Directory bool
}

// Way is how the answer to a request for one path is looked for: the first of the steps that
// leads to something is it; then the fallback; then an error, with its page.
//
// What leads to nothing is 404. Any other error is the answer where it is met.
type Way struct {
	Path     string        // of the request, decoded: the same Ways of the same sites have the same
	Steps    []Step        // at least one
	Fallback *Step         // for a GET or HEAD that accepts HTML by name; nil: none
	Pages    map[int]*Spot // what is sent with an error, by status
	Edit     *conn.Edit    // of the head of an error
	Hidden   bool          // 404, whatever is there
}

// Files serves ways through the views of one root to one loop. It is not safe for use by two goroutines.
type Files struct{ handler }

// Files returns what serves ways to one loop, or thread.
func (s *Site) Files() *Files { return &Files{*s.handler(0)} }

// Serve answers a request by its way.
func (f *Files) Serve(w *Way, req *http1.Request, buf []byte, out *conn.Output) {
	f.way = w
	out.Edit(w.Edit)
	switch {
	case req.Method > http1.MethodHEAD:
		f.other(req, buf, out)
	case w.Hidden:
		f.fail(req, buf, out, 404, "", reasonMissing)
	default:
		f.walk(w, req, buf, out)
	}
	f.way = nil
}

// Fail answers with an error and the way's page for it, or text if there is none, as
// out.Fail does. If the page has to be waited for the request is put off, and is to come
// to the same error when it is served again; not if now is set: then there is no page.
func (f *Files) Fail(w *Way, req *http1.Request, buf []byte, out *conn.Output, status int, fields, reason string, now bool) {
	f.way, f.hurried = w, now
	out.Edit(w.Edit)
	f.fail(req, buf, out, status, fields, reason)
	f.way, f.hurried = nil, false
}

// walk goes through the steps until one leads to something.
func (h *handler) walk(w *Way, req *http1.Request, buf []byte, out *conn.Output) {
	s, now := h.site, out.Clock().Mono
	if h.root = s.root.Load(); out.Result() == nil && s.rootDue(h.root, now) && h.lookAtRoot(now, out) {
		return
	}
	if l, ok := out.Result().(*listResult); ok {
		if step := w.stepTo(l.path); step == nil || !step.guarded(req, buf, out) {
			h.sendListing(l, req, buf, out)
		}
		return
	}
	if f, ok := out.Result().(*found); ok && len(f.entries) == 1 {
		h.keepPage(w, f)
	}
	reason := ""
	var slashless *Step // a directory
	for i := 0; ; i++ {
		step := w.step(i, req, buf, out)
		if slashless != nil && (step == nil || !step.Derived) {
			out.Edit(slashless.Edit)
			h.redirect(req, buf, out)
			return
		}
		if step == nil {
			break
		}
		e, held := h.reach(step.Spot, req, buf, out)
		if e == nil {
			h.putOff(w, req, buf, out)
			return
		}
		done := false
		switch {
		case e.kind == kindRedirect:
			if slashless == nil && step.Derived && step.path == w.Path { // there is no going from /a to /a.html/
				slashless = step
			}
			if done = step.Directory; done { // its path is the request's
				out.Edit(step.Edit)
				h.redirect(req, buf, out)
			}
		case step.Directory, e.status == 404:
			if reason == "" {
				reason = e.reason
			}
		default:
			done = true
			h.arrive(w, step, e, req, buf, out)
		}
		e.drop(held)
		if done {
			return
		}
	}
	if reason == "" {
		reason = reasonMissing
	}
	h.fail(req, buf, out, 404, "", reason)
}

// step returns the step of that index, nil behind the last that this request may
// take. That the client's Accept decides of the fallback is said in the answer (RFC 9110
// section 12.5.5), whether it is one of the fallback or not.
func (w *Way) step(i int, req *http1.Request, buf []byte, out *conn.Output) *Step {
	if i < len(w.Steps) {
		return &w.Steps[i]
	}
	if i > len(w.Steps) || w.Fallback == nil {
		return nil
	}
	out.Add(varyAccept)
	if !acceptsHTML(req, buf) {
		return nil
	}
	return w.Fallback
}

var varyAccept = []byte("Vary: Accept\r\n")

// arrive answers with what a step has led to.
func (h *handler) arrive(w *Way, step *Step, e *entry, req *http1.Request, buf []byte, out *conn.Output) {
	if e.kind != kindError && step.guarded(req, buf, out) {
		return
	}
	h.view = step.site
	if !h.answer(e, req, buf, out) { // given up since it was found
		step.entry = nil
		h.putOff(w, req, buf, out)
	}
}

// guarded reports whether the step's guard has the answer. If not, the head of what comes is the step's.
func (s *Step) guarded(req *http1.Request, buf []byte, out *conn.Output) bool {
	if s.Guard != nil && s.Guard(req, buf, out) {
		return true
	}
	out.Edit(s.Edit)
	return false
}

// stepTo is the step to a directory that is listed.
func (w *Way) stepTo(path string) *Step {
	for i := range w.Steps {
		if w.Steps[i].path == path {
			return &w.Steps[i]
		}
	}
	if w.Fallback != nil && w.Fallback.path == path {
		return w.Fallback
	}
	return nil
}

// reach finds out what a spot leads to; nil: that has to be waited for. held: the
// caller has a reference.
func (h *handler) reach(p *Spot, req *http1.Request, buf []byte, out *conn.Output) (e *entry, held bool) {
	switch result := out.Result().(type) {
	case *found:
		if e = result.at(p); e != nil {
			p.keep(e, h.root)
			return e, false
		}
	case *entry: // why there is no listing
		if p.names(result) {
			return result, false
		}
	}
	s, known := p.site, p.entry
	if known != nil && known.key.scope == s.scope(h.root) && known.whole() {
		if h.current(s, known, req, buf, out) {
			out.Counters().CacheHits++
			known.touch()
			return known, false
		}
	} else {
		h.path = append(h.path[:0], p.path...)
		if known = s.cache.get(s.scope(h.root), h.path); known != nil && h.current(s, known, req, buf, out) {
			out.Counters().CacheHits++
			known.touch()
			p.keep(known, h.root)
			return known, true
		}
		defer known.drop(known != nil)
	}
	h.path = append(h.path[:0], p.path...)
	if e = h.lookHere(s, known, req, out); e != nil {
		p.keep(e, h.root)
	}
	return e, e != nil
}

// current reports whether an entry is recent enough: as Site.current, or looked at since the request came.
func (h *handler) current(s *Site, e *entry, req *http1.Request, buf []byte, out *conn.Output) bool {
	if s.current(e, out.Clock().Mono, req, buf, out) {
		return true
	}
	began := out.Began()
	return out.Deferred() > 0 && e.looked.Load() >= began && (len(s.siblings) == 0 || !req.Has(http1.FieldAcceptEncoding) || e.siblings.Load() >= began)
}

// keepPage remembers the error page that the request was put off for.
func (h *handler) keepPage(w *Way, f *found) {
	for _, p := range w.Pages {
		if e := f.at(p); e != nil {
			p.keep(e, h.root)
		}
	}
}

// names reports whether an entry is of the spot.
func (p *Spot) names(e *entry) bool {
	return e.key.path == p.path && e.key.view == p.site.view
}

// keep remembers what the spot leads to.
func (p *Spot) keep(e *entry, r *root) {
	if !e.transient && e.key.scope == p.site.scope(r) {
		p.entry = e
	}
}

// whole reports whether the entry is more than a shell.
func (e *entry) whole() bool {
	return e.kind != kindBody && e.kind != kindFile || e.content.Load() != nil
}

// drop releases an entry that is held.
func (e *entry) drop(held bool) {
	if held {
		e.Release()
	}
}

// putOff has the pool look where the steps of the way lead.
func (h *handler) putOff(w *Way, req *http1.Request, buf []byte, out *conn.Output) {
	j := &walkJob{key: walkKey{site: h.site, path: w.Path}, mono: out.Clock().Mono}
	for i := range w.Steps {
		j.add(w.Steps[i].Spot)
	}
	if w.Fallback != nil && acceptsHTML(req, buf) {
		j.key.html = true
		j.add(w.Fallback.Spot)
	}
	if page := w.Pages[404]; page != nil {
		j.add(page)
	}
	out.Defer(j)
}

// walkJob is a walk by a worker, who may wait. Its result is what was found on it.
type walkJob struct {
	key   walkKey
	spots []Spot
	mono  int64 // Clock.Mono when it was asked for
}

// walkKey joins walks through the same spots.
type walkKey struct {
	site *Site
	path string
	html bool
	page int // the status whose page is looked for alone
}

// Key makes walks through the same spots one.
func (j *walkJob) Key() any { return j.key }

func (j *walkJob) add(p *Spot) { j.spots = append(j.spots, Spot{site: p.site, path: p.path}) }

// Class is that of files, or of those that are compressed, by the first spot.
func (j *walkJob) Class() conn.JobClass {
	if len(j.spots) == 0 {
		return conn.JobFile
	}
	return j.spots[0].site.jobClass(j.spots[0].path)
}

// Run looks at one spot after the other, up to the first that is the answer, and keeps the entries in the cache.
func (j *walkJob) Run(conn.Demand) conn.Result {
	for tries := 1; ; tries++ {
		f, r, missing := j.walk()
		if missing && tries < jobRetries {
			// What is missing from a root that has been replaced is not missing.
			if j.key.site.checkRoot(); j.key.site.root.Load() != r {
				f.Release()
				continue
			}
		}
		for _, e := range f.entries {
			j.key.site.cache.put(e, r)
		}
		return f
	}
}

// walk looks once. r is the root it looked in.
func (j *walkJob) walk() (f *found, r *root, missing bool) {
	r = j.key.site.acquire()
	defer r.release()
	f = &found{}
	f.refs.Store(1)
	for i := range j.spots {
		p := &j.spots[i]
		e := p.site.lookIn(r, []byte(p.path), j.mono)
		f.entries = append(f.entries, e)
		missing = missing || e.status == 404
		if e.status != 404 && e.kind != kindRedirect {
			break
		}
	}
	return f, r, missing
}

// found is the conn.Result of a walk.
type found struct {
	refs    atomic.Int32
	entries []*entry
}

// Retain adds a reference.
func (f *found) Retain() { f.refs.Add(1) }

// Release drops a reference; the last one gives up the entries.
func (f *found) Release() {
	if f.refs.Add(-1) > 0 {
		return
	}
	for _, e := range f.entries {
		e.Release()
	}
}

// at is what was found at a spot, nil if it was not looked at.
func (f *found) at(p *Spot) *entry {
	for _, e := range f.entries {
		if p.names(e) {
			return e
		}
	}
	return nil
}

// acceptsHTML reports whether the client names HTML among what it accepts, as a browser does for a
// page and for nothing that a page loads. A mere */* is what scripts, style sheets and fetch() ask with.
func acceptsHTML(req *http1.Request, buf []byte) bool {
	html, xhtml := http1.AcceptsPages(req.Get(http1.FieldAccept, buf))
	return html || xhtml
}
