package listing

import (
	"errors"
	"sync/atomic"
)

// ErrUnwanted ends the reading of a directory that no request waits for any more.
var ErrUnwanted = errors.New("listing: no request waits for the directory")

// reading is a directory that one caller of Store.Read reads. Others who want the same one wait for it, if it was begun
// late enough for them: so the pages and orders of a directory that many ask for at a time cost one look at each name.
type reading struct {
	began   int64 // clock.Time.Mono
	done    chan struct{}
	waiting int // how many have a reference to dir when done is closed; under Store.mu

	dir *Directory
	err error
}

// Read returns a directory, with a reference, as it was at oldest or later: the one that is kept, the one that another
// caller is reading, or one that read fills. now is the time, as oldest is, by clock.Time.Mono. A directory of more
// than one page is kept, unless its root is retired.
func (s *Store) Read(
	key Key, oldest, now int64, retired *atomic.Bool, read func(*Directory) error,
) (*Directory, error) {
	for {
		if dir := s.get(key, oldest); dir != nil {
			return dir, nil
		}
		other := s.join(key, now)
		if other == nil {
			break
		}
		<-other.done
		switch {
		case other.began >= oldest && other.err != ErrUnwanted:
			return other.dir, other.err
		case other.dir != nil:
			other.dir.Release()
		}
	}
	dir := s.newDirectory(key, now)
	err := read(dir)
	if err == nil {
		dir = s.put(dir, retired)
	} else {
		dir.Release()
		dir = nil
	}
	s.finish(key, dir, err)
	return dir, err
}

// join returns the reading of a directory that is under way, to be waited for; nil: there is none, and the caller has
// begun one, which finish ends.
func (s *Store) join(key Key, began int64) (other *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.readings[key]; r != nil {
		r.waiting++
		return r
	}
	s.readings[key] = &reading{began: began, done: make(chan struct{})}
	return nil
}

// finish gives what was read to those who wait for it, with a reference each.
func (s *Store) finish(key Key, dir *Directory, err error) {
	s.mu.Lock()
	r := s.readings[key]
	delete(s.readings, key)
	s.mu.Unlock()
	r.dir, r.err = dir, err
	if dir != nil {
		for range r.waiting {
			dir.Retain()
		}
	}
	close(r.done)
}
