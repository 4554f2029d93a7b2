package static

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/mediatype"
)

// ETag says what the entity tags of a site's files are made of.
type ETag uint8

const (
	ETagMtime   ETag = iota // size and modification time, or the bytes of a small file whose time says nothing
	ETagContent             // a hash of the bytes, made off the loop; see hashMax
	ETagOff                 // there are none
)

// The words for the values of Options, in their order.
var (
	ETagNames          = []string{"mtime", "content", "off"}
	LinksNames         = []string{"beneath", "follow", "deny"}
	PrecompressedNames = []string{"br", "zst", "gz"}
	CodingNames        = []string{"zstd", "gzip"}
)

// Options are one site's rules. They are not changed after New.
type Options struct {
	ViewOptions
	Root          string            // a directory, or a link to one
	Index         []string          // names tried in a directory, in order
	Ranges        int               // how many a request may ask for, with more the file is sent; 0: rangesDefault
	Types         map[string]string // media types by extension, before the built-in ones
	Precompressed []string          // of br, zst, gz: extensions of files that stand in for others, by preference
	Compress      []string          // of zstd, gzip: codings of files without such a variant, by preference
	// RelativeRedirects has a redirect to a directory's slash lead to ./name/ and not to /path/name/. That holds behind
	// a proxy which takes a prefix away, but some programs do not understand it.
	RelativeRedirects bool
	Valid             time.Duration // how stale an answer may be under load; 0: every request looks at the file
	Paths             []PathRule    // what rules say of single paths, for the listings that these are in
	Tell              Tell
	Now               func() time.Time // the clock of work off the loops; nil: time.Now
}

// errorLife is for how long a remembered error is believed, in nanoseconds.
const errorLife = 100e6

// Site serves the files of one root, as one view of it. View makes others, with other options. It is safe for use by
// any number of goroutines.
type Site struct {
	*tree
	view     uint32 // the number of the view; 0: the one that New made
	options  ViewOptions
	hide     hidden // ViewOptions.Hide
	index    []string
	ranges   int  // how many a request may ask for
	relative bool // Options.RelativeRedirects
	types    mediatype.Table

	precompressed []precompression
	compress      []compressor

	valid int64 // for how long a look is believed under load, in nanoseconds
}

// tree is what all views of a site share: the root, and what looks after it.
type tree struct {
	path    string           // the absolute path of the root
	pathNUL []byte           // the same with NUL, as the kernel takes it
	now     func() time.Time // Options.Now
	walks   bool             // paths are resolved by root.walk, without openat2

	cache  *Cache
	closer closer
	tell   Tell
	rules  []PathRule // Options.Paths
	hide   hidden     // Options.Hide, as the first view has it

	root     atomic.Pointer[root]
	checked  atomic.Int64 // Clock.Mono of the last look at the root's path
	checking atomic.Bool  // a goroutine looks at it
	checkMu  sync.Mutex   // held by the one that looks at it
	gone     time.Time    // since when the root's path leads nowhere; zero: it does not
	closed   bool

	allPrecompressed []precompression // those of views whose files are not encoded
	allCompress      []compressor     // the same

	viewsMu sync.Mutex
	views   map[string]*Site // all but the first, by their options
}

// Tell tells an operator what can be mended, and of which path: each time that it happens, which may be thousands of
// times a second, from any goroutine, loops too. It must not block. The words of a message are the same each time, but
// for the system's error and the path of a root. A function that is nil is not called.
type Tell struct {
	Warn func(msg, path string) // a path is answered otherwise than it might be
	Fail func(msg, path string) // what is at the path cannot be served
}

// warn tells the operator about a path.
func (t *tree) warn(msg, path string) {
	if t.tell.Warn != nil {
		t.tell.Warn(msg, path)
	}
}

// fail tells the operator that what is at a path cannot be served: the root is gone, its disk fails.
func (t *tree) fail(msg, path string) {
	if t.tell.Fail != nil {
		t.tell.Fail(msg, path)
	}
}

// New opens a site. Its errors name what is wrong and what would be right.
func New(opts Options, cache *Cache) (*Site, error) {
	return newSite(opts, cache, !haveOpenat2())
}

func newSite(opts Options, cache *Cache, walks bool) (*Site, error) {
	s := &Site{
		tree:    &tree{now: opts.Now, walks: walks, cache: cache},
		options: opts.ViewOptions,
		index:   opts.Index, ranges: opts.Ranges, relative: opts.RelativeRedirects, valid: int64(opts.Valid),
	}
	if s.ranges == 0 {
		s.ranges = rangesDefault
	}
	s.tell, s.rules = opts.Tell, opts.Paths
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.hide, err = newHidden(opts.Hide); err != nil {
		return nil, err
	}
	s.tree.hide = s.hide
	if s.types, err = mediatype.New(opts.Types); err != nil {
		return nil, err
	}
	if s.precompressed, err = named("precompressed", opts.Precompressed, precompressions,
		"kind of file that clients can decode: want br, zst or gz"); err != nil {
		return nil, err
	}
	if s.compress, err = named("compress", opts.Compress, compressors,
		"coding that files are compressed with: want zstd or gzip"); err != nil {
		return nil, err
	}
	s.allPrecompressed, s.allCompress = s.precompressed, s.compress
	for _, name := range opts.Index {
		if err := CheckIndex(name); err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
	}
	if s.path, err = filepath.Abs(opts.Root); err != nil || strings.Contains(s.path, "\x00") {
		return nil, rootError(opts.Root, errors.Join(err, unix.EINVAL))
	}
	s.pathNUL = append([]byte(s.path), 0)
	r, err := s.openRoot()
	if err != nil {
		return nil, rootError(s.path, err)
	}
	r.number = rootNumbers.Add(1)
	s.root.Store(r)
	s.checked.Store(-rootEvery)
	return s, nil
}

// CheckIndex says what is wrong with an element of Options.Index.
func CheckIndex(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q: want the name of a file, without a slash", name)
	}
	return nil
}

// Cache is the cache that the site was made with.
func (t *tree) Cache() *Cache { return t.cache }

// Root is the absolute path of the root.
func (t *tree) Root() string { return t.path }

// Close gives up the root, and what is cached of it, of all views. Answers under way are not disturbed, and later
// requests get 404. It does not wait for a loop.
func (t *tree) Close() {
	t.checkMu.Lock()
	defer t.checkMu.Unlock()
	if !t.closed {
		t.closed = true
		t.replaceRoot(&root{tree: t})
	}
}

// closePeek closes a descriptor that was opened for fstat alone. Such a descriptor pins its inode like any other. Only
// if the file may have lost its last name meanwhile does closing it free blocks, which a loop must not wait for.
func (t *tree) closePeek(fd int, linked bool) {
	if !linked {
		t.closer.close(fd)
		return
	}
	// The descriptor is gone whatever close(2) says, and nothing was written to it.
	_ = unix.Close(fd)
}
