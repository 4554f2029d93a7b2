package static

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

const (
	// snapshotMax bounds the memory of one directory's names and rows, in bytes. It has room
	// for 100,000 names of 255 bytes, or 400,000 of 20; names beyond it are counted and not listed.
	snapshotMax = 32 << 20
	// snapshotsBytes bounds those of all directories that are read, kept or sent at a
	// time. One that finds no room is 503.
	snapshotsBytes = 64 << 20
	// The last quarter of that is for directories below smallSnapshot, in bytes: slow clients of large
	// ones leave the others theirs.
	smallSnapshot = 1 << 20
	// snapshotsKept is how many directories are kept for the next page of them. Those of
	// fewer rows than a page are read again instead.
	snapshotsKept = 16
	// countedMax bounds how many names of one directory are read at all.
	countedMax = 1_000_000
	// namesBatch is how many names are read at a time.
	namesBatch = 1024
	// readingMax is how long a directory may take to be read. After timeouts.deferred, 30 s
	// unless it is configured, no one waits for it.
	readingMax = 25 * time.Second
	// readmeMax is how much of a README is shown, in bytes.
	readmeMax = 64 << 10

	rowsBlock  = 1 << 10
	namesBlock = 64 << 10
	// rowCost is the memory of a row, and of its place in each order that is asked for.
	rowCost = 32 + 2*sorts*4
	// nameMax bounds a name: NAME_MAX is 255 bytes on Linux, up to 1,023 elsewhere.
	nameMax = 1 << 10
)

var (
	errFull        = errors.New("static: the directory has more names than are listed")
	errListings    = errors.New("static: no memory is left for listings")
	errListingSlow = errors.New("static: the directory takes too long to read")
)

// readmes are shown below a listing, the first that is there.
var readmes = []string{"README", "README.md", "README.txt"}

// row is one entry of a directory.
type row struct {
	at     uint32 // of its name: the block in the upper half, the offset in the lower
	length uint16 // of its name
	kind   rowKind
	size   int64 // of a file
	mtime  timestamp
}

type rowKind uint8

const (
	rowFile    rowKind = iota
	rowDir             // has no size
	rowUnknown         // the name is there, what it stands for could not be read: neither size nor time
)

// snapshot is what a directory held at one time. It is counted, and immutable but for its
// orders, which are made when they are first asked for.
type snapshot struct {
	refs   atomic.Int32
	store  *snapshots
	key    key
	looked atomic.Int64 // Clock.Mono

	names   [][]byte // of namesBlock; a name lies in one of them
	rows    [][]row  // of rowsBlock
	n       int
	dirs    int
	bytes   int64 // of all files together
	omitted int   // names there was no room for
	faults  int   // names that are rows of rowUnknown because of a fault
	cost    int64 // bytes reserved in store

	readme     string // its name; empty: none
	readmeText []byte // UTF-8, with LF
	readmeSize int64  // of the file

	mu     sync.Mutex
	orders [sorts][2][]int32
}

func (d *snapshot) row(i int) *row { return &d.rows[i/rowsBlock][i%rowsBlock] }

func (d *snapshot) name(r *row) []byte {
	at := r.at & (1<<16 - 1)
	return d.names[r.at>>16][at : at+uint32(r.length)]
}

// Retain adds a reference.
func (d *snapshot) Retain() { d.refs.Add(1) }

// Release drops a reference; the last one gives the memory back.
func (d *snapshot) Release() {
	if d.refs.Add(-1) == 0 {
		d.store.used.Add(-d.cost)
	}
}

// appendOmitted appends the field that says how many names are not listed, if there are any.
func (d *snapshot) appendOmitted(dst []byte) []byte {
	if d.omitted == 0 {
		return dst
	}
	return append(strconv.AppendInt(append(dst, "X-Not-Listed: "...), int64(d.omitted), 10), "\r\n"...)
}

