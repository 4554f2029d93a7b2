package static

import (
	"bytes"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

const (
	// IndexMax bounds the paths in a loop's index. With indexPath bytes each it takes a few MiB, whatever is asked for.
	IndexMax = 16384
	// indexPath is the longest path in the index, in bytes. Longer ones are looked up in the cache, under its lock.
	indexPath = 256
	// rootOverdue is how old a look at the root's path may be before a request waits for the next one, in nanoseconds.
	// Under load no request waits: the path is looked at each second.
	rootOverdue = 2e9
)

const allowed = "Allow: GET, HEAD, OPTIONS\r\n"

var (
	allowedFields = []byte(allowed)
	slash         = []byte{'/'}
)

// handler serves a site to one loop. It is not safe for use by two goroutines.
type handler struct {
	site    *Site
	root    *root             // the root that the index belongs to; it is only compared
	entries map[string]*entry // the index, by path as it was sent, without references
	max     int               // how many paths the index may have

	view    *Site // the view that the answer in hand is of
	plan    *Plan // the plan of the request in hand; nil: there are no plans
	hurried bool  // the page of an error is not waited for

	look    look
	path    []byte // the request's, or a candidate's, decoded
	scratch []byte // the fields of one answer
	ranged  ranged
}

// Handler returns the handler of one loop, with an index of at most so many paths. Without one, as is for each of many
// threads, every entry is taken from the cache.
func (s *Site) Handler(paths int) conn.Handler { return s.handler(paths) }

func (s *Site) handler(paths int) *handler {
	h := &handler{site: s, view: s, entries: make(map[string]*entry), max: paths}
	h.look.cached = true
	return h
}

// Serve answers a request. For a file that was asked for before, these lines are the whole way.
func (h *handler) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	if req.Method > http1.MethodHEAD {
		h.other(req, buf, out)
		return
	}
	path := req.Path.In(buf)
	if len(path) == 0 {
		path = slash // RFC 9110 section 4.2.3
	}
	s, now := h.site, out.Clock().Mono
	r := s.root.Load()
	if r != h.root {
		clear(h.entries)
		h.root = r
	}
	e := h.entries[string(path)]
	if e != nil && s.current(e, now, req, buf, out) && !s.rootDue(r, now) && h.answer(e, req, buf, out) {
		hit(e, out)
		return
	}
	h.find(path, e, req, buf, out)
}

// current reports whether what is known of a path, and of its precompressed variants if the request accepts codings, is
// recent enough to answer this request.
func (s *Site) current(e *entry, now int64, req *http1.Request, buf []byte, out *conn.Output) bool {
	return e.fresh(now) && !mustLook(req, buf, out) &&
		(!req.Has(http1.FieldAcceptEncoding) || len(s.precompressed) == 0 || e.precompressedFresh(now))
}

// mustLook reports whether the file is to be looked at, however short ago that was done.
func mustLook(req *http1.Request, buf []byte, out *conn.Output) bool {
	return out.Result() != nil || out.Alone() ||
		(req.Has(http1.FieldCacheControl) || req.Has(http1.FieldPragma)) && revalidates(req, buf)
}

// revalidates reports whether the client asks for an answer that is not stored (RFC 9111 sections 5.2.1.1, 5.2.1.4 and
// 5.4), as a browser does when its user reloads the page.
func revalidates(req *http1.Request, buf []byte) bool {
	if req.Has(http1.FieldCacheControl) {
		list := req.Get(http1.FieldCacheControl, buf)
		return http1.HasDirective(list, "no-cache") || http1.HasDirective(list, "max-age=0")
	}
	return http1.HasDirective(req.Get(http1.FieldPragma, buf), "no-cache")
}

// other answers a request whose method is neither GET nor HEAD.
func (h *handler) other(req *http1.Request, buf []byte, out *conn.Output) {
	reason := "files are read with GET and HEAD (RFC 9110 section 15.5.6)"
	switch req.Method {
	case http1.MethodOPTIONS:
		out.Head(204, allowedFields)
		return
	case http1.MethodTRACE:
		reason = "TRACE is not answered: it would show a script the fields that its browser adds " +
			"(RFC 9110 section 9.3.8)"
	case http1.MethodCONNECT:
		reason = "this is no proxy (RFC 9110 section 9.3.6)"
	}
	h.fail(req, buf, out, 405, allowed, reason)
}

// find answers a request for which the index has nothing fresh. sent is the path as it came, known what the index has.
func (h *handler) find(sent []byte, known *entry, req *http1.Request, buf []byte, out *conn.Output) {
	s, now, result := h.site, out.Clock().Mono, out.Result()
	if listed, ok := result.(*listResult); ok {
		h.sendListing(listed, req, buf, out)
		return
	}
	if result == nil && s.rootDue(h.root, now) && h.lookAtRoot(now, out) {
		return
	}
	if known != nil {
		h.path = append(h.path[:0], known.key.path...) // decoded and found to be allowed before
	} else if !h.resolve(sent, out) {
		return
	}
	if e, held := h.visit(s, known, req, buf, out); e != nil {
		h.index(sent, e)
		answered := h.answer(e, req, buf, out)
		e.drop(held)
		if answered {
			return
		}
	}
	path := string(h.path)
	out.Defer(newSearchJob(searchKey{site: s, path: path}, out, CachedPath{site: s, path: path}))
}

