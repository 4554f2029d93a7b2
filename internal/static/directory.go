package static

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/listing"
)

const (
	// namesMax bounds how many names of one directory are read at all.
	namesMax = 1_000_000
	// namesBatch is how many names are read at a time.
	namesBatch = 1024
	// readingMax is how long a directory may take to be read. After timeouts.deferred, 30 s unless it is configured,
	// no request waits for it any more.
	readingMax = 25 * time.Second
	// nameMax bounds a name, in bytes: NAME_MAX is 255 on Linux, up to 1,023 elsewhere.
	nameMax = 1 << 10
)

var errReadingSlow = errors.New("static: the directory takes too long to read")

// readmes are the names of a README: the first of them that is there is shown below a listing.
var readmes = []string{"README", "README.md", "README.txt"}

// listable makes the entry of a directory that is to be listed.
func (l *look) listable(path []byte) (*entry, error) {
	fd, err := l.openDirectory(string(path))
	if err != nil {
		return nil, err
	}
	l.site.closer.close(fd)
	return l.entry(newEntry(kindDir, string(path), nil)), nil
}

// openDirectory opens a directory to read it. path ends with a slash.
func (l *look) openDirectory(path string) (fd int, err error) {
	l.file.name = append(append(l.file.name[:0], path[1:]...), '.', 0)
	return l.open(l.file.name)
}

// readDirectory reads a directory into dir. path ends with a slash.
func (l *look) readDirectory(dir *listing.Directory, path string, demand conn.Demand) error {
	fd, err := l.openDirectory(path)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	r := reading{look: l, dir: dir, fd: fd, path: path, readme: len(readmes)}
	if err := r.names(file, demand); err != nil {
		return err
	}
	if r.readme < len(readmes) && l.site.listsText(path, readmes[r.readme]) {
		l.readReadme(dir, path, readmes[r.readme])
	}
	return nil
}

// reading is the reading of one directory.
type reading struct {
	*look
	dir    *listing.Directory
	fd     int    // the open directory
	path   string // its path, with its slash
	readme int    // the first of readmes that is there
	faulty bool   // a name could not be read because of a fault
}

// names adds all names of the directory.
func (r *reading) names(file *os.File, demand conn.Demand) error {
	deadline := r.site.now().Add(readingMax)
	for read := 0; ; {
		names, err := file.Readdirnames(namesBatch)
		if read += len(names); read > namesMax {
			r.dir.Omit(len(names)) // whatever else there is
			return nil
		}
		for _, name := range names {
			added, err := r.name(name)
			if err != nil {
				return err
			}
			if i := slices.Index(readmes[:r.readme], name); added && i >= 0 {
				r.readme = i
			}
			switch { // a file server may take its time with each name
			case r.site.now().After(deadline):
				return errReadingSlow
			case !demand.Wanted():
				return listing.ErrUnwanted
			}
		}
		if err == io.EOF {
			return nil
		}
		var errno unix.Errno
		if errors.As(err, &errno) { // without what package os says around it
			return errno
		}
		if err != nil {
			return err
		}
	}
}

// name adds a name, if it is listed and there is room for it. An error is one of the whole listing.
func (r *reading) name(name string) (added bool, err error) {
	if r.site.hide.name(name) || len(name) > nameMax || !r.site.lists(r.path, name) {
		return false, nil
	}
	if r.dir.Full() {
		r.dir.Omit(1)
		return false, nil
	}
	row, err := r.row(name)
	switch {
	case missing(err):
		return false, nil
	case exhausted(err):
		return false, err
	case fault(err) && !r.faulty:
		r.faulty = true
		r.failure(nil, r.file.name, err).Release() // tells the operator: the first stands for all of the directory
	}
	return r.dir.Add(name, row)
}

// row describes one name. A link is described as what it leads to, and not listed if that is not served: what lies
// outside the root does not show. A missing error says that a request for the name would be answered with 404. Any
// other says that the name is there, and that nothing else is known.
func (r *reading) row(name string) (listing.Row, error) {
	unknown := listing.Row{Kind: listing.KindUnknown}
	var st unix.Stat_t
	r.file.name = append(append(append(r.file.name[:0], r.path[1:]...), name...), 0)
	if err := fstatat(r.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return unknown, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		fd, err := r.open(r.file.name)
		if err != nil {
			return unknown, err
		}
		err = fstat(fd, &st)
		// Closed here, since links are many and a worker may wait. Nothing was written to it.
		_ = unix.Close(fd)
		if err != nil {
			return unknown, err
		}
	}
	at := timestampOf(st.Mtim)
	row := listing.Row{Kind: listing.KindDirectory, Seconds: at.seconds, Nanoseconds: at.nanoseconds}
	switch servable(st.Mode) {
	case nil:
		row.Kind, row.Size = listing.KindFile, st.Size
	case unix.ENODEV:
		return listing.Row{}, unix.ENODEV
	}
	return row, nil
}

// readReadme reads the README, opened like any file that is asked for. One that cannot be read is not shown; the
// operator is told.
func (l *look) readReadme(dir *listing.Directory, path, name string) {
	f := &l.file
	f.name = append(append(append(f.name[:0], path[1:]...), name...), 0)
	err := l.openFile(f)
	if err == nil {
		text := make([]byte, min(max(f.stat.Size, 0), listing.ReadmeMax))
		var n int
		if n, err = l.readFull(f.fd, text); err == nil {
			dir.SetReadme(name, text[:n], f.stat.Size)
		}
		l.site.closer.close(f.fd)
	}
	if fault(err) {
		l.failure(nil, f.name, err).Release()
	}
}