// reserve takes memory, from what is kept of other directories if need be. Its
// errors are errFull and errListings.
func (d *snapshot) reserve(n int64) error {
	if d.cost+n > d.store.oneMax {
		return errFull
	}
	limit := d.store.allMax
	if d.cost+n > smallSnapshot {
		limit -= limit / 4
	}
	if !d.store.reserve(n, limit) {
		return errListings
	}
	d.cost += n
	return nil
}

// add appends a row. Its errors are those of reserve.
func (d *snapshot) add(name string, r row) error {
	if d.n == len(d.rows)*rowsBlock {
		if err := d.reserve(rowsBlock * rowCost); err != nil {
			return err
		}
		d.rows = append(d.rows, make([]row, 0, rowsBlock))
	}
	last := len(d.names) - 1
	if last < 0 || len(d.names[last])+len(name) > namesBlock {
		if err := d.reserve(namesBlock); err != nil {
			return err
		}
		d.names = append(d.names, make([]byte, 0, namesBlock))
		last++
	}
	r.at = uint32(last)<<16 | uint32(len(d.names[last]))
	r.length = uint16(len(name))
	d.names[last] = append(d.names[last], name...)
	d.rows[d.n/rowsBlock] = append(d.rows[d.n/rowsBlock], r)
	d.n++
	if r.kind == rowDir {
		d.dirs++
	} else if d.bytes += r.size; d.bytes < 0 {
		d.bytes = 1<<63 - 1
	}
	return nil
}

// snapshot reads a directory, whose path ends with a slash, with a reference for the caller.
func (l *look) snapshot(path string, demand conn.Demand) (*snapshot, error) {
	fd, err := l.openDirectory(path)
	if err != nil {
		return nil, err
	}
	d := &snapshot{store: &l.site.cache.snapshots, key: key{l.site.scope(l.root), path}}
	d.looked.Store(l.mono)
	d.refs.Store(1)
	if err = l.readRows(d, fd, path, demand); err != nil {
		d.Release()
		return nil, err
	}
	if d.readme != "" && l.site.showsFile(path+d.readme, true) {
		l.readReadme(d, path)
	}
	return d, nil
}

// showsFile reports whether the rules of a file's own path let a listing have it, and its content.
func (s *Site) showsFile(path string, content bool) bool {
	return s.shows == nil || s.shows(path, content)
}

