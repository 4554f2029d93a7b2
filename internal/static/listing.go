package static

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// A listing is made in three steps. A look at a path that is a directory without an
// index file gives an entry of kindDir, which holds nothing but that fact. The
// request's query and Accept then say which view of the directory is wanted, and a job
// reads the directory (a snapshot) and renders the first block of the view. What fits
// into that block is an answer like that of a small file, and cached as one. What does not is
// streamed, block by block, from the snapshot: see listingStream.
//
// Memory: a snapshot is at most snapshotMax, all snapshots of a Cache together are at
// most snapshotsBytes, and an answer under way has one block beside that.

const (
	// blockSize is about how much of a listing is rendered at a time, in bytes. A block is longer by
	// less than a row or a piece of the README.
	blockSize = 64 << 10
	// pageRows is how many rows a page of HTML has at most.
	pageRows = 1000
	// batchMax is longer than a loop's batch lasts.
	batchMax = 20 * time.Millisecond
)

// listingFields go out with every listing, before its Content-Type. A listing changes without its
// directory's mtime (sizes), so that caches ask each time.
const listingFields = "X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nVary: Accept\r\n"

// listingTypes are by format. The policy of the HTML lets nothing run, load or be sent, whatever
// a name might bring in.
var listingTypes = [formats]string{
	formatHTML: "Content-Type: text/html; charset=utf-8\r\n" +
		"Content-Security-Policy: default-src 'none'; style-src 'sha256-" + styleHash() +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'\r\n",
	formatJSON: "Content-Type: application/json\r\n",
	formatText: "Content-Type: text/plain; charset=utf-8\r\n",
}

