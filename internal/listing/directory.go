package listing

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	// ReadmeMax is how much of a README is shown, in bytes.
	ReadmeMax = 64 << 10

	rowsBlock  = 1 << 10
	namesBlock = 64 << 10
	// rowCost is the memory of a row, and of its place in each order that may be asked for, in bytes.
	rowCost = 32 + 2*int64(sortKeys)*4
)

// ErrMemory says that other listings have all the memory that there is for listings.
var ErrMemory = errors.New("listing: no memory is left for listings")

// errFull says that the directory is as large as one may be.
var errFull = errors.New("listing: the directory has more names than are listed")

// Kind is what a name stands for.
type Kind uint8

const (
	KindFile      Kind = iota
	KindDirectory      // has no size
	KindUnknown        // the name is there, but what it stands for could not be read: it has neither size nor time
)

// Row describes one name of a directory.
type Row struct {
	Size        int64 // of a file, in bytes
	Seconds     int64 // of the modification time, since 1970
	Nanoseconds int32 // of the modification time, beside the seconds
	Kind        Kind
}

// row is a Row with its name, as a Directory keeps it.
type row struct {
	Row
	at     uint32 // where its name is: the block in the upper half, the offset in the lower
	length uint16 // of its name
}

// Directory has what a directory held when it was read. It is counted. One goroutine fills it, and then gives it to
// Store.put. From then on it is not changed, but for the time at which it was read and its orders.
type Directory struct {
	Key    Key
	store  *Store
	refs   atomic.Int32
	readAt atomic.Int64 // clock.Time.Mono

	names   [][]byte // blocks of namesBlock; a name lies in one of them
	rows    [][]row  // blocks of rowsBlock
	n       int      // rows
	dirs    int      // rows of directories
	bytes   int64    // of all files together
	omitted int      // names for which there was no room
	cost    int64    // bytes reserved in the store

	readme     string // the name of the README; empty: there is none
	readmeText []byte // what is shown of it: UTF-8, with LF
	readmeSize int64  // bytes of the file

	mu     sync.Mutex
	orders map[Query][]int32 // the indices of the rows, by order and direction
}

// newDirectory returns an empty directory, with a reference for the caller. mono is Clock.Mono before it is read.
func (s *Store) newDirectory(key Key, mono int64) *Directory {
	d := &Directory{Key: key, store: s, orders: make(map[Query][]int32)}
	d.readAt.Store(mono)
	d.refs.Store(1)
	return d
}

func (d *Directory) row(i int) *row { return &d.rows[i/rowsBlock][i%rowsBlock] }

func (d *Directory) name(r *row) []byte {
	at := r.at & (1<<16 - 1)
	return d.names[r.at>>16][at : at+uint32(r.length)]
}

// Retain adds a reference.
func (d *Directory) Retain() { d.refs.Add(1) }

// Release drops a reference. The last one gives the memory back.
func (d *Directory) Release() {
	if d.refs.Add(-1) == 0 {
		d.store.Used.Add(-d.cost)
	}
}

// Len returns the number of names that the directory has.
func (d *Directory) Len() int { return d.n }

// ReadAt is when the directory was last found to be as it is, of clock.Time.Mono.
func (d *Directory) ReadAt() int64 { return d.readAt.Load() }

// Full reports whether there is no room for another name.
func (d *Directory) Full() bool { return d.omitted > 0 }

// Omit counts names that are there and not listed. The directory is full then.
func (d *Directory) Omit(names int) { d.omitted += names }

// Add appends a row, unless the directory is full: then the name is counted. The error is ErrMemory.
func (d *Directory) Add(name string, r Row) (added bool, err error) {
	if !d.Full() {
		err = d.add(name, r)
	}
	if d.Full() || err == errFull {
		d.Omit(1)
		return false, nil
	}
	return err == nil, err
}

// add appends a row. Its errors are those of reserve.
func (d *Directory) add(name string, r Row) error {
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
	at := uint32(last)<<16 | uint32(len(d.names[last]))
	d.names[last] = append(d.names[last], name...)
	block := &d.rows[d.n/rowsBlock]
	*block = append(*block, row{r, at, uint16(len(name))})
	d.n++
	if r.Kind == KindDirectory {
		d.dirs++
	} else if d.bytes += r.Size; d.bytes < 0 {
		d.bytes = math.MaxInt64
	}
	return nil
}

// reserve takes memory, from what is kept of other directories if need be. Its errors are errFull and ErrMemory.
func (d *Directory) reserve(n int64) error {
	if d.cost+n > d.store.DirectoryMax {
		return errFull
	}
	limit := d.store.Max
	if d.cost+n > smallDirectory {
		limit -= limit / 4
	}
	if !d.store.reserve(n, limit) {
		return ErrMemory
	}
	d.cost += n
	return nil
}

// SetReadme has the beginning of a README shown below the rows, unless there is no memory for it. size is that of the
// whole file.
func (d *Directory) SetReadme(name string, beginning []byte, size int64) {
	text := plainText(beginning, int64(len(beginning)) < size)
	if d.reserve(int64(len(text))) == nil {
		d.readme, d.readmeText, d.readmeSize = name, text, size
	}
}

// plainText makes text of bytes: valid UTF-8 without control characters but tab and LF. cut: the last character may be
// incomplete, and is left out then.
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
	return bytes.Map(func(r rune) rune {
		switch r {
		case '\r':
			return -1
		case '\n', '\t':
			return r
		}
		return visible(r)
	}, bytes.ReplaceAll(p, []byte("\r\n"), []byte{'\n'}))
}

// visible is the character, or U+FFFD in place of one that HTML has no place for.
func visible(r rune) rune {
	if isControl(r) {
		return utf8.RuneError
	}
	return r
}

// isControl reports whether HTML has no place for the character: C0, DEL and C1.
func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// equal reports whether both show the same, in the order in which the kernel told it.
func (d *Directory) equal(other *Directory) bool {
	return d.n == other.n && d.omitted == other.omitted && d.readmeSize == other.readmeSize &&
		slices.EqualFunc(d.rows, other.rows, slices.Equal[[]row]) &&
		slices.EqualFunc(d.names, other.names, bytes.Equal) &&
		d.readme == other.readme && bytes.Equal(d.readmeText, other.readmeText)
}

// Times before the year 0 and after 9999 have no form in RFC 3339. These are the bounds, in seconds since 1970.
const (
	calendarFirst = -62167219200
	calendarEnd   = 253402300800
)

// changed is when what the row stands for was last changed, in UTC. ok: that is known, and can be written with a year
// of four digits.
func (r *row) changed() (at time.Time, ok bool) {
	at = time.Unix(r.Seconds, int64(r.Nanoseconds)).UTC()
	return at, r.Kind != KindUnknown && r.Seconds >= calendarFirst && r.Seconds < calendarEnd
}