// readRows reads the directory fd, which it closes.
func (l *look) readRows(d *snapshot, fd int, path string, demand conn.Demand) error {
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	best := len(readmes)
	began := time.Now()
	for read := 0; ; {
		names, err := dir.Readdirnames(namesBatch)
		if read += len(names); read > countedMax {
			d.omitted += len(names) // whatever else there is
			return nil
		}
		for _, name := range names {
			added, err := l.addName(d, fd, path, name)
			if err != nil {
				return err
			}
			if i := slices.Index(readmes[:best], name); added && i >= 0 {
				best, d.readme = i, readmes[i]
			}
			switch { // a file server may take its time with each name
			case time.Since(began) > readingMax:
				return errListingSlow
			case !demand.Wanted():
				return errUnwanted
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return unwrapErrno(err)
		}
	}
}

// addName adds a name of the directory dir, if it is listed and there is room for it. An error is one of the listing.
func (l *look) addName(d *snapshot, dir int, path, name string) (added bool, err error) {
	if l.site.hide.name(name) || len(name) > nameMax || !l.site.showsFile(path+name, false) {
		return false, nil
	}
	if d.omitted > 0 {
		d.omitted++
		return false, nil
	}
	r, err := l.row(dir, path, name)
	switch {
	case missing(err):
		return false, nil
	case exhausted(err):
		return false, err
	case fault(err):
		if d.faults == 0 {
			l.failure(nil, err).Release() // tells the operator: the first stands for all of the directory
		}
		d.faults++
	}
	switch err := d.add(name, r); err {
	case nil:
		return true, nil
	case errFull:
		d.omitted++
		return false, nil
	default:
		return false, err
	}
}

// unwrapErrno returns the errno behind an error of package os.
func unwrapErrno(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// row describes one name. A link is what it leads to, and not listed if that is not served: what lies outside
// the root does not show. A missing error says that a request for the name would be answered with 404; any
// other that the name is there, and all that is known.
func (l *look) row(dir int, path, name string) (row, error) {
	var st unix.Stat_t
	l.name = append(append(append(l.name[:0], path[1:]...), name...), 0)
	if err := fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return row{kind: rowUnknown}, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		fd, err := l.root.open(l.name, l.site.links, false, false)
		if err != nil {
			return row{kind: rowUnknown}, err
		}
		err = fstat(fd, &st)
		// Here, since links are many and may be waited for. Nothing was written to it.
		_ = unix.Close(fd)
		if err != nil {
			return row{kind: rowUnknown}, err
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return row{kind: rowDir, mtime: timestampOf(st.Mtim)}, nil
	case unix.S_IFREG:
		return row{kind: rowFile, size: st.Size, mtime: timestampOf(st.Mtim)}, nil
	}
	return row{}, unix.ENODEV
}

// readReadme reads the README, opened like any file that is asked for. One that cannot be
// read, of which the operator is told, or that there is no memory for, is not shown.
func (l *look) readReadme(d *snapshot, path string) {
	l.name = append(append(append(l.name[:0], path[1:]...), d.readme...), 0)
	fd, err := l.root.open(l.name, l.site.links, false, false)
	if err == nil {
		err = l.readText(d, fd)
		l.site.closer.close(fd)
	}
	if fault(err) {
		l.failure(nil, err).Release()
	}
}

// readText reads the README that fd is.
func (l *look) readText(d *snapshot, fd int) error {
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return err
	}
	if err := servable(st.Mode); err != nil {
		return err
	}
	text := make([]byte, min(max(st.Size, 0), readmeMax))
	n := 0
	for n < len(text) {
		m, err := l.readAt(fd, text[n:], int64(n))
		if err != nil {
			return err
		}
		if m == 0 {
			break
		}
		n += m
	}
	text = plainText(text[:n], int64(n) < st.Size)
	if d.reserve(int64(len(text))) == nil {
		d.readmeText, d.readmeSize = text, st.Size
	}
	return nil
}

// plainText makes text of bytes: valid UTF-8 without control characters but tab and LF.
// cut: a character at the end may be incomplete.
func plainText(p []byte, cut bool) []byte {
	if cut {
		for i := len(p) - 1; i >= max(len(p)-3, 0); i-- {
			if p[i]&0xC0 == 0xC0 {
				p = p[:i]
				break
			}
			if p[i] < 0x80 {
				break
			}
		}
	}
	p = bytes.TrimPrefix(p, []byte("\uFEFF"))
	return []byte(strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r == '\n' || r == '\t':
			return r
		case isControl(r):
			return '\uFFFD'
		}
		return r
	}, strings.ReplaceAll(string(p), "\r\n", "\n")))
}

// isControl reports whether HTML has no place for that character (C0 and C1).
func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// order returns the rows' indices in that order: directories first, always, and among them
// by name where they have nothing else to be sorted by.
func (d *snapshot) order(by uint8, desc bool) []int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	direction := 0
	if desc {
		direction = 1
	}
	if order := d.orders[by][direction]; order != nil {
		return order
	}
	order := make([]int32, d.n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int {
		a, b := d.row(int(i)), d.row(int(j))
		if aDir, bDir := a.kind == rowDir, b.kind == rowDir; aDir != bDir {
			if aDir {
				return -1
			}
			return 1
		}
		c := 0
		switch {
		case by == sortSize && a.kind != rowDir:
			c = cmp.Compare(a.size, b.size)
		case by == sortTime:
			c = a.mtime.compare(b.mtime)
		case by == sortName:
			c = compareNames(d.name(a), d.name(b))
		}
		if desc {
			c = -c
		}
		if c == 0 {
			c = compareNames(d.name(a), d.name(b))
		}
		return c
	})
	d.orders[by][direction] = order
	return order
}

