package static

import (
	"crypto/sha256"
	"errors"
	"io"

	"github.com/evhttpd/evhttpd/sendfile"
)

const (
	// recentChange is how short before a look a change makes the look untrustworthy, in nanoseconds: a second change
	// may leave the same time stamp (FAT counts in steps of 2 s, ext3 of 1 s, others in the kernel's ticks).
	recentChange = 2e9
	// readRetries is how often a file is read again that changed while it was read.
	readRetries = 3
	// hashMax is the size up to which a file is hashed, in bytes: a disk reads that in a second or two. Larger ones
	// have a tag of size and time, as without ETagContent.
	hashMax = 256 << 20
	// hashUntimedMax is the size up to which a file is hashed because its time tells no versions apart, in bytes.
	// Nobody asked for that: it takes a worker a millisecond or two when the file is first served.
	hashUntimedMax = 1 << 20
	// hashChunk is how much is read at a time to be hashed.
	hashChunk = 128 << 10
)

// errGrown says that a file became too large for memory while it was read.
var errGrown = errors.New("static: the file has grown")

// describer makes contents of open files, the second of the steps from a path to an answer.
type describer struct {
	resolver
	site *Site
	wall int64 // the time, in nanoseconds since 1970
}

// content makes the content of an open file, and takes over its descriptor. recent: the file may have changed again
// unseen, and is not to be kept.
func (d *describer) content(f *opened, r *representation) (c *content, recent bool, err error) {
	s := d.site
	if d.cached && d.hashed(f) { // of a precompressed variant, whose time is its own
		s.closer.close(f.fd)
		return nil, false, errWait
	}
	var body []byte
	inMemory := s.cache.keeps(f.stat.Size)
	if inMemory {
		var settled bool
		body, settled, err = d.read(f)
		recent = !settled
		if err == errGrown {
			inMemory, err = false, nil
		}
	}
	recent = recent || d.recent(f)
	switch {
	case inMemory && err == nil:
		r.size = int64(len(body))
		if d.hashed(f) {
			sum := sha256.Sum256(body)
			r.hash = sum[:]
		}
	case !inMemory:
		if d.hashed(f) && !recent {
			r.hash, recent, err = d.hash(f)
		}
		r.size = f.stat.Size
	}
	var version sendfile.Version
	if !inMemory && err == nil {
		version, err = d.version(f)
	}
	if err != nil {
		s.closer.close(f.fd)
		return nil, false, err
	}
	r.mtime, r.wall, r.recent = timestampOf(f.stat.Mtim), d.wall, recent
	c = s.newContent(*r)
	if inMemory {
		s.closer.close(f.fd)
		c.join(body)
		return c, recent, nil
	}
	flags := d.root.flags
	if !d.cached {
		flags = sendfile.FlagsFor(f.fd) // it may be another mount's
	}
	c.file = sendfile.New(f.fd, flags, s.closer.close)
	c.file.Expect(version)
	c.file.OnFault(s.unreadable(f.name))
	return c, recent, nil
}

// version is what the open file is compared with while it is sent. The only error is errWait: whether its bytes can be
// read shows when they are sent.
func (d *describer) version(f *opened) (v sendfile.Version, err error) {
	mtime := timestampOf(f.stat.Mtim)
	v.Size, v.Seconds, v.Nanoseconds = f.stat.Size, mtime.seconds, mtime.nanoseconds
	offset, length := sendfile.EndOf(v.Size)
	end := make([]byte, length)
	for n := 0; n < length; {
		m, err := d.readAt(f.fd, end[n:], offset+int64(n))
		if err == errWait {
			return v, err
		}
		if err != nil || m == 0 {
			return v, nil
		}
		n += m
	}
	v.SetEnd(end)
	return v, nil
}

// hashed reports whether the entity tag of the file is made of its bytes.
func (d *describer) hashed(f *opened) bool {
	switch d.site.options.ETag {
	case ETagContent:
		return true
	case ETagMtime:
		return f.stat.Size <= hashUntimedMax && !timestampOf(f.stat.Mtim).validator()
	}
	return false
}

// hash reads the file. changed: it was written to meanwhile, so that there is no hash. It waits for the disk.
func (d *describer) hash(f *opened) (sum []byte, changed bool, err error) {
	before := identityOf(&f.stat)
	if before.size > hashMax {
		return nil, false, nil
	}
	h := sha256.New()
	p := make([]byte, hashChunk)
	for offset := int64(0); offset < before.size; {
		n, err := d.readAt(f.fd, p[:min(hashChunk, before.size-offset)], offset)
		if err != nil {
			return nil, false, err
		}
		if n == 0 {
			break // it has been cut short, as fstat is about to say
		}
		h.Write(p[:n]) // a hash takes everything
		offset += int64(n)
	}
	if err := fstat(f.fd, &f.stat); err != nil {
		return nil, false, err
	}
	if identityOf(&f.stat) != before {
		return nil, true, nil
	}
	return h.Sum(nil), false, nil
}

// read reads the whole file. settled: it did not change meanwhile, and f.stat is its state.
func (d *describer) read(f *opened) (body []byte, settled bool, err error) {
	for range readRetries {
		before := identityOf(&f.stat)
		body = make([]byte, before.size)
		n, err := d.readFull(f.fd, body)
		body = body[:n]
		if err == nil {
			err = fstat(f.fd, &f.stat)
		}
		if err != nil {
			return nil, false, err
		}
		switch {
		case n == int(before.size) && identityOf(&f.stat) == before:
			return body, true, nil
		case d.cached:
			return nil, false, errWait
		case !d.site.cache.keeps(f.stat.Size):
			return nil, false, errGrown
		}
	}
	return body, false, nil
}

// readFull reads from the beginning of a file until p is full or the file ends.
func (d *describer) readFull(fd int, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := d.readAt(fd, p[n:], int64(n))
		if m == 0 || err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

func (d *describer) readAt(fd int, p []byte, offset int64) (int, error) {
	if d.cached {
		return readNow(fd, p, offset, d.root.flags&sendfile.InMemory != 0)
	}
	return pread(fd, p, offset)
}

// recent reports whether the file changed so short before the look that another change may not show. Its ctime tells,
// since no one can set it; its mtime too, where a file system has no ctime.
func (d *describer) recent(f *opened) bool {
	return timestampOf(f.stat.Ctim).near(d.wall, recentChange) || timestampOf(f.stat.Mtim).near(d.wall, recentChange)
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
		if err == sendfile.ErrChanged {
			s.warn("the file was changed in place while it was sent, and the answer cut short: "+
				"replace files by renaming new ones over them", path)
			return
		}
		s.fail("the file cannot be read to its end: "+err.Error(), path)
	}
}
