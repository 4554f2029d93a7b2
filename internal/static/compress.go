package static

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/mediatype"
)

const (
	// compressMin is the size below which compression gains nothing: the answer is one packet anyway.
	compressMin = 1 << 10
	// compressMax bounds what is compressed, in bytes: it is held in memory whole, and takes a
	// worker some tens of milliseconds. With a small cache it is less, see Cache.compresses.
	compressMax = 1 << 20
)

// compressors make the bytes of each coding, by its name in Options. They are
// used by workers alone.
var compressors = map[string]compressor{
	"zstd": {http1.CodingZstd, zstdBytes},
	"gzip": {http1.CodingGzip, gzipBytes},
}

type compressor struct {
	coding http1.Coding
	bytes  func(p []byte) ([]byte, error)
}

// compresses reports whether a file of that size is compressed: an entry with all its codings has to fit into a shard,
// or the work would be done anew for each request.
func (c *Cache) compresses(size int64) bool {
	return size >= compressMin && size <= min(compressMax, c.shards[0].bytesMax/8)
}

// compresses reports whether a file of that type and size is one to be compressed.
func (s *Site) compresses(mediaType string, size int64) bool {
	return len(s.compress) > 0 && mediatype.Compressible(mediaType) && s.cache.compresses(size)
}

// jobClass is the class of looks at that path: those that may compress take longer.
func (s *Site) jobClass(path string) conn.JobClass {
	if len(s.compress) == 0 {
		return conn.JobFile
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if name == "" && len(s.index) > 0 {
		name = s.index[0]
	}
	if mediatype.Compressible(s.TypeOf(name)) {
		return conn.JobCompress
	}
	return conn.JobFile
}

// compressed makes the contents of the codings in which there is no precompressed variant. c is the content of l.file,
// made of r.
func (l *look) compressed(c *content, r representation) (all []*content, err error) {
	body := c.body
	if c.file != nil {
		if body, err = l.whole(c.file.FD(), c.size); err != nil || body == nil {
			return nil, err
		}
	}
	for _, with := range l.site.compress {
		if slices.ContainsFunc(c.variants, func(v *content) bool { return v.coding == with.coding }) {
			continue
		}
		p, err := with.bytes(body)
		if err != nil {
			return nil, err
		}
		if len(p) >= len(body) {
			continue
		}
		r.coding, r.size, r.dynamic = with.coding, int64(len(p)), true
		v := l.site.newContent(r)
		v.join(p)
		all = append(all, v)
	}
	return all, nil
}

// whole reads l.file, which is open as fd and has that size; nil: it was written to meanwhile.
func (l *look) whole(fd int, size int64) ([]byte, error) {
	body := make([]byte, size)
	if n, err := l.readFull(fd, body); err != nil || n < len(body) {
		return nil, err
	}
	var now unix.Stat_t
	if err := fstat(fd, &now); err != nil || identityOf(&now) != identityOf(&l.file.stat) {
		return nil, err
	}
	return body, nil
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func gzipBytes(p []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&out)
	if _, err := w.Write(p); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(out.Bytes()), nil
}

// zstdWriters have a window for which every client has room (RFC 9659: 8 MiB). Their options are valid, so that there
// is no error.
var zstdWriters = sync.Pool{New: func() any {
	w, _ := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(compressMax), zstd.WithLowerEncoderMem(true))
	return w
}}

func zstdBytes(p []byte) ([]byte, error) {
	w := zstdWriters.Get().(*zstd.Encoder)
	defer zstdWriters.Put(w)
	return bytes.Clone(w.EncodeAll(p, nil)), nil
}
