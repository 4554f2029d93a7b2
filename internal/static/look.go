package static

import (
	"crypto/sha256"
	"errors"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

const (
	// recentChange is how short before a look a change makes the look untrustworthy, in
	// nanoseconds: a second change may leave the same time stamp (FAT counts in
	// steps of 2 s, ext3 of 1 s, others in the kernel's ticks).
	recentChange = 2e9
	// readRetries is how often a file is read again that changed while it was read.
	readRetries = 3
	// jobRetries is how often a look begins anew because the root was replaced meanwhile.
	jobRetries = 3
)

// reasonMissing is all that is told of a path that is not there, is hidden, or
// may not be reached.
const reasonMissing = "no such file"

// errGrown says that a file became too large for memory while it was read.
var errGrown = errors.New("static: the file has grown")

// look finds out what a path leads to now. One is reused by its loop for all
// looks, so that an unchanged file costs no allocation.
type look struct {
	site   *Site
	root   *root
	cached bool  // only with what the kernel has in memory, or errWait
	mono   int64 // Clock.Mono when the look was asked for
	wall   int64 // now
	old    *entry

	negotiates   bool   // the request accepts codings
	siblingsSeen bool   // those of old were looked at and are unchanged
	name         []byte // of the file, relative, with NUL
	sibling      []byte // of one of its siblings
	stat         unix.Stat_t
}

// find returns the entry for a decoded path, with a reference for the caller.
// It is old if that is still true. The only error is errWait.
func (l *look) find(path []byte, old *entry) (*entry, error) {
	if l.root.dir == nil {
		return l.fail(path, 404, "the site's root is missing"), nil
	}
	l.old = nil
	if old.renewable() && old.key.scope == l.site.scope(l.root) && old.tryRetain() {
		l.old = old
		defer l.dropOld()
	}
	if path[len(path)-1] == '/' {
		return l.directory(path)
	}
	e, err := l.file(path, "")
	switch err {
	case nil, errWait:
		return e, err
	case unix.EISDIR:
		return l.entry(newEntry(kindRedirect, string(path), nil)), nil
	}
	return l.failure(path, err), nil
}

// dropOld releases what was not returned.
func (l *look) dropOld() {
	if l.old != nil {
		l.old.Release()
		l.old = nil
	}
}

// directory looks for an index file, and else lists the directory.
func (l *look) directory(path []byte) (*entry, error) {
	for _, index := range l.site.index {
		switch e, err := l.file(path, index); err {
		case nil, errWait:
			return e, err
		case unix.ENOENT, unix.EISDIR:
		default:
			return l.failure(path, err), nil
		}
	}
	if !l.site.listing {
		return l.fail(path, 404, "no such file, or a directory without an index file (listing is off)"), nil
	}
	e, err := l.listable(path)
	if err != nil && err != errWait {
		return l.failure(path, err), nil
	}
	return e, err
}

// file returns the entry of a regular file: path, or index in that directory.
// The error is errWait or an errno: EISDIR for a directory, ENODEV for what is neither.
func (l *look) file(path []byte, index string) (*entry, error) {
	l.name = append(append(append(l.name[:0], path[1:]...), index...), 0)
	if len(l.name) == 1 {
		l.name = append(l.name[:0], '.', 0)
	}
	if l.cached && l.old != nil {
		same, err := l.unchanged()
		if same {
			same, err = l.siblingsUnchanged()
		}
		switch {
		case err != nil:
			return nil, err
		case same:
			return l.renewed(), nil
		}
	}
	fd, err := l.open(false)
	if err == unix.EACCES && l.searchable() {
		return nil, unix.EISDIR
	}
	if err != nil {
		return nil, err
	}
	if err = fstat(fd, &l.stat); err == nil {
		err = servable(l.stat.Mode)
	}
	if err != nil {
		l.site.closer.close(fd)
		return nil, err
	}
	if l.old != nil && identityOf(&l.stat) == l.old.id {
		stat := l.stat
		same, err := l.siblingsUnchanged()
		if err != nil || same {
			l.site.closer.close(fd)
		}
		switch {
		case err != nil:
			return nil, err
		case same:
			return l.renewed(), nil
		}
		l.stat = stat
	}
	return l.load(fd, string(path), index)
}

// open opens l.name, see root.open.
func (l *look) open(peek bool) (int, error) {
	return l.root.open(l.name, l.site.links, peek, l.cached)
}

// unchanged compares the file with the old entry by a descriptor that is good for nothing else.
func (l *look) unchanged() (bool, error) {
	fd, err := l.open(true)
	if err != nil {
		return false, err
	}
	err = fstat(fd, &l.stat)
	l.site.closePeek(fd, err == nil && l.stat.Nlink > 0)
	return err == nil && identityOf(&l.stat) == l.old.id, err
}

// searchable reports whether the name is a directory that may not be read: it
// still has an address, with its slash.
func (l *look) searchable() bool {
	fd, err := l.open(true)
	if err != nil {
		return false
	}
	err = fstat(fd, &l.stat)
	l.site.closePeek(fd, err == nil && l.stat.Nlink > 0)
	return err == nil && l.stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

// servable says why a file of that mode is not served as a file.
func servable[M uint16 | uint32](mode M) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return unix.EISDIR
	}
	return unix.ENODEV
}

