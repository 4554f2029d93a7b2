package static

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/sendfile"
)

// cacheModel drives a cache at random beside a plain map of what was put.
type cacheModel struct {
	t       *rapid.T
	cache   *Cache
	limits  Limits
	roots   []*root
	latest  map[key]*entry
	opened  int
	closed  int
	pinned  []*entry // references held outside the cache
	devNull int
}

func (m *cacheModel) put(t *rapid.T) {
	r := rapid.SampledFrom(m.roots).Draw(t, "root")
	path := fmt.Sprintf("/%d", rapid.IntRange(0, 40).Draw(t, "path"))
	c := &content{head: make([]byte, 100)}
	kind := kindBody
	if rapid.Bool().Draw(t, "file") {
		kind = kindFile
		m.opened++
		c.file = sendfile.New(m.devNull, 0, func(int) { m.closed++ })
	} else {
		c.body = make([]byte, rapid.IntRange(0, 6000).Draw(t, "size"))
	}
	e := newEntry(kind, path, c)
	e.key.scope = scope{root: r.number}
	e.transient = rapid.IntRange(0, 9).Draw(t, "transient") == 0
	m.cache.put(e, r)
	m.latest[e.key] = e
	if rapid.IntRange(0, 9).Draw(t, "pin") == 0 {
		m.pinned = append(m.pinned, e)
	} else {
		e.Release()
	}
}

func (m *cacheModel) get(t *rapid.T) {
	r := rapid.SampledFrom(m.roots).Draw(t, "root")
	path := fmt.Sprintf("/%d", rapid.IntRange(0, 40).Draw(t, "path"))
	e := m.cache.get(scope{root: r.number}, []byte(path))
	if e == nil {
		return
	}
	if e != m.latest[key{scope{root: r.number}, path}] || e.transient || r.retired.Load() {
		t.Fatalf("%s: an entry that was replaced, not to be kept, or of a root given up", path)
	}
	if e.content.Load() == nil {
		t.Fatalf("%s: an entry without its content", path)
	}
	e.touch()
	e.Release()
}

// check holds the cache to its bounds.
func (m *cacheModel) check(t *rapid.T) {
	bytes, descriptors, entries := m.cache.Usage()
	if m.limits.Memory > 0 && bytes > m.limits.Memory || bytes < 0 || entries == 0 && bytes != 0 {
		t.Fatalf("%d bytes in %d entries, limit %d", bytes, entries, m.limits.Memory)
	}
	if m.limits.Descriptors > 0 && descriptors > m.limits.Descriptors || m.limits.Descriptors < 0 && descriptors > 0 {
		t.Fatalf("%d descriptors, limit %d", descriptors, m.limits.Descriptors)
	}
	pinned := 0
	for _, e := range m.pinned {
		if c := e.content.Load(); c == nil {
			t.Fatal("a retained entry lost its content")
		} else if c.file != nil {
			pinned++
		}
	}
	if open := m.opened - m.closed; open < descriptors || open > descriptors+pinned {
		t.Fatalf("%d files are open for %d entries and %d references", open, descriptors, pinned)
	}
}

// TestCacheBounds: bytes and descriptors never exceed their limits, no entry is served that
// was replaced or given up, and in the end every descriptor has been closed.
func TestCacheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &cacheModel{t: t, latest: map[key]*entry{}, devNull: -1}
		m.limits = Limits{
			Memory:      rapid.SampledFrom([]int64{-1, 0, 3000, 20_000, 200_000}).Draw(t, "memory"),
			File:        rapid.SampledFrom([]int64{-1, 0, 1000, 5000}).Draw(t, "file"),
			Descriptors: rapid.SampledFrom([]int{-1, 0, 1, 3, 40}).Draw(t, "descriptors"),
		}
		m.cache = NewCache(m.limits)
		for range 3 {
			m.roots = append(m.roots, &root{number: rootNumbers.Add(1)})
		}
		t.Repeat(map[string]func(*rapid.T){
			"put":  m.put,
			"get":  m.get,
			"shed": func(*rapid.T) { m.cache.shed() },
			"dropRoot": func(t *rapid.T) {
				i := rapid.IntRange(0, len(m.roots)-1).Draw(t, "root")
				m.cache.dropRoot(m.roots[i])
				if rapid.Bool().Draw(t, "renew") {
					m.roots[i] = &root{number: rootNumbers.Add(1)}
				}
			},
			"unpin": func(*rapid.T) {
				for _, e := range m.pinned {
					e.Release()
				}
				m.pinned = nil
			},
			"": m.check,
		})
		for _, e := range m.pinned {
			e.Release()
		}
		for _, r := range m.roots {
			m.cache.dropRoot(r)
		}
		for _, r := range m.roots {
			for path := range 41 {
				if m.cache.get(scope{root: r.number}, fmt.Appendf(nil, "/%d", path)) != nil {
					t.Fatalf("/%d is left of a root given up", path)
				}
			}
		}
		if m.opened != m.closed {
			t.Fatalf("%d files opened, %d closed", m.opened, m.closed)
		}
	})
}

// TestCacheKeepsWhatIsHit: a run over paths that are asked for once does not push out one that is hit.
func TestCacheKeepsWhatIsHit(t *testing.T) {
	c := NewCache(Limits{Memory: 50_000, File: 1000, Descriptors: 10})
	r := &root{number: rootNumbers.Add(1)}
	put := func(path string) *entry {
		e := newEntry(kindBody, path, &content{body: make([]byte, 1000)})
		e.key.scope = scope{root: r.number}
		c.put(e, r)
		e.Release()
		return e
	}
	hot := put("/hot")
	for i := range 1000 {
		hot.touch()
		put(fmt.Sprintf("/cold/%d", i))
	}
	if hot.content.Load() == nil {
		t.Error("the entry that was hit has been evicted")
	}
}

// TestCacheClosesDescriptors has more large files than the cache may keep open.
func TestCacheClosesDescriptors(t *testing.T) {
	resolvers(t, func(t *testing.T, walks bool) {
		dir := t.TempDir()
		for i := range 100 {
			write(t, fmt.Sprintf("%s/%d", dir, i), strings.Repeat("x", 2000))
		}
		before := descriptors(t)
		s, err := newSite(testOptions(dir), NewCache(Limits{Memory: 1 << 20, File: 1000, Descriptors: 10}), walks)
		if err != nil {
			t.Fatal(err)
		}
		l := newLoop(t, s, s.Handler(IndexMax))
		l.advance(settled)
		for i := range 300 {
			l.get(fmt.Sprintf("/%d", i%100)).wantStatus(t, 200)
			if _, n, _ := s.cache.Usage(); n > 10 {
				t.Fatalf("%d descriptors", n)
			}
		}
		testkit.Until(t, "more files are open than the cache may keep",
			func() bool { return descriptors(t) <= before+10+1 })
		s.Close()
		testkit.Until(t, "descriptors are left open", func() bool { return descriptors(t) <= before })
	})
}

// TestOutOfDescriptors: EMFILE is 503 with Retry-After, and passes.
func TestOutOfDescriptors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "file")
	l := serve(t, testOptions(dir), false)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	r := l.get("/file")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	r.wantStatus(t, 503)
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	l.get("/file").want(t, 200, "file")
}

// TestCloserClosesAll has many goroutines hand descriptors over.
func TestCloserClosesAll(t *testing.T) {
	before := descriptors(t)
	var c closer
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 50 {
				if fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
					c.close(fd)
				}
			}
		}()
	}
	for range 8 {
		<-done
	}
	testkit.Until(t, "descriptors are left open", func() bool { return descriptors(t) <= before })
}
