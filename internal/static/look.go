package static

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// jobRetries is how often a look begins anew because the root was replaced meanwhile.
const jobRetries = 3

// reasonMissing is all that is told of a path that is not there, is hidden, or may not be reached.
const reasonMissing = "no such file"

// look finds out what a path leads to now: it resolves the path to an open file, and describes that as an entry. Which
// representation of the entry a request is answered with is chosen for each request (entry.represent). A loop reuses
// one look for all, so that an unchanged file costs no allocation.
type look struct {
	describer
	mono       int64  // Clock.Mono when the look was asked for
	old        *entry // what the path led to before, if that may be renewed
	negotiates bool   // the request accepts codings

	file              opened // the file
	variant           opened // one of its precompressed variants
	precompressedSeen bool   // the precompressed variants of old were looked at, and are unchanged
}

// begin makes the look ready for a path of the view, beneath the root. wall is the time, mono when it was asked for.
func (l *look) begin(s *Site, r *root, mono, wall int64) {
	l.site, l.root, l.links, l.mono, l.wall = s, r, s.options.Links, mono, wall
}

// find returns the entry for a decoded path, with a reference for the caller. It is old if that is still true. The only
// error is errWait.
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
	e, err := l.regular(path, "")
	switch err {
	case nil, errWait:
		return e, err
	case unix.EISDIR:
		return l.entry(newEntry(kindRedirect, string(path), nil)), nil
	}
	return l.failure(path, l.file.name, err), nil
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
		switch e, err := l.regular(path, index); err {
		case nil, errWait:
			return e, err
		case unix.ENOENT, unix.EISDIR:
		default:
			return l.failure(path, l.file.name, err), nil
		}
	}
	if !l.site.options.Listing {
		return l.fail(path, 404, "no such file, or a directory without an index file (listing is off)"), nil
	}
	e, err := l.listable(path)
	if err != nil && err != errWait {
		return l.failure(path, l.file.name, err), nil
	}
	return e, err
}

// regular returns the entry of a regular file: path, or index in that directory. The error is errWait or an errno:
// EISDIR for a directory, ENODEV for what is neither.
func (l *look) regular(path []byte, index string) (*entry, error) {
	f := &l.file
	f.name = append(append(append(f.name[:0], path[1:]...), index...), 0)
	if len(f.name) == 1 {
		f.name = append(f.name[:0], '.', 0)
	}
	if l.cached && l.old != nil {
		// To find it unchanged, a descriptor will do that is good for nothing but fstat.
		if err := l.peek(f); err != nil {
			return nil, err
		}
		if e, err := l.renew(); e != nil || err != nil {
			return e, err
		}
	}
	err := l.openFile(f)
	if err == unix.EACCES && l.peek(f) == unix.EISDIR {
		return nil, unix.EISDIR // a directory that may not be read still has an address, with its slash
	}
	if err != nil {
		return nil, err
	}
	if e, err := l.renew(); e != nil || err != nil {
		l.site.closer.close(f.fd)
		return e, err
	}
	return l.load(string(path), index)
}

// renew makes the old entry good again and hands it over; nil: there is none, or l.file or one of its variants has
// changed. The only error is errWait.
func (l *look) renew() (*entry, error) {
	if l.old == nil || identityOf(&l.file.stat) != l.old.id || l.redated() {
		return nil, nil
	}
	if same, err := l.precompressedUnchanged(); !same || err != nil {
		return nil, err
	}
	e := l.old
	l.old = nil
	e.looked.Store(l.mono)
	if l.precompressedSeen {
		e.precompressedLooked.Store(l.mono)
	}
	return e, nil
}

// redated reports whether the clock was set so that the Last-Modified of the old entry is not what would be sent now:
// it is later than the Date of an answer, or a Date that was too early has stood in for it.
func (l *look) redated() bool {
	c, now := l.old.content.Load(), l.wall/1e9
	if c == nil || !c.dated {
		return false
	}
	for _, v := range c.variants {
		if v.modified > now {
			return true
		}
	}
	mtime := timestampOf(l.file.stat.Mtim).seconds
	return c.modified > now || c.modified < mtime && mtime <= now
}