// renewed makes the old entry good again and hands it over; nil if there is none.
func (l *look) renewed() *entry {
	e := l.old
	l.old = nil
	if e != nil {
		e.looked.Store(l.mono)
		if l.siblingsSeen {
			e.siblings.Store(l.mono)
		}
	}
	return e
}

// load makes an entry of the open file whose state is l.stat, and takes over fd.
func (l *look) load(fd int, path, index string) (*entry, error) {
	stat, mediaType := l.stat, l.site.typeOf(path+index)
	compress := l.site.compresses(mediaType, l.stat.Size)
	if l.cached && (compress || l.hashed()) {
		l.site.closer.close(fd)
		return nil, errWait // neither is for a loop
	}
	variants, unsettled, err := l.variants(mediaType)
	if err != nil {
		l.site.closer.close(fd)
		return nil, err
	}
	l.stat = stat
	r := representation{mediaType: mediaType, negotiable: compress || len(variants) > 0 || unsettled}
	c, recent, err := l.content(fd, &r)
	if err != nil {
		release(variants)
		return nil, err
	}
	c.variants = variants
	if compress && !recent { // else it is not kept, and the work would be done for each request
		more, err := l.compressed(c, r)
		if err != nil {
			l.failure(nil, err).Release() // the operator is told, and the file is served as it is this once
			unsettled = true
		}
		c.variants = append(c.variants, more...)
	}
	kind := kindBody
	if c.file != nil {
		kind = kindFile
	}
	e := newEntry(kind, path, c)
	e.id, e.transient = identityOf(&l.stat), recent || unsettled
	return l.entry(e), nil
}

// content makes the answer of the open file whose state is l.stat, and takes
// over fd. recent: it may have changed again unseen, and is not to be kept.
func (l *look) content(fd int, r *representation) (c *content, recent bool, err error) {
	s := l.site
	if l.cached && l.hashed() { // a sibling: its time is its own
		s.closer.close(fd)
		return nil, false, errWait
	}
	var body []byte
	inMemory := s.cache.keeps(l.stat.Size)
	if inMemory {
		var settled bool
		body, settled, err = l.read(fd)
		recent = !settled
		if err == errGrown {
			inMemory, err = false, nil
		}
	}
	recent = recent || l.recent()
	switch {
	case inMemory && err == nil:
		r.size = int64(len(body))
		if l.hashed() {
			sum := sha256.Sum256(body)
			r.hash = sum[:]
		}
	case !inMemory:
		if l.hashed() && !recent {
			r.hash, recent, err = l.hash(fd)
		}
		r.size = l.stat.Size
	}
	if err != nil {
		s.closer.close(fd)
		return nil, false, err
	}
	r.mtime, r.wall, r.recent = timestampOf(l.stat.Mtim), l.wall, recent
	c = s.newContent(*r)
	if inMemory {
		s.closer.close(fd)
		c.join(body)
		return c, recent, nil
	}
	flags := l.root.flags
	if !l.cached {
		flags = sendfile.FlagsFor(fd) // it may be another mount's
	}
	name := l.name
	if r.coding != http1.CodingIdentity {
		name = l.sibling
	}
	c.file = sendfile.New(fd, flags, s.closer.close)
	c.file.OnFault(s.unreadable(name))
	return c, recent, nil
}

