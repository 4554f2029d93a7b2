package static

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Links says which symbolic links beneath a root are followed.
type Links uint8

const (
	LinksBeneath Links = iota // those whose target lies beneath the root, relative or absolute
	LinksFollow               // all
	LinksDeny                 // none
)

// errWait says that an answer would have to be waited for: the pool asks again.
var errWait = errors.New("static: not in memory")

// openFlags open what is to be read. O_NONBLOCK: the open of a FIFO must not wait for its writer. O_NOCTTY: a terminal
// must not become ours.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// resolver opens files beneath a root, the first of the steps from a path to an answer.
type resolver struct {
	root   *root
	links  Links
	cached bool // only with what the kernel has in memory, or errWait
}

// opened is a file that was opened, or looked at.
type opened struct {
	name []byte // relative to the root, ends with NUL
	fd   int
	stat unix.Stat_t // its state then
}

// openFile opens the regular file of f.name. The error is errWait or an errno: EISDIR for a directory, ENODEV for what
// is neither.
func (r *resolver) openFile(f *opened) (err error) {
	if f.fd, err = r.open(f.name); err != nil {
		return err
	}
	if err = fstat(f.fd, &f.stat); err == nil {
		err = servable(f.stat.Mode)
	}
	if err != nil {
		r.root.tree.closer.close(f.fd)
	}
	return err
}

// open opens a name, see root.open.
func (r *resolver) open(name []byte) (fd int, err error) {
	return r.root.open(name, r.links, false, r.cached)
}

// peek looks at the regular file of f.name without the right to read it. Its errors are those of openFile.
func (r *resolver) peek(f *opened) error {
	fd, err := r.root.open(f.name, r.links, true, r.cached)
	if err != nil {
		return err
	}
	err = fstat(fd, &f.stat)
	r.root.tree.closePeek(fd, err == nil && f.stat.Nlink > 0)
	if err == nil {
		err = servable(f.stat.Mode)
	}
	return err
}

// check looks at the regular file of f.name, and leaves nothing open. Its errors are those of openFile.
func (r *resolver) check(f *opened) error {
	if r.cached {
		return r.peek(f)
	}
	err := r.openFile(f) // and not peek, which follows fewer links: see root.open
	if err == nil {
		r.root.tree.closer.close(f.fd)
	}
	return err
}

// servable says why a file of that mode is not served as a file.
func servable[M uint16 | uint32](mode M) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return unix.EISDIR
	}
	return unix.ENODEV
}

// open opens a name beneath the root, following links as the view does. The name is relative, ends with NUL, and has no
// dot segments. peek: only for fstat (O_PATH), where the platform has that. cached: with what the kernel has in memory,
// or errWait. Other errors are errnos: EXDEV for a link that leaves the root, ELOOP for one that is denied, ENODEV for
// what is neither file nor directory.
func (r *root) open(name []byte, links Links, peek, cached bool) (int, error) {
	if r.tree.walks {
		if cached {
			return -1, errWait
		}
		return r.walk(string(name[:len(name)-1]), links)
	}
	fd, err := r.openBeneath(name, links, true, cached)
	if err == nil && !peek {
		if err = r.readable(fd); err != nil {
			return -1, err
		}
		fd, err = r.openBeneath(name, links, false, cached)
	}
	switch {
	case cached && (err == unix.EAGAIN || err == unix.EXDEV):
		// EXDEV: a link to be resolved by hand, or another file system's mount.
		return -1, errWait
	case err == unix.EXDEV && links == LinksBeneath && !peek, err == unix.EAGAIN:
		return r.walk(string(name[:len(name)-1]), links)
	}
	return fd, err
}

// readable closes fd, which was opened to be looked at, and returns ENODEV if what it is must not be opened: an open
// alone wakes the writer of a FIFO, which then fails for want of a reader, and does to a device whatever its driver
// does.
func (r *root) readable(fd int) error {
	var st unix.Stat_t
	err := fstat(fd, &st)
	r.tree.closePeek(fd, err == nil && st.Nlink > 0)
	if err != nil {
		return err
	}
	return openable(uint32(st.Mode))
}

// openable returns ENODEV for a FIFO, a device or a socket.
func openable(mode uint32) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
		return nil
	}
	return unix.ENODEV
}