// load makes an entry of l.file, which is open, and takes over its descriptor.
func (l *look) load(path, index string) (*entry, error) {
	f, mediaType := &l.file, l.site.TypeOf(path+index)
	compress := l.site.compresses(mediaType, f.stat.Size)
	if l.cached && (compress || l.hashed(f)) {
		l.site.closer.close(f.fd)
		return nil, errWait // neither is for a loop
	}
	variants, unsettled, err := l.variants(mediaType)
	if err != nil {
		l.site.closer.close(f.fd)
		return nil, err
	}
	r := representation{mediaType: mediaType, negotiable: compress || len(variants) > 0 || unsettled}
	c, recent, err := l.content(f, &r)
	if err != nil {
		release(variants)
		return nil, err
	}
	c.variants = variants
	if compress && !recent { // else it is not kept, and the work would be done for each request
		more, err := l.compressed(c, r)
		if err != nil {
			l.failure(nil, f.name, err).Release() // the operator is told, and the file is served as it is this once
			unsettled = true
		}
		c.variants = append(c.variants, more...)
	}
	kind := kindBody
	if c.file != nil {
		kind = kindFile
	}
	e := newEntry(kind, path, c)
	e.id, e.transient = identityOf(&f.stat), recent || unsettled
	return l.entry(e), nil
}

// entry completes a new entry.
func (l *look) entry(e *entry) *entry {
	e.key.scope = l.site.scope(l.root)
	e.life = l.site.valid
	if e.kind == kindError {
		e.life = min(e.life, errorLife)
	}
	e.looked.Store(l.mono)
	e.precompressedLooked.Store(l.mono)
	return e
}

func (l *look) fail(path []byte, status int, reason string) *entry {
	e := newEntry(kindError, string(path), nil)
	e.status, e.reason = status, reason
	return l.entry(e)
}

// failure makes the entry of an error, and tells the operator what can be mended. name is that of the file, with NUL.
func (l *look) failure(path, name []byte, err error) *entry {
	s := l.site
	file := s.path + "/" + strings.TrimSuffix(string(name), "\x00")
	switch err {
	case unix.EXDEV:
		s.warn("a symbolic link leads out of the site's root: move its target beneath the root, "+
			"or set symlinks: follow", file)
		return l.fail(path, 404, reasonMissing)
	case unix.ELOOP:
		if s.options.Links == LinksDeny {
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
		if err == unix.ENOMEM {
			s.warn("the kernel has no memory to open or read files with: raise the memory limit of the machine or of "+
				"the server's cgroup", s.path)
		}
		e.status, e.reason = 503, "the file cannot be opened now"
	default:
		s.fail("the file cannot be read: "+err.Error(), file)
	}
	return e
}

// lookIn looks at a path, waiting for what it must. The caller has a reference on the root.
func (s *Site) lookIn(r *root, path []byte, mono int64) *entry {
	old := s.cache.get(s.scope(r), path)
	if old != nil {
		defer old.Release()
	}
	l := &look{}
	l.begin(s, r, mono, s.now().UnixNano())
	e, _ := l.find(path, old) // errWait is for looks that may not wait
	return e
}

// rootJob looks the root's path up. It is its own key, so that looks at the same root are one, and its own result,
// which says only that it is done.
type rootJob struct{ tree *tree }

func (j rootJob) Key() any           { return j }
func (rootJob) Class() conn.JobClass { return conn.JobFile }
func (rootJob) Retain()              {}
func (rootJob) Release()             {}

// Run looks, and replaces the root if need be.
func (j rootJob) Run(conn.Demand) conn.Result {
	j.tree.checkRoot()
	return j
}
