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

// openFlags open what is to be read. O_NONBLOCK: a FIFO must not make its opener wait
// for a writer, nor a terminal become ours.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// open opens a name beneath the root, following links as the view does. The name is relative, ends with NUL, and
// has no dot segments. peek: only for fstat (O_PATH), where the platform has that.
// cached: with what the kernel has in memory, or errWait. Other errors are errnos:
// EXDEV for a link that leaves the root, ELOOP for one that is denied.
func (r *root) open(name []byte, links Links, peek, cached bool) (int, error) {
	if r.tree.walks {
		if cached {
			return -1, errWait
		}
		return r.walk(string(name[:len(name)-1]), links)
	}
	fd, err := r.openBeneath(name, links, peek, cached)
	switch {
	case cached && (err == unix.EAGAIN || err == unix.EXDEV):
		// EXDEV: a link to be resolved by hand, or another file system's mount.
		return -1, errWait
	case err == unix.EXDEV && links == LinksBeneath && !peek, err == unix.EAGAIN:
		return r.walk(string(name[:len(name)-1]), links)
	}
	return fd, err
}