const (
	// hashMax is the size up to which a file is hashed, in bytes: a disk reads that
	// in a second or two. Larger ones have a tag of size and time, as without ETagContent.
	hashMax = 256 << 20
	// hashUntimedMax is the size up to which a file is hashed because its time tells no versions apart, in
	// bytes. Nobody asked for that: it takes a worker a millisecond or two when the file is first served.
	hashUntimedMax = 1 << 20
	// hashChunk is how much is read at a time to be hashed.
	hashChunk = 128 << 10
)

// hashed reports whether the entity tag of the file whose state is l.stat is made of its bytes.
func (l *look) hashed() bool {
	switch l.site.etag {
	case ETagContent:
		return true
	case ETagMtime:
		return l.stat.Size <= hashUntimedMax && !timestampOf(l.stat.Mtim).validator()
	}
	return false
}

// hash reads the open file, whose state is l.stat. changed: it was written to
// meanwhile, so that there is no hash. It waits for the disk.
func (l *look) hash(fd int) (sum []byte, changed bool, err error) {
	before := identityOf(&l.stat)
	if before.size > hashMax {
		return nil, false, nil
	}
	h := sha256.New()
	p := make([]byte, hashChunk)
	for offset := int64(0); offset < before.size; {
		n, err := l.readAt(fd, p[:min(hashChunk, before.size-offset)], offset)
		if err != nil {
			return nil, false, err
		}
		if n == 0 {
			break // it has been cut short, as fstat is about to say
		}
		h.Write(p[:n]) // a hash takes everything
		offset += int64(n)
	}
	if err := fstat(fd, &l.stat); err != nil {
		return nil, false, err
	}
	if identityOf(&l.stat) != before {
		return nil, true, nil
	}
	return h.Sum(nil), false, nil
}

// read reads the whole file. settled: it did not change meanwhile, and l.stat is its state.
func (l *look) read(fd int) (body []byte, settled bool, err error) {
	for range readRetries {
		before := identityOf(&l.stat)
		body = make([]byte, before.size)
		n, err := l.readFull(fd, body)
		body = body[:n]
		if err == nil {
			err = fstat(fd, &l.stat)
		}
		if err != nil {
			return nil, false, err
		}
		switch {
		case n == int(before.size) && identityOf(&l.stat) == before:
			return body, true, nil
		case l.cached:
			return nil, false, errWait
		case !l.site.cache.keeps(l.stat.Size):
			return nil, false, errGrown
		}
	}
	return body, false, nil
}