func styleHash() string {
	sum := sha256.Sum256([]byte(listingStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// listable makes the entry of a directory that is to be listed.
func (l *look) listable(path []byte) (*entry, error) {
	fd, err := l.openDirectory(string(path))
	if err != nil {
		return nil, err
	}
	l.site.closer.close(fd)
	return l.entry(newEntry(kindDir, string(path), nil)), nil
}

// openDirectory opens a directory for reading; path ends with a slash. l.stat is its state.
func (l *look) openDirectory(path string) (fd int, err error) {
	l.name = append(append(l.name[:0], path[1:]...), '.', 0)
	if fd, err = l.open(false); err != nil {
		return -1, err
	}
	if err = fstat(fd, &l.stat); err != nil {
		l.site.closer.close(fd)
		return -1, err
	}
	return fd, nil
}

// list answers with the listing of the directory that e stands for.
func (h *handler) list(e *entry, req *http1.Request, buf []byte, out *conn.Output) {
	v, reason := viewOf(req, buf)
	if reason != "" {
		h.fail(req, buf, out, 400, "", reason)
		return
	}
	s, clock := h.view, out.Clock()
	oldest := clock.Mono - s.valid + 1
	if s.valid == 0 || out.Alone() || revalidates(req, buf) {
		oldest = clock.Mono + 1 // what was read in this batch was read before this request came
	}
	if page := s.cache.page(e.key.scope, e.key.path, v, oldest); page != nil {
		defer page.Release()
		if h.answer(page, req, buf, out) {
			page.touch()
			return
		}
	}
	out.Defer(&listJob{site: s, path: e.key.path, view: v, mono: clock.Mono, asked: time.Now(), oldest: oldest})
}

// page returns the rendered view of a directory with a reference, nil if there is none that was
// looked at then or later.
func (c *Cache) page(in scope, path string, v view, oldest int64) *entry {
	e := c.get(in, v.appendKey(make([]byte, 0, 128), path))
	if e != nil && e.looked.Load() < oldest {
		e.Release()
		return nil
	}
	return e
}

// sendListing answers with what a listJob made.
func (h *handler) sendListing(l *listing, req *http1.Request, buf []byte, out *conn.Output) {
	switch {
	case l.status != 0:
		h.fail(req, buf, out, l.status, "Vary: Accept\r\n", l.reason)
		return
	case l.page != nil:
		h.answer(l.page, req, buf, out)
		return
	}
	chunked := req.Minor > 0
	if !chunked {
		out.Close() // RFC 9112 section 6.3: the end of the stream ends the body
	}
	b := append(h.scratch[:0], listingFields...)
	b = l.from.dir.appendOmitted(append(b, listingTypes[l.from.view.format]...))
	if chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	h.scratch = b
	out.Head(200, b)
	waker, token := out.Waker()
	out.Source(newListingStream(l, chunked, waker, token))
}

// listing is the conn.Result of a listJob: one of an answer that is whole, one to be
// streamed, and an error.
type listing struct {
	refs atomic.Int32
	path string // of the directory

	page *entry // the whole answer

	status int    // there is no such view of the directory: an error's
	reason string // why

	first []byte // the first block, framed as a chunk; immutable
	from  render // where it goes on; its directory is counted
}

// Retain adds a reference.
func (l *listing) Retain() { l.refs.Add(1) }

// Release drops a reference; the last one gives up the snapshot.
func (l *listing) Release() {
	if l.refs.Add(-1) > 0 {
		return
	}
	if l.page != nil {
		l.page.Release()
	}
	if l.from.dir != nil {
		l.from.dir.Release()
	}
}

// listJob reads a directory and renders the first block of a view of it. Its result
// is a listing, or the entry of an error.
type listJob struct {
	site   *Site
	path   string // of the directory, with its slash
	view   view
	mono   int64 // Clock.Mono when it was asked for, which was
	asked  time.Time
	oldest int64 // Clock.Mono: a snapshot of that time or later will do
}

type listKey struct {
	site *Site
	path string
	view view
}

// Key makes jobs for the same view of the same directory one.
func (j *listJob) Key() any { return listKey{j.site, j.path, j.view} }

// Class is that of directories.
func (j *listJob) Class() conn.JobClass { return conn.JobList }

// Run reads what is to be read and renders. It waits for the disk.
func (j *listJob) Run(demand conn.Demand) conn.Result {
	s := j.site
	r := s.acquire()
	defer r.release()
	l := look{site: s, root: r, mono: j.mono, wall: s.wall()}
	if r.dir == nil {
		return l.fail([]byte(j.path), 404, "the site's root is missing")
	}
	dir, err := l.readDirectory(j.path, j.oldest, j.now(), demand)
	if err != nil {
		return l.listingFailure(j.path, err)
	}
	defer dir.Release()
	if !demand.Wanted() {
		return l.listingFailure(j.path, errUnwanted)
	}
	from, last := newRender(dir, j.view)
	if last > 0 {
		return newListing(&listing{path: j.path, status: 404,
			reason: "no such page of the listing: the last one is ?page=" + strconv.Itoa(last)})
	}
	if dir.omitted > 0 && j.view.format == formatHTML && j.view.page == 0 {
		// Whoever mirrors the directory would remove what is not listed, and has no eye for a line that says so.
		return newListing(&listing{path: j.path, status: 500,
			reason: "the directory has more names than one listing holds: ask for ?page=1, or for ?format=text and look at X-Not-Listed"})
	}
	first, done := from.block(nil)
	if !done {
		dir.Retain()
		return newListing(&listing{path: j.path, first: first, from: from})
	}
	page := l.listingPage(dir, j.view, first[chunkHead:len(first)-len(chunkTail)-len(chunkLast)])
	s.cache.put(page, r)
	return newListing(&listing{path: j.path, page: page})
}

// now is the time as Clock.Mono, or a little earlier: by what a loop's batch may last, since a request
// that comes within a batch has the time of its beginning. So those who came while the job waited for a worker
// may have what it reads, and nobody has what was read before he asked.
func (j *listJob) now() int64 {
	return j.mono + max(0, int64(time.Since(j.asked)-batchMax))
}

func newListing(l *listing) *listing {
	l.refs.Store(1)
	return l
}

// listingPage makes the entry of a listing that is rendered in whole.
func (l *look) listingPage(dir *snapshot, v view, body []byte) *entry {
	c := &content{body: body, size: int64(len(body))}
	c.head = append(append(c.head, listingFields...), listingTypes[v.format]...)
	c.head = appendLength(dir.appendOmitted(c.head), c.size)
	e := newEntry(kindListing, string(v.appendKey(nil, dir.key.path)), c)
	e.key.scope, e.life = dir.key.scope, l.site.valid
	e.looked.Store(dir.looked.Load())
	return e
}

// listingFailure makes the entry of an error. A listing has no errors of its own but its bounds.
func (l *look) listingFailure(path string, err error) *entry {
	reason := ""
	switch err {
	case errListings:
		reason = "too many large directories are being listed: try again"
	case errListingSlow:
		reason = "the directory takes too long to read"
		l.site.warn("the directory was not read within "+readingMax.String()+
			": make it smaller, or turn its listing off", l.site.path+path)
	case errUnwanted:
		reason = "nobody waits for the listing any more"
	default:
		return l.failure([]byte(path), err)
	}
	e := l.fail([]byte(path), 503, reason)
	e.transient = true
	return e
}
