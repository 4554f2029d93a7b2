package static

import (
	"errors"
	"sync"

	"github.com/evhttpd/evhttpd/conn"
)

// errUnwanted ends the reading of a directory that nobody waits for any more.
var errUnwanted = errors.New("static: nobody waits for the listing")

// reading is a directory that a worker reads. Others who want the same one wait for it, if it was begun late enough
// for them: so the pages and orders of a directory that many ask for at a time cost one look at each name.
type reading struct {
	began   int64 // Clock.Mono
	done    chan struct{}
	waiting int // who has a reference to dir when done is closed; under readings.mu

	dir *snapshot
	err error
}

// readings are the directories that are being read.
type readings struct {
	mu  sync.Mutex
	all map[key]*reading
}

// join returns the reading of a directory that is under way, to be waited for; nil: there is none, and the caller
// has begun one, which finish ends.
func (s *readings) join(k key, began int64) (other *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.all[k]; r != nil {
		r.waiting++
		return r
	}
	if s.all == nil {
		s.all = make(map[key]*reading)
	}
	s.all[k] = &reading{began: began, done: make(chan struct{})}
	return nil
}

// finish gives what was read to those who wait for it, with a reference each.
func (s *readings) finish(k key, dir *snapshot, err error) {
	s.mu.Lock()
	r := s.all[k]
	delete(s.all, k)
	s.mu.Unlock()
	r.dir, r.err = dir, err
	if dir != nil {
		for range r.waiting {
			dir.Retain()
		}
	}
	close(r.done)
}

// readDirectory returns a snapshot of the directory, with a reference, that was begun at oldest or later: one that is
// kept, one that another worker is reading, or a new one. now is the time.
func (l *look) readDirectory(path string, oldest, now int64, demand conn.Demand) (*snapshot, error) {
	store := &l.site.cache.snapshots
	k := key{l.site.scope(l.root), path}
	for {
		if dir := store.get(k, oldest); dir != nil {
			return dir, nil
		}
		other := store.readings.join(k, now)
		if other == nil {
			break
		}
		<-other.done
		switch {
		case other.began >= oldest && other.err != errUnwanted:
			return other.dir, other.err
		case other.dir != nil:
			other.dir.Release()
		}
	}
	l.mono = now
	dir, err := l.snapshot(path, demand)
	if err == nil {
		dir = store.put(dir, l.root)
	}
	store.readings.finish(k, dir, err)
	return dir, err
}
