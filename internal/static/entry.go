package static

import (
	"container/list"
	"encoding/hex"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// identity tells two states of a file apart: a look compares it with the one before.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime timestamp
}

func identityOf(st *unix.Stat_t) identity {
	return identity{
		dev: uint64(st.Dev), ino: uint64(st.Ino), size: st.Size,
		mtime: timestampOf(st.Mtim), ctime: timestampOf(st.Ctim),
	}
}

type entryKind uint8

const (
	kindBody     entryKind = iota // a file whose bytes are in memory
	kindFile                      // a file whose descriptor is open
	kindDir                       // a directory that is to be listed, as each request says
	kindListing                   // a listing that is rendered: made anew, never renewed
	kindRedirect                  // a directory, by a path whose slash is missing
	kindError
)

// key names an entry: a path within one root, as one view shows it.
type key struct {
	scope
	path string // decoded, without dot segments; ends with a slash for a directory
}

// entry is what a path led to at the last look. It is counted, and not changed but for the time of that look. The last
// Release takes its content away, so that an index of a loop may keep the shell.
type entry struct {
	kind      entryKind
	transient bool     // not to be kept: the file has just changed, or the error may be gone soon
	life      int64    // for how long a look is believed, in nanoseconds
	key       key      // its name in the cache
	id        identity // that of the file
	cost      int64    // bytes that it takes in the cache
	files     int      // descriptors that it keeps open

	looked  atomic.Int64 // Clock.Mono at the last look
	used    atomic.Bool  // it answered a request since the cache's hand came by
	refs    atomic.Int32
	content atomic.Pointer[content] // nil: it has none, or is a shell

	status int    // the status of kindError
	reason string // the reason of kindError, for the client and the access log

	precompressedLooked atomic.Int64 // Clock.Mono of the last look at the precompressed variants

	place *list.Element // its place in the cache, under the lock of its shard
}

// content is one representation of a file, or a listing, with the fields of its answer.
type content struct {
	// head has the fields of a 200 for Output.Head, in an order of which other answers take a part:
	//
	//	Last-Modified, ETag, Vary │ Content-Type │ nosniff, Accept-Ranges, Content-Encoding │ Content-Length
	//	                      validators       typed                                     common
	//
	// A 304 has the fields up to validators, a 206 those up to common, and the parts of a multipart 206 the
	// Content-Type.
	head                      []byte
	validators, typed, common int

	body      []byte         // the bytes, if they are in memory; never changed
	file      *sendfile.File // the open file, if they are not
	size      int64          // bytes of the representation
	etag      []byte         // as it stands in the head; empty: there is none
	modified  int64          // Last-Modified, in seconds since 1970
	dated     bool           // there is a Last-Modified
	exact     bool           // the entity tag is a strong validator (RFC 9110 section 8.8)
	dateExact bool           // the date is a strong validator

	coding     http1.Coding
	dynamic    bool       // compressed by us: no ranges, and a weak tag, since other versions may compress otherwise
	negotiable bool       // the file has variants, or this is one
	variants   []*content // the encoded variants of the file, in the order of Options
	id         identity   // of a precompressed variant
}

// entryOverhead is about how many bytes an entry takes beside its content's: itself and its places in maps.
const entryOverhead = 512

func newEntry(kind entryKind, path string, c *content) *entry {
	e := &entry{kind: kind, key: key{path: path}, cost: int64(entryOverhead + len(path))}
	if c != nil {
		e.content.Store(c)
		e.add(c)
		for _, v := range c.variants {
			e.cost += entryOverhead
			e.add(v)
		}
	}
	e.refs.Store(1)
	return e
}

// add counts what a content takes.
func (e *entry) add(c *content) {
	e.cost += int64(len(c.head) + len(c.body) + len(c.etag))
	if c.file != nil {
		e.files++
	}
}

// fresh reports whether the last look is recent enough, and no transfer has found since that the file has changed.
func (e *entry) fresh(mono int64) bool { return mono-e.looked.Load() < e.life && !e.overtaken() }

// overtaken reports whether a transfer has found that the open file was changed in place.
func (e *entry) overtaken() bool {
	if e.kind != kindFile {
		return false
	}
	c := e.content.Load()
	return c != nil && c.file.Overtaken()
}

// touch notes a hit. The flag is read first: a cache line that all loops read stays shared.
func (e *entry) touch() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// renewable reports whether an unchanged identity makes the entry good again.
func (e *entry) renewable() bool {
	return e != nil && !e.transient && (e.kind == kindBody || e.kind == kindFile)
}

