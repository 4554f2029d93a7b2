package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// cacheFile is cache.file: larger files are sent with sendfile.
const cacheFile = 64 << 10

// turn is the most that one call sends of a file.
const turn = 256 << 10

// sizes are those of the files, about the cache's bound, pages and turns, and how often each is asked for.
var sizes = []struct{ bytes, weight int64 }{
	{0, 20}, {1, 20}, {31, 20}, {33, 20}, {1000, 60}, {4096, 60}, {4097, 40}, {20_000, 40},
	{cacheFile - 1, 8}, {cacheFile, 8}, {cacheFile + 1, 8}, {100_000, 6}, {256 << 10, 3}, {300_001, 3},
	{1 << 20, 1}, {3 << 20, 1},
}

// target is a path that clients ask for, with its file in both roots, and the stored coding of that.
type target struct {
	name  string
	files [2]*file
	gz    [2]*file // nil: there is none
	habit habit
	class int64
}

// tenure is a time in which the root's link led to one of the roots.
type tenure struct {
	root         int
	began, ended time.Duration // ended 0: it does still
}

// world is what is served, and how it changes.
type world struct {
	folder  string
	started time.Time
	targets []*target
	weights []int64 // the sum of weights up to each target
	files   []*file

	mu      sync.RWMutex
	tenures []tenure

	changes [habits]atomic.Int64
	swaps   atomic.Int64
}

func (w *world) since() time.Duration { return time.Since(w.started) }

// epoch is when the soak began, since 1970.
func (w *world) epoch() time.Duration { return time.Duration(w.started.UnixNano()) }

// newWorld makes both roots and all files.
func newWorld(folder string) (*world, error) {
	w := &world{folder: folder, started: time.Now()}
	for root := range 2 {
		if err := os.Mkdir(filepath.Join(folder, fmt.Sprintf("root%d", root)), 0o755); err != nil {
			return nil, err
		}
	}
	var sum int64
	add := func(h habit, class, weight int64, suffix string, coded bool) error {
		t := &target{name: fmt.Sprintf("%v-%d%s", h, class, suffix), habit: h, class: class}
		for root := range 2 {
			var err error
			if t.files[root], err = w.newFile(root, t.name, h, class); err != nil {
				return err
			}
			if !coded {
				continue
			}
			if t.gz[root], err = w.newFile(root, t.name+".gz", h, class/2); err != nil {
				return err
			}
		}
		sum += weight
		w.targets, w.weights = append(w.targets, t), append(w.weights, sum)
		return nil
	}
	for h := range habits {
		for _, s := range sizes {
			if err := add(h, s.bytes, s.weight, ".bin", false); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range sizes[4:12] { // with a stored coding, and to be compressed
		if err := add(renamed, s.bytes, s.weight, ".txt", true); err != nil {
			return nil, err
		}
		if err := add(renamed, s.bytes, s.weight/4, ".css", false); err != nil {
			return nil, err
		}
	}
	w.tenures = []tenure{{root: 0}}
	return w, os.Symlink("root0", filepath.Join(folder, "root"))
}

func (w *world) newFile(root int, name string, h habit, class int64) (*file, error) {
	f := &file{
		number: uint32(len(w.files) + 1), habit: h, class: class,
		path: filepath.Join(w.folder, fmt.Sprintf("root%d", root), name),
	}
	w.files = append(w.files, f)
	return f, f.replace(w, class)
}

// pick is one of the targets, small ones more often.
func (w *world) pick(r *rand.Rand) *target {
	n := r.Int64N(w.weights[len(w.weights)-1])
	lo, hi := 0, len(w.weights)-1
	for lo < hi {
		if mid := (lo + hi) / 2; w.weights[mid] > n {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return w.targets[lo]
}

// roots are those that the link led to at some time between two.
func (w *world) roots(from, to time.Duration) (served [2]bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, t := range w.tenures {
		if t.began <= to && (t.ended == 0 || t.ended >= from) {
			served[t.root] = true
		}
	}
	return served
}

// swap has the root's link lead to the other root.
func (w *world) swap() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := &w.tenures[len(w.tenures)-1]
	next := tenure{root: 1 - last.root, began: w.since()}
	name := filepath.Join(w.folder, ".link")
	if err := os.Symlink(fmt.Sprintf("root%d", next.root), name); err != nil {
		return err
	}
	if err := os.Rename(name, filepath.Join(w.folder, "root")); err != nil {
		return err
	}
	last.ended = w.since()
	if w.tenures = append(w.tenures, next); len(w.tenures) > historyMax {
		w.tenures = w.tenures[1:]
	}
	w.swaps.Add(1)
	return nil
}

// keepChanging changes one file after another, so many a second, and the root's link now and then, until stop is
// closed.
func (w *world) keepChanging(r *rand.Rand, perSecond int, stop <-chan struct{}) error {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		var err error
		if n%(10*perSecond) == 0 {
			err = w.swap()
		} else if f := w.files[r.IntN(len(w.files))]; f.habit != still {
			if err = f.change(w, r); err == nil {
				w.changes[f.habit].Add(1)
			}
		}
		if err != nil {
			return err
		}
	}
}
