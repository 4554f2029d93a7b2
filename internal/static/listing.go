package static

import (
	"sync/atomic"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/listing"
)

// A listing is made in three steps. A look at a path that is a directory without an index file gives an entry of
// kindDir, which holds nothing but that fact. The request's query and Accept then say what is to be shown of the
// directory, and a job reads it and renders the first block. What fits into that block is an answer like that of a
// small file, and cached as one. What does not is streamed, block by block (listing.Stream).

// batchMax is longer than a loop's batch of events lasts.
const batchMax = 20 * time.Millisecond

// list answers with the listing of the directory that e stands for.
func (h *handler) list(e *entry, req *http1.Request, buf []byte, out *conn.Output) {
	query, reason := listing.ParseQuery(req, buf)
	if reason != "" {
		h.fail(req, buf, out, 400, "", reason)
		return
	}
	s, clock := h.view, out.Clock()
	oldest := clock.Mono - s.valid + 1
	if s.valid == 0 || out.Alone() || revalidates(req, buf) {
		oldest = clock.Mono + 1 // what was read in this batch was read before this request came
	}
	key := query.AppendKey(make([]byte, 0, 128), e.key.path)
	if rendered := s.cache.get(e.key.scope, key); rendered != nil {
		defer rendered.Release()
		if rendered.looked.Load() >= oldest && h.answer(rendered, req, buf, out) {
			rendered.touch()
			return
		}
	}
	out.Defer(&listJob{site: s, path: e.key.path, query: query, mono: clock.Mono, asked: s.now(), oldest: oldest})
}

// sendListing answers with what a listJob made.
func (h *handler) sendListing(l *listResult, req *http1.Request, buf []byte, out *conn.Output) {
	switch {
	case l.status != 0:
		h.fail(req, buf, out, l.status, "Vary: Accept\r\n", l.reason)
		return
	case l.whole != nil:
		h.answer(l.whole, req, buf, out)
		return
	}
	h.scratch = l.dir.AppendFields(h.scratch[:0], l.format)
	waker, token := out.Waker()
	out.Stream(200, h.scratch, -1, listing.NewStream(l.first, l.rest, waker, token))
}

// listResult is the conn.Result of a listJob: an answer that is whole, the beginning of one that is to be streamed, or
// an error.
type listResult struct {
	refs atomic.Int32
	path string // of the directory

	whole *entry // the whole answer; nil: it is one of the others

	status int // of the error; 0: it is none
	reason string

	first  []byte             // the first block; it is never changed
	rest   listing.Renderer   // renders what follows the first block
	dir    *listing.Directory // what rest renders, with a reference
	format listing.Format
}

// Retain adds a reference.
func (l *listResult) Retain() { l.refs.Add(1) }

// Release drops a reference. The last one gives up the directory.
func (l *listResult) Release() {
	if l.refs.Add(-1) > 0 {
		return
	}
	if l.whole != nil {
		l.whole.Release()
	}
	if l.dir != nil {
		l.dir.Release()
	}
}

// listJob reads a directory and renders the first block of its listing. Its result is a listResult, or a
// searchResult with the entry of an error.
type listJob struct {
	site   *Site
	path   string // of the directory, with its slash
	query  listing.Query
	mono   int64     // Clock.Mono when it was asked for
	asked  time.Time // the same time by the clock of the process
	oldest int64     // Clock.Mono: a directory that was read then or later will do
}

type listKey struct {
	site  *Site
	path  string
	query listing.Query
}

// Group is the directory: its listings are made one after the other, so that no worker waits for another to read it.
func (k listKey) Group() any { return listKey{site: k.site, path: k.path} }

// Key joins jobs for the same listing of the same directory.
func (j *listJob) Key() any { return listKey{j.site, j.path, j.query} }

// Class is that of directories.
func (j *listJob) Class() conn.JobClass { return conn.JobList }

// Run reads what is to be read, and renders. It waits for the disk.
func (j *listJob) Run(demand conn.Demand) conn.Result {
	s := j.site
	r := s.acquire()
	defer r.release()
	l := &look{}
	l.begin(s, r, j.mono, s.now().UnixNano())
	if r.dir == nil {
		return newSearchResult(l.fail([]byte(j.path), 404, "the site's root is missing"))
	}
	key := listing.Key{Root: r.number, View: s.view, Path: j.path}
	l.mono = j.now()
	dir, err := s.cache.listings.Read(key, j.oldest, l.mono, &r.retired, func(dir *listing.Directory) error {
		return l.readDirectory(dir, j.path, demand)
	})
	if err != nil {
		return newSearchResult(l.listingFailure(j.path, err))
	}
	defer dir.Release()
	if !demand.Wanted() {
		return newSearchResult(l.listingFailure(j.path, listing.ErrUnwanted))
	}
	result := &listResult{path: j.path}
	result.refs.Store(1)
	rest, status, reason := dir.Render(j.query)
	if status != 0 {
		result.status, result.reason = status, reason
		return result
	}
	first, done := rest.Block(nil)
	if !done {
		dir.Retain()
		result.first, result.rest, result.dir, result.format = first, rest, dir, j.query.Format
		return result
	}
	result.whole = l.wholeListing(dir, j, first)
	s.cache.put(result.whole, r)
	return result
}

// now is Clock.Mono at this time, or a little earlier: by what a loop's batch may last, since a request that comes
// within a batch has the time of its beginning. So a request that came while the job waited for a worker may have what
// the job reads, and none has what was read before it came.
func (j *listJob) now() int64 { return j.mono + max(0, int64(j.site.now().Sub(j.asked)-batchMax)) }

// wholeListing makes the entry of a listing that is rendered in whole.
func (l *look) wholeListing(dir *listing.Directory, j *listJob, body []byte) *entry {
	c := &content{body: body, size: int64(len(body))}
	c.head = appendLength(dir.AppendFields(nil, j.query.Format), c.size)
	e := newEntry(kindListing, string(j.query.AppendKey(nil, j.path)), c)
	e.key.scope, e.life = l.site.scope(l.root), l.site.valid
	e.looked.Store(dir.ReadAt())
	return e
}

// listingFailure makes the entry of an error. A listing has no errors of its own but those of its bounds.
func (l *look) listingFailure(path string, err error) *entry {
	reason := ""
	switch err {
	case listing.ErrMemory:
		reason = "too many large directories are being listed: try again"
	case errReadingSlow:
		reason = "the directory takes too long to read"
		l.site.warn("the directory was not read within "+readingMax.String()+
			": make it smaller, or turn its listing off", l.site.path+path)
	case listing.ErrUnwanted:
		reason = "no request waits for the listing any more"
	default:
		return l.failure([]byte(path), l.file.name, err)
	}
	e := l.fail([]byte(path), 503, reason)
	e.transient = true
	return e
}