// readFull reads from the beginning of a file until p is full or the file ends.
func (l *look) readFull(fd int, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := l.readAt(fd, p[n:], int64(n))
		if m == 0 || err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

func (l *look) readAt(fd int, p []byte, offset int64) (int, error) {
	if l.cached {
		return readNow(fd, p, offset, l.root.flags&sendfile.InMemory != 0)
	}
	return pread(fd, p, offset)
}

// unreadable returns what tells the operator that an open file, whose name ends with NUL, cannot be read on. Its
// answers are cut short, which the status in the access log does not show.
func (s *Site) unreadable(name []byte) func(error) {
	path := s.path + "/" + string(name[:len(name)-1])
	return func(err error) {
		if err == io.ErrUnexpectedEOF {
			s.warn("the file became shorter while it was sent: replace files by renaming new ones over them", path)
			return
		}
		s.fail("the file cannot be read to its end: "+err.Error(), path)
	}
}

// recent reports whether the file changed so short before the look that
// another change may not show. Its ctime tells, since no one can set it; its mtime
// too, where a file system has no ctime.
func (l *look) recent() bool {
	return timestampOf(l.stat.Ctim).near(l.wall, recentChange) || timestampOf(l.stat.Mtim).near(l.wall, recentChange)
}

// entry completes a new entry.
func (l *look) entry(e *entry) *entry {
	e.key.scope = l.site.scope(l.root)
	e.life = l.site.valid
	if e.kind == kindError {
		e.life = min(e.life, errorLife)
	}
	e.looked.Store(l.mono)
	e.siblings.Store(l.mono)
	return e
}

func (l *look) fail(path []byte, status int, reason string) *entry {
	e := newEntry(kindError, string(path), nil)
	e.status, e.reason = status, reason
	return l.entry(e)
}

// failure makes an error's entry, and tells the operator what can be mended.
func (l *look) failure(path []byte, err error) *entry {
	s := l.site
	file := s.path + "/" + strings.TrimSuffix(string(l.name), "\x00")
	switch err {
	case unix.EXDEV:
		s.warn("a symbolic link leads out of the site's root: move its target beneath the root, "+
			"or set symlinks: follow", file)
		return l.fail(path, 404, reasonMissing)
	case unix.ELOOP:
		if s.links == LinksDeny {
			s.warn("a symbolic link, and symlinks: deny: set symlinks: beneath", file)
		} else {
			s.warn("too many levels of symbolic links: one of them leads back to itself", file)
		}
		return l.fail(path, 404, reasonMissing)
	case unix.ENODEV, unix.ENXIO, unix.EOPNOTSUPP:
		return l.fail(path, 404, "not a regular file")
	case unix.EACCES, unix.EPERM:
		s.warn("permission denied: let the server's user read the file and search the directories above it", file)
		return l.fail(path, 403, "the server may not read this file")
	}
	if missing(err) {
		return l.fail(path, 404, reasonMissing)
	}
	e := l.fail(path, 500, "the file cannot be read")
	e.transient = true
	switch {
	case err == unix.EMFILE || err == unix.ENFILE:
		s.cache.shed()
		s.warn("too many open files: raise RLIMIT_NOFILE (LimitNOFILE=) or lower cache.descriptors", s.path)
		e.status, e.reason = 503, "too many open files"
	case exhausted(err):
		e.status, e.reason = 503, "the file cannot be opened now"
	default:
		s.fail("the file cannot be read: "+err.Error(), file)
	}
	return e
}

// lookJob is a look by a worker, who may wait. Its result is the entry.
type lookJob struct {
	site *Site
	path string
	mono int64 // Clock.Mono when it was asked for: the entry is as old as that at most
}

// lookKey joins equal looks.
type lookKey struct {
	site *Site
	path string
}

// Key makes looks at the same path of the same site one.
func (j *lookJob) Key() any { return lookKey{j.site, j.path} }

// Class is that of files, or of those that are compressed.
func (j *lookJob) Class() conn.JobClass { return j.site.jobClass(j.path) }

// Run looks, and keeps the entry in the cache.
func (j *lookJob) Run(conn.Demand) conn.Result {
	path := []byte(j.path)
	for tries := 1; ; tries++ {
		r := j.site.acquire()
		e := j.site.lookIn(r, path, j.mono)
		r.release()
		if e.status == 404 && tries < jobRetries {
			// A file that is missing from a root that has been replaced is not missing.
			if j.site.checkRoot(); j.site.root.Load() != r {
				e.Release()
				continue
			}
		}
		j.site.cache.put(e, r)
		return e
	}
}

// lookIn looks at a path, waiting for what it must. The caller has a reference on the root.
func (s *Site) lookIn(r *root, path []byte, mono int64) *entry {
	old := s.cache.get(s.scope(r), path)
	if old != nil {
		defer old.Release()
	}
	l := look{site: s, root: r, mono: mono, wall: s.wall()}
	e, _ := l.find(path, old) // errWait is for looks that may not wait
	return e
}

// rootJob looks the root's path up. Its result says only that it is done.
type rootJob struct{ tree *tree }

type rootKey struct{ tree *tree }

// Key makes looks at the same root one.
func (j rootJob) Key() any { return rootKey(j) }

// Class is that of files.
func (j rootJob) Class() conn.JobClass { return conn.JobFile }

// Run looks, and replaces the root if need be.
func (j rootJob) Run(conn.Demand) conn.Result {
	j.tree.checkRoot()
	return rootChecked{}
}

// rootChecked is the result of a rootJob. It holds nothing.
type rootChecked struct{}

func (rootChecked) Retain()  {}
func (rootChecked) Release() {}
