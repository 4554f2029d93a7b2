package static

import (
	"container/list"
	"hash/maphash"
	"math"
	"sync"

	"github.com/evhttpd/evhttpd/internal/listing"
)

const (
	// shardsMax is how many locks a cache has at most.
	shardsMax = 16
	// A shard has room for so many files of the largest size, and descriptors,
	// or there are fewer shards.
	shardFiles       = 8
	shardDescriptors = 16
	// handSteps bounds how many entries one eviction looks at, under the lock.
	handSteps = 64
	// fileLimit bounds a file in memory whatever the configuration says: it is read in one go.
	fileLimit = 16 << 20
)

// Limits bound a Cache. 0: no limit; negative: nothing of that kind is kept.
type Limits struct {
	Memory      int64 // bytes of contents, heads and the entries themselves
	File        int64 // bytes of the largest file kept in memory, 16 MiB at most; larger ones are sent with sendfile
	Descriptors int   // open files kept for sendfile
	Listings    int64 // bytes of the directories that are listed; no more than usual, and half of it for one
}

// Cache holds what the paths of all sites led to: contents, heads, errors and open descriptors, under one bound. Its
// methods may be called from any goroutine. A lock is held for a look-up in a map and the eviction of a few entries.
type Cache struct {
	shards  []shard
	seed    maphash.Seed
	fileMax int64 // bytes of the largest file that is kept in memory

	listings *listing.Store // directories that were read, under bounds of their own
}

type shard struct {
	mu       sync.Mutex
	entries  map[key]*entry
	memory   sieve // entries without a descriptor
	files    sieve // entries with one
	bytes    int64 // the cost of all entries
	bytesMax int64
	_        [64]byte // so that two locks share no cache line
}

// NewCache returns an empty cache.
func NewCache(limits Limits) *Cache {
	unlimited := func(n int64) int64 {
		if n == 0 {
			return math.MaxInt64
		}
		return max(n, 0)
	}
	memory, descriptors := unlimited(limits.Memory), unlimited(int64(limits.Descriptors))
	c := &Cache{
		seed: maphash.MakeSeed(), fileMax: min(unlimited(limits.File), fileLimit), listings: listing.NewStore(),
	}
	if most := unlimited(limits.Listings); most < c.listings.Max {
		c.listings.Max, c.listings.DirectoryMax = most, min(c.listings.DirectoryMax, most/2)
	}
	n := int64(shardsMax)
	for n > 1 && (memory/n < shardFiles*(c.fileMax+entryOverhead) || descriptors/n < shardDescriptors) {
		n /= 2
	}
	c.shards = make([]shard, n)
	for i := range c.shards {
		s := &c.shards[i]
		s.entries = make(map[key]*entry)
		s.bytesMax = memory / n
		s.files.max = int(descriptors / n)
	}
	return c
}

// keeps reports whether a file of that size is to be kept in memory.
func (c *Cache) keeps(size int64) bool {
	return size <= c.fileMax && size+entryOverhead <= c.shards[0].bytesMax/2
}

func (c *Cache) shard(path []byte) *shard {
	return &c.shards[maphash.Bytes(c.seed, path)&uint64(len(c.shards)-1)]
}

// get returns the entry of a path with a reference; nil: there is none.
func (c *Cache) get(in scope, path []byte) *entry {
	s := c.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key{in, string(path)}]
	if e != nil {
		e.Retain()
	}
	return e
}

// put keeps e, with a reference of its own, in place of what the path led to before. An entry that is too large, or
// whose root has been given up, is not kept.
func (c *Cache) put(e *entry, r *root) {
	s := c.shard([]byte(e.key.path))
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[e.key]; old != nil {
		s.remove(old)
	}
	l := s.list(e)
	if e.transient || r.retired.Load() || e.cost > s.bytesMax/2 || l.max == 0 && l == &s.files {
		return
	}
	e.Retain()
	s.entries[e.key] = e
	s.bytes += e.cost
	l.push(e)
	for s.files.n > s.files.max {
		s.remove(s.files.victim())
	}
	for s.bytes > s.bytesMax {
		if s.memory.n > 0 {
			s.remove(s.memory.victim())
		} else {
			s.remove(s.files.victim())
		}
	}
}

// dropRoot forgets all entries of a root that has been given up. It takes time in proportion to the cache, so that no
// loop may call it.
func (c *Cache) dropRoot(r *root) {
	r.retired.Store(true) // a put that comes late sees it, under the shard's lock
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for k, e := range s.entries {
			if k.root == r.number {
				s.remove(e)
			}
		}
		s.mu.Unlock()
	}
	c.listings.DropRoot(r.number)
}

// shed gives up a descriptor of each shard: the process has run out of them.
func (c *Cache) shed() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if s.files.n > 0 {
			s.remove(s.files.victim())
		}
		s.mu.Unlock()
	}
}

// Usage returns what the cache holds: bytes, open descriptors, and entries of any kind.
func (c *Cache) Usage() (bytes int64, descriptors, entries int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		bytes += s.bytes
		descriptors += s.files.n
		entries += len(s.entries)
		s.mu.Unlock()
	}
	return bytes, descriptors, entries
}

func (s *shard) list(e *entry) *sieve {
	if e.files > 0 {
		return &s.files
	}
	return &s.memory
}

func (s *shard) remove(e *entry) {
	delete(s.entries, e.key)
	s.bytes -= e.cost
	s.list(e).remove(e)
	e.Release()
}

// sieve is a queue with a hand (SIEVE: Zhang et al., NSDI 2024). The hand goes from the oldest entry to the newest,
// spares those that answered a request since it came by, and takes the first that did not. Many paths that are asked
// for once cannot push out those that are asked for often.
type sieve struct {
	queue  list.List     // of entries, the newest in front
	hand   *list.Element // where the next search begins; nil: at the oldest
	n, max int           // how many entries there are and may be; descriptors, if the entries have any
}

func (l *sieve) push(e *entry) {
	e.place = l.queue.PushFront(e)
	l.n += max(e.files, 1)
}

func (l *sieve) remove(e *entry) {
	if l.hand == e.place {
		l.hand = e.place.Prev()
	}
	l.queue.Remove(e.place)
	l.n -= max(e.files, 1)
}

// victim returns the entry to be evicted from a queue that is not empty.
func (l *sieve) victim() *entry {
	at := l.hand
	for steps := 0; ; steps++ {
		if at == nil {
			at = l.queue.Back()
		}
		if e := at.Value.(*entry); steps == handSteps || !e.used.Swap(false) {
			l.hand = at.Prev()
			return e
		}
		at = at.Prev()
	}
}