// whole reports whether the entry is more than a shell.
func (e *entry) whole() bool {
	return e.kind != kindBody && e.kind != kindFile || e.content.Load() != nil
}

// drop releases an entry that is held. e may be nil if it is not.
func (e *entry) drop(held bool) {
	if held {
		e.Release()
	}
}

// hit counts an answer out of memory.
func hit(e *entry, out *conn.Output) {
	out.Counters().CacheHits++
	e.touch()
}

// tryRetain adds a reference unless the entry is gone.
func (e *entry) tryRetain() bool {
	for {
		n := e.refs.Load()
		if n <= 0 {
			return false
		}
		if e.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Retain adds a reference; the caller holds one.
func (e *entry) Retain() { e.refs.Add(1) }

// Release drops a reference; the last one frees the contents and the descriptor.
func (e *entry) Release() {
	if e.refs.Add(-1) > 0 {
		return
	}
	if c := e.content.Swap(nil); c != nil {
		c.release()
		release(c.variants)
	}
}

// release frees what contents hold beside memory.
func release(all []*content) {
	for _, c := range all {
		c.release()
	}
}

// representation is what the head of a file's answer is made of.
type representation struct {
	mediaType  string // empty: the answer has none
	coding     http1.Coding
	negotiable bool
	size       int64
	mtime      timestamp
	wall       int64  // the time of the look, in nanoseconds since 1970
	recent     bool   // the file changed so short before the look that it may have changed again unseen
	dynamic    bool   // compressed by us, from the bytes that everything else here is about
	hash       []byte // of the bytes that are sent; nil: there is none
}

// newContent makes the content of a file: its head and validators.
func (s *Site) newContent(r representation) *content {
	c := &content{
		size: r.size, exact: (!r.recent || r.hash != nil) && !r.dynamic,
		coding: r.coding, negotiable: r.negotiable, dynamic: r.dynamic,
	}
	b := make([]byte, 0, 384)
	var opaque []byte // of the entity tag
	weak := r.dynamic // the tag may stay while the bytes change (RFC 9110 section 8.8.1)
	if r.hash != nil {
		opaque = hex.AppendEncode(nil, r.hash[:16])
	}
	if sec := r.mtime.seconds; r.mtime.validator() {
		c.dated, c.dateExact = true, !r.recent && !r.dynamic && sec <= r.wall/1e9
		// RFC 9110 section 8.8.2.1: not later than the Date of the answer.
		c.modified = min(sec, r.wall/1e9)
		b = append(http1.AppendDate(append(b, "Last-Modified: "...), c.modified), "\r\n"...)
		if s.options.ETag != ETagOff && r.hash == nil {
			opaque = strconv.AppendInt(append(r.mtime.appendHex(nil), '-'), r.size, 16)
			weak = r.recent || r.dynamic
		}
	}
	if opaque != nil {
		if weak {
			c.etag = append(c.etag, "W/"...)
		}
		c.etag = append(append(c.etag, '"'), opaque...)
		if r.coding != http1.CodingIdentity {
			// No two representations have the same strong tag (RFC 9110 section 8.8.3.3).
			c.etag = append(append(c.etag, '-'), r.coding.String()...)
		}
		c.etag = append(c.etag, '"')
		b = append(append(append(b, "ETag: "...), c.etag...), "\r\n"...)
	}
	b = append(b, c.vary()...) // a 304 has it too (RFC 9110 section 15.4.5)
	c.validators = len(b)
	if r.mediaType != "" {
		b = http1.AppendField(b, "Content-Type", r.mediaType)
	}
	c.typed = len(b)
	b = append(b, "X-Content-Type-Options: nosniff\r\n"...)
	if !r.dynamic {
		b = append(b, "Accept-Ranges: bytes\r\n"...)
	}
	if r.coding != http1.CodingIdentity {
		b = http1.AppendField(b, "Content-Encoding", r.coding.String())
	}
	c.common = len(b)
	c.head = appendLength(b, r.size)
	return c
}

// joinMax is up to what size, in bytes, a body is kept behind its head. Both are copied for each answer, and so a cache
// line and a page fewer are touched.
const joinMax = 4 << 10

// join adds the body, which it takes over.
func (c *content) join(body []byte) {
	c.body = body
	if len(body) > joinMax {
		return
	}
	both := make([]byte, 0, len(c.head)+len(body))
	both = append(append(both, c.head...), body...)
	c.head, c.body = both[:len(c.head):len(c.head)], both[len(c.head):]
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	return append(http1.AppendInt(dst, n), "\r\n"...)
}
