package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// historyMax is how many states of a file are remembered: more than it has in the time of the slowest answer.
const historyMax = 128

// habit is how a file changes.
type habit int

const (
	still     habit = iota // it does not
	renamed                // another is renamed over it, or it is unlinked and comes back
	appended               // something is appended, and now and then another renamed over it
	truncated              // it is cut, extended by zeros and written anew, in place
	rewritten              // it is overwritten in place
	habits
)

// String names the habit; it is the beginning of the files' names.
func (h habit) String() string {
	return [...]string{"still", "renamed", "appended", "truncated", "rewritten"}[h]
}

// extent is a part of a file, up to the next one: bytes of that version, or zeros.
type extent struct {
	from    int64
	version uint32
}

// state is what a file was after a change.
type state struct {
	began, ended time.Duration // of the change; since the soak began
	absent       bool
	size         int64
	mtime        int64 // nanoseconds since 1970
	extents      []extent
	// overwrote: the change put other bytes, or zeros, where there were some, so that an answer whose pages are on
	// their way shows them. partial: it took more than one step of the kernel: a look may have met it half done.
	overwrote, partial bool
}

// tag is the entity tag that belongs to the state, without quotes.
func (s *state) tag() string {
	return strconv.FormatInt(s.mtime, 16) + "-" + strconv.FormatInt(s.size, 16)
}

// each calls visit with the parts of a range and the version that each is of.
func (s *state) each(from, to int64, visit func(from, to int64, version uint32) bool) {
	for i, e := range s.extents {
		end := s.size
		if i+1 < len(s.extents) {
			end = s.extents[i+1].from
		}
		if lo, hi := max(from, e.from), min(to, end); lo < hi && !visit(lo, hi, e.version) {
			return
		}
	}
}

// file is one file beneath one of the roots, with what it was.
type file struct {
	number uint32
	path   string
	habit  habit
	class  int64 // about how large it is

	mu      sync.RWMutex // held for writing while the file changes
	states  []*state     // the last ones; the last of them is what it is now
	version uint32       // the last that was written
}

// window returns the states that the file was in at some time between two, newest first, and of each the one before it.
func (f *file) window(from, to time.Duration) (found, before []*state) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for i := len(f.states) - 1; i >= 0; i-- {
		s := f.states[i]
		if i+1 < len(f.states) && f.states[i+1].ended < from {
			break
		}
		if s.began > to {
			continue
		}
		found = append(found, s)
		if i > 0 {
			before = append(before, f.states[i-1])
		} else {
			before = append(before, s)
		}
	}
	return found, before
}

// remembers reports whether the file once had that tag, and when it lost it.
func (f *file) remembers(tag string) (lost time.Duration, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for i := len(f.states) - 2; i >= 0; i-- {
		if !f.states[i].absent && f.states[i].tag() == tag {
			return f.states[i+1].ended, true
		}
	}
	return 0, false
}

// now is the state that the file is in. The caller holds mu.
func (f *file) now() *state { return f.states[len(f.states)-1] }

// changed adds the state that a change has led to: the caller says what it did, the kernel the rest.
func (f *file) changed(w *world, s *state) error {
	if !s.absent {
		var st unix.Stat_t
		if err := unix.Stat(f.path, &st); err != nil {
			return err
		}
		s.size, s.mtime = st.Size, st.Mtim.Nano()
	}
	s.ended = w.since()
	if f.states = append(f.states, s); len(f.states) > historyMax {
		f.states = slices.Delete(f.states, 0, len(f.states)-historyMax)
	}
	return nil
}

// replace renames a new file of that size over this one.
func (f *file) replace(w *world, size int64) error {
	f.version++
	p := make([]byte, size)
	fill(p, f.number, f.version, 0)
	name := filepath.Join(filepath.Dir(filepath.Dir(f.path)), ".new") // outside of the roots: nobody asks for it
	s := &state{began: w.since(), extents: []extent{{0, f.version}}}
	if err := os.WriteFile(name, p, 0o644); err != nil {
		return err
	}
	if err := os.Rename(name, f.path); err != nil {
		return err
	}
	return f.changed(w, s)
}

// remove unlinks the file.
func (f *file) remove(w *world) error {
	s := &state{began: w.since(), absent: true}
	if err := os.Remove(f.path); err != nil {
		return err
	}
	return f.changed(w, s)
}

// truncate sets the size in place. What it adds is zeros.
func (f *file) truncate(w *world, size int64) error {
	old := f.now()
	if old.size == size {
		return nil
	}
	// Whole pages are taken from the file, and an answer that has them keeps them; of the last page the rest is
	// overwritten by zeros.
	s := &state{began: w.since(), partial: true, overwrote: size < old.size && size > 0}
	for _, e := range old.extents {
		if e.from < size {
			s.extents = append(s.extents, e)
		}
	}
	if size > old.size {
		s.extents = append(s.extents, extent{old.size, 0})
	}
	if err := os.Truncate(f.path, size); err != nil {
		return err
	}
	return f.changed(w, s)
}

// write overwrites the file in place from that offset on with a new version, and appends what is behind its end.
func (f *file) write(w *world, from, size int64) error {
	old := f.now()
	f.version++
	p := make([]byte, size)
	fill(p, f.number, f.version, from)
	fd, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer fd.Close()
	s := &state{began: w.since(), partial: true, overwrote: from < old.size}
	for _, e := range old.extents {
		if e.from < from {
			s.extents = append(s.extents, e)
		}
	}
	s.extents = append(s.extents, extent{from, f.version})
	if from+size < old.size {
		return fmt.Errorf("%s: a write that leaves a rest", f.path)
	}
	if _, err := fd.WriteAt(p, from); err != nil {
		return err
	}
	return f.changed(w, s)
}

// change does one of the things that belong to the file's habit.
func (f *file) change(w *world, r *rand.Rand) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	size := f.class
	if r.IntN(2) == 0 && size > 0 {
		size += r.Int64N(size/8 + 2)
	}
	if now.absent {
		return f.replace(w, size)
	}
	switch f.habit {
	case renamed:
		if r.IntN(8) == 0 && !strings.HasSuffix(f.path, ".gz") && !strings.HasSuffix(f.path, ".txt") {
			return f.remove(w)
		}
		return f.replace(w, size)
	case appended:
		if now.size > 2*f.class+1<<16 {
			return f.replace(w, size)
		}
		return f.write(w, now.size, 1+r.Int64N(1<<14))
	case truncated:
		switch r.IntN(5) {
		case 0:
			return f.replace(w, size)
		case 1:
			return f.truncate(w, r.Int64N(now.size+1))
		}
		if err := f.truncate(w, 0); err != nil {
			return err
		}
		if err := f.truncate(w, size); err != nil || r.IntN(2) == 0 {
			return err
		}
		return f.write(w, 0, size)
	case rewritten:
		return f.write(w, 0, max(now.size, size))
	}
	return nil
}
