package static

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/sendfile"
)

const (
	// rootEvery is how often the root's own path is looked up at most, in nanoseconds.
	rootEvery = 1e9
	// rootGoneEvery is the same while it leads nowhere.
	rootGoneEvery = 100e6
	// rootGrace is how long a root whose path has gone is still served, as long as
	// the directory itself is there: a link that is replaced is missing for a moment.
	rootGrace = time.Second
)

// rootNumbers numbers the roots of the process, so that no two share a cache key.
var rootNumbers atomic.Uint32

// scope tells the cache keys of one view of one root from all others.
type scope struct {
	root uint32 // the number of the root
	view uint32 // the number of the view
}

// scope is that of the view's keys while r is the root.
func (s *Site) scope(r *root) scope { return scope{r.number, s.view} }

// root is one opening of a site's root directory.
type root struct {
	tree     *tree
	number   uint32         // among all roots of the process that were served
	dir      *sendfile.File // the open directory, counted; nil: the path leads nowhere
	dev, ino uint64
	flags    sendfile.Flags // what is known of the root's file system
	local    bool           // a loop may try lookups
	retired  atomic.Bool    // another root has taken the place of this one
}

// rootState is what a look at the root's path came to.
type rootState uint8

const (
	rootUnknown rootState = iota // the look would have to wait
	rootSame
	rootOther // another directory, or none
)

// openRoot opens the directory that the root's path leads to now. It may block.
func (t *tree) openRoot() (*root, error) {
	fd, err := openat(unix.AT_FDCWD, t.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err == unix.EACCES {
		// A directory that may be searched and not read can be served, but not listed.
		fd, err = openat(unix.AT_FDCWD, t.path, searchFlag|unix.O_DIRECTORY|unix.O_CLOEXEC)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	// By a name within it, and not by its descriptor: EACCES if it may not be searched.
	if err := fstatat(fd, ".", &st, 0); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &root{
		tree: t, dir: sendfile.New(fd, 0, t.closer.close),
		dev: uint64(st.Dev), ino: uint64(st.Ino),
		flags: sendfile.FlagsFor(fd), local: localFS(fd),
	}, nil
}

// rootError explains why a root cannot be served.
func rootError(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("root %s: no such directory: create it, or name another", path)
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("root %s: not a directory: name the directory that the file is in (%s)",
			path, filepath.Dir(path))
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("root %s: permission denied: "+
			"let this user search it and the directories above it (chmod o+x)", path)
	}
	return fmt.Errorf("root %s: %w", path, err)
}

// acquire returns the current root with a reference on its descriptor, if it has one.
func (t *tree) acquire() *root {
	for {
		r := t.root.Load()
		if r.dir == nil || r.dir.TryRetain() {
			return r
		}
	}
}

func (r *root) release() {
	if r.dir != nil {
		r.dir.Release()
	}
}

// alive reports whether the directory still exists somewhere.
func (r *root) alive() bool {
	var st unix.Stat_t
	return r.dir != nil && fstat(r.dir.FD(), &st) == nil && st.Nlink > 0
}

// checkRoot looks the root's path up and, if it leads to another directory, replaces the root. It may block.
func (t *tree) checkRoot() {
	t.checkMu.Lock()
	defer t.checkMu.Unlock()
	if t.closed {
		return
	}
	old := t.root.Load()
	next, err := t.openRoot()
	switch {
	case err == nil && old.dir != nil && next.dev == old.dev && next.ino == old.ino:
		next.release()
		t.gone = time.Time{}
	case err == nil:
		t.gone = time.Time{}
		t.replaceRoot(next)
	case err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP || err == unix.EACCES:
		if t.gone.IsZero() {
			t.gone = t.now()
		}
		if old.dir != nil && (!old.alive() || t.now().Sub(t.gone) >= rootGrace) {
			t.fail(rootError(t.path, err).Error(), t.path)
			t.replaceRoot(&root{tree: t})
		}
	default:
		// Out of descriptors, or the disk fails: what is open goes on being served.
		t.fail(rootError(t.path, err).Error(), t.path)
	}
}

// replaceRoot puts next in the place of the root, and gives up what was cached of that. checkMu is held.
func (t *tree) replaceRoot(next *root) {
	next.number = rootNumbers.Add(1)
	old := t.root.Swap(next)
	t.cache.dropRoot(old)
	old.release()
}

// rootDue reports whether it is time to look the root's path up.
func (t *tree) rootDue(r *root, mono int64) bool {
	every := int64(rootEvery)
	if r.dir == nil {
		every = rootGoneEvery
	}
	return mono-t.checked.Load() >= every
}

// checkInBackground looks the root's path up on a goroutine, unless one does so already.
func (t *tree) checkInBackground() {
	if t.checking.CompareAndSwap(false, true) {
		go func() {
			defer t.checking.Store(false)
			t.checkRoot()
		}()
	}
}