// resolve decodes the path into h.path. It reports false if the request has been answered instead.
func (h *handler) resolve(sent []byte, out *conn.Output) bool {
	var bad http1.Error
	if h.path, bad = http1.AppendPath(h.path[:0], sent); bad.Status != 0 {
		out.Fail(bad.Status, "", bad.Reason())
		return false
	}
	if h.site.hide.path(h.path) {
		out.Fail(404, "", reasonMissing)
		return false
	}
	return true
}

// lookAtRoot looks at what the root's path leads to. It reports whether the request has to wait for that.
func (h *handler) lookAtRoot(now int64, out *conn.Output) bool {
	s := h.site
	last := s.checked.Load()
	if !s.checked.CompareAndSwap(last, now) {
		return false // another loop does it
	}
	switch h.root.lookNow() {
	case rootSame:
		return false
	case rootUnknown:
		if !out.Alone() && now-last < rootOverdue {
			s.checkInBackground()
			return false
		}
	}
	out.Defer(rootJob{s.tree})
	return true
}

// lookHere looks where h.path leads to in that view, with what the kernel has in memory. It returns the entry with a
// reference; nil: a worker has to look.
func (h *handler) lookHere(s *Site, known *entry, req *http1.Request, out *conn.Output) *entry {
	if count := out.Counters(); known == nil {
		count.CacheMisses++
	} else {
		count.CacheLooks++
	}
	r, clock := s.acquire(), out.Clock()
	defer r.release()
	if r != h.root || !r.local {
		return nil
	}
	l := &h.look
	l.begin(s, r, clock.Mono, clock.Wall)
	l.negotiates = req.Has(http1.FieldAcceptEncoding)
	e, err := l.find(h.path, known)
	if err != nil {
		return nil
	}
	if e.status == 404 && r.lookNow() != rootSame {
		e.Release() // missing from a root that may have been replaced
		return nil
	}
	if e != known {
		s.cache.put(e, r)
	}
	return e
}

// index keeps the entry for the next request with that path.
func (h *handler) index(sent []byte, e *entry) {
	if e.transient || h.max == 0 || len(sent) > indexPath || e.key.scope != h.site.scope(h.root) ||
		h.entries[string(sent)] == e {
		return
	}
	if len(h.entries) >= h.max {
		for other := range h.entries { // any one: a map's order is random
			delete(h.entries, other)
			break
		}
	}
	h.entries[string(sent)] = e
}

// answer answers with what the path led to. It reports false if the entry has
// been given up meanwhile: nothing is written then.
func (h *handler) answer(e *entry, req *http1.Request, buf []byte, out *conn.Output) bool {
	switch e.kind {
	case kindRedirect:
		h.redirect(req, buf, out)
		return true
	case kindDir:
		h.list(e, req, buf, out)
		return true
	case kindError:
		h.fail(req, buf, out, e.status, retryAfter(e.status), e.reason)
		return true
	}
	c := e.represent(req, buf)
	if c == nil {
		return false
	}
	if conditional(req) && e.kind != kindListing {
		h.sendConditional(c, req, buf, out)
	} else {
		out.Head(200, c.head)
		c.sendAll(out)
	}
	c.release()
	return true
}

// sendConditional answers with the content as far as the request's preconditions and ranges say.
func (h *handler) sendConditional(c *content, req *http1.Request, buf []byte, out *conn.Output) {
	now := out.Clock().Wall / 1e9
	status, reason := precondition(c, req, buf, now)
	if status == 200 {
		status, reason = h.ranged.choose(c, req, buf, h.site.ranges, now)
	}
	switch status {
	case 200:
		out.Head(200, c.head)
		c.sendAll(out)
	case 206:
		h.scratch = h.ranged.send(c, h.scratch, out)
	case 304:
		out.Head(304, c.head[:c.validators])
	case 412:
		h.fail(req, buf, out, 412, c.vary(), reason)
	case 416:
		h.fail(req, buf, out, 416, string(appendUnsatisfied(nil, c.size))+c.vary(), reason)
	}
}

func retryAfter(status int) string {
	if status == 503 {
		return "Retry-After: 1\r\n"
	}
	return ""
}

// redirect sends the client to the directory with its slash. The reference is the path as it was decoded, with one
// slash in front, so that it can name no other host ("//evil/"), or a relative one (Options.RelativeRedirects).
func (h *handler) redirect(req *http1.Request, buf []byte, out *conn.Output) {
	b, ok := h.appendDirectory(append(h.scratch[:0], "Location: "...), req.Path.In(buf))
	if !ok {
		h.fail(req, buf, out, 404, "", "a directory whose path does not end with a slash")
		return
	}
	if req.HasQuery {
		b = append(append(b, '?'), req.Query.In(buf)...)
	}
	b = append(b, "\r\nContent-Length: 0\r\n"...)
	h.scratch = b
	out.Head(301, b)
}

// appendDirectory appends the reference to the directory of a path as it was sent, which lacks the slash. A relative
// one is made of what follows the last slash of the path, since that is what it replaces (RFC 3986 section 5.2.3). ok
// is false if there is none: for an escaped slash behind dots, which no client sends that follows a redirect.
func (h *handler) appendDirectory(dst, sent []byte) (b []byte, ok bool) {
	if h.site.relative {
		sent = sent[max(bytes.LastIndexByte(sent, '/'), 0):]
	}
	var bad http1.Error
	h.path, bad = http1.AppendPath(h.path[:0], sent)
	name := bytes.Trim(h.path, "/")
	if bad.Status != 0 || len(name) == 0 {
		return dst, false
	}
	if h.site.relative {
		dst = append(dst, '.')
	}
	return append(http1.AppendEscapedPath(append(dst, '/'), name), '/'), true
}