// compareNames is the order of names as people count: runs of digits by their value
// (file2 before file10), ASCII letters without regard to case, all else by bytes. Names
// that are equal so are in the order of their bytes.
func compareNames(a, b []byte) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if isDigit(a[i]) && isDigit(b[j]) {
			x, y := digits(a[i:]), digits(b[j:])
			i, j = i+len(x), j+len(y)
			x, y = bytes.TrimLeft(x, "0"), bytes.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := bytes.Compare(x, y); c != 0 {
				return c
			}
			continue
		}
		if x, y := lower(a[i]), lower(b[j]); x != y {
			return int(x) - int(y)
		}
		i, j = i+1, j+1
	}
	if c := (len(a) - i) - (len(b) - j); i == len(a) != (j == len(b)) {
		return c
	}
	return bytes.Compare(a, b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digits(p []byte) []byte {
	n := 0
	for n < len(p) && isDigit(p[n]) {
		n++
	}
	return p[:n]
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// snapshots bound the memory of all listings, and keep a few large directories for those who turn pages.
type snapshots struct {
	used   atomic.Int64 // bytes reserved
	oneMax int64        // bytes of one directory
	allMax int64        // bytes of all

	mu   sync.Mutex
	kept map[key]*snapshot

	streams  renderer
	readings readings
}

// reserve takes n bytes if no more than limit are taken then, giving up what is kept if need be.
func (s *snapshots) reserve(n, limit int64) bool {
	for {
		if used := s.used.Load(); used+n <= limit {
			if s.used.CompareAndSwap(used, used+n) {
				return true
			}
			continue
		}
		s.mu.Lock()
		dropped := s.dropOldest()
		s.mu.Unlock()
		if !dropped {
			return false
		}
	}
}

// dropOldest gives up the directory that was read first. mu is held.
func (s *snapshots) dropOldest() bool {
	var oldest *snapshot
	for _, d := range s.kept {
		if oldest == nil || d.looked.Load() < oldest.looked.Load() {
			oldest = d
		}
	}
	if oldest == nil {
		return false
	}
	delete(s.kept, oldest.key)
	oldest.Release()
	return true
}

// get returns what is kept of a directory, with a reference; nil if that is nothing, or was
// read before oldest (Clock.Mono).
func (s *snapshots) get(k key, oldest int64) *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.kept[k]
	if d == nil || d.looked.Load() < oldest {
		return nil
	}
	d.Retain()
	return d
}

// put keeps a directory that has more than one page, with a reference of its own. It returns
// the snapshot to use, which is the one kept before if nothing has changed since: all who
// are sent a directory that does not change share its memory. The caller's reference goes with it.
func (s *snapshots) put(d *snapshot, r *root) *snapshot {
	s.mu.Lock()
	old := s.kept[d.key]
	if old != nil {
		old.Retain()
	}
	s.mu.Unlock()
	if old != nil && old.equal(d) {
		for {
			at, now := old.looked.Load(), d.looked.Load()
			if at >= now || old.looked.CompareAndSwap(at, now) {
				break
			}
		}
		d.Release()
		return old
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != nil {
		old.Release()
	}
	if now := s.kept[d.key]; now != nil {
		delete(s.kept, d.key)
		now.Release()
	}
	if d.n <= pageRows || r.retired.Load() {
		return d
	}
	if len(s.kept) == snapshotsKept {
		s.dropOldest()
	}
	if s.kept == nil {
		s.kept = make(map[key]*snapshot)
	}
	d.Retain()
	s.kept[d.key] = d
	return d
}

// equal reports whether both show the same, in the order in which the kernel told it.
func (d *snapshot) equal(other *snapshot) bool {
	return d.n == other.n && d.omitted == other.omitted && d.readmeSize == other.readmeSize &&
		slices.EqualFunc(d.rows, other.rows, slices.Equal[[]row]) &&
		slices.EqualFunc(d.names, other.names, bytes.Equal) &&
		d.readme == other.readme && bytes.Equal(d.readmeText, other.readmeText)
}

// dropRoot gives up the directories of a root that has been retired.
func (s *snapshots) dropRoot(r *root) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, d := range s.kept {
		if k.root == r.number {
			delete(s.kept, k)
			d.Release()
		}
	}
}
