package listing

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/evhttpd/evhttpd/internal/background"
)

const (
	// directoryMax bounds the memory of one directory's names and rows, in bytes. It has room for 100,000 names of
	// 255 bytes, or 400,000 of 20. Names beyond it are counted and not listed.
	directoryMax = 32 << 20
	// storeMax bounds the memory of all directories that are being read, kept or sent. A directory that finds no room
	// is answered with 503.
	storeMax = 64 << 20
	// smallDirectory is the size, in bytes, up to which a directory may use the last quarter of storeMax, so that slow
	// clients of huge directories cannot turn every listing into 503.
	smallDirectory = 1 << 20
	// keptMax is how many directories are kept for the next page of them. A directory of one page is read again.
	keptMax = 16
)

// Store bounds the memory of all listings, and keeps a few large directories for those who turn pages.
type Store struct {
	DirectoryMax int64        // bound of one directory, in bytes
	Max          int64        // bound of all directories, in bytes
	Used         atomic.Int64 // bytes reserved

	mu       sync.Mutex
	kept     map[Key]*Directory
	readings map[Key]*reading // the directories that are being read

	// streams renders the blocks of all streams, on one goroutine: listings take one CPU at most from the event loops.
	// A stream waits in it once at a time, so that no more wait than there are connections.
	streams background.Queue[*Stream]
}

// Key names a directory.
type Key struct {
	Root, View uint32 // which opening of which site's root it is in, and by which rules it is shown
	Path       string // decoded, with its slash at the end
}

// NewStore returns an empty store with the usual bounds.
func NewStore() *Store {
	return &Store{
		DirectoryMax: directoryMax, Max: storeMax,
		kept: make(map[Key]*Directory), readings: make(map[Key]*reading),
	}
}

// reserve takes n bytes if no more than limit are taken then, giving up what is kept if need be.
func (s *Store) reserve(n, limit int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.Used.Load()+n > limit {
		if !s.dropOldest() {
			return false
		}
	}
	s.Used.Add(n)
	return true
}

// dropOldest gives up the directory that was read first. mu is held.
func (s *Store) dropOldest() bool {
	if len(s.kept) == 0 {
		return false
	}
	s.drop(slices.MinFunc(slices.Collect(maps.Values(s.kept)), func(a, b *Directory) int {
		return cmp.Compare(a.ReadAt(), b.ReadAt())
	}))
	return true
}

// drop gives up a directory that is kept. mu is held.
func (s *Store) drop(d *Directory) {
	delete(s.kept, d.Key)
	d.Release()
}

// get returns what is kept of a directory, with a reference; nil if nothing is, or it was read before oldest (of
// clock.Time.Mono).
func (s *Store) get(key Key, oldest int64) *Directory {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.kept[key]
	if d == nil || d.readAt.Load() < oldest {
		return nil
	}
	d.Retain()
	return d
}

// put keeps a directory of more than one page, unless its root is retired. It returns the directory to be used, which
// is the one kept before if nothing has changed since: all who are sent a directory that does not change share its
// memory. The caller's reference passes from d to the directory that is returned.
func (s *Store) put(d *Directory, retired *atomic.Bool) *Directory {
	s.mu.Lock()
	old := s.kept[d.Key]
	if old != nil {
		old.Retain()
	}
	s.mu.Unlock()
	same := old != nil && old.equal(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if same {
		old.readAt.Store(max(old.ReadAt(), d.ReadAt())) // it was still the same then
		d.Release()
		return old
	}
	if old != nil {
		old.Release()
	}
	if now := s.kept[d.Key]; now != nil {
		s.drop(now)
	}
	if d.n <= PageRows || retired.Load() {
		return d
	}
	if len(s.kept) == keptMax {
		s.dropOldest()
	}
	d.Retain()
	s.kept[d.Key] = d
	return d
}

// DropRoot gives up the directories of a root that has been retired.
func (s *Store) DropRoot(root uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, d := range s.kept {
		if k.Root == root {
			s.drop(d)
		}
	}
}
