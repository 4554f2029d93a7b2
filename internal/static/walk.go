package static

import (
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// linksMax is how many links one path may lead through, as in the kernel (path_resolution(7)).
	linksMax = 40
	// linkTargetMax is the longest target of a link, in bytes (PATH_MAX).
	linkTargetMax = 4096
)

// walk opens a name beneath the root, one component after the other, none through a link: links are read, and their
// targets walked in the same way. It is used where there is no openat2, and for links that openat2 takes for an escape:
// absolute ones, and those that leave the root and come back.
//
// Beneath the root every step is made from a descriptor that was reached from the root without a link, and ".." goes
// back to the one held before, so that no directory which is renamed or replaced meanwhile leads out. Outside the root
// only directories are opened, to look for the way back.
func (r *root) walk(name string, follow Links) (int, error) {
	if follow == LinksFollow {
		if err := statOpenable(r.dir.FD(), name, 0); err != nil {
			return -1, err
		}
		return openat(r.dir.FD(), name, openFlags)
	}
	w := walker{root: r, follow: follow, outside: -1, rest: name}
	fd, err := w.run()
	w.closeAll()
	return fd, err
}

type walker struct {
	root    *root
	follow  Links
	dirs    []int  // open directories, from the root's child down to the one that the walk is in
	outside int    // the open directory that the walk is in instead; -1: it is beneath the root
	rest    string // the path that is left to walk
	links   int    // how many links were read
}

func (w *walker) run() (int, error) {
	for {
		var name string
		name, w.rest, _ = strings.Cut(w.rest, "/")
		switch name {
		case "", ".":
			if w.rest == "" {
				return w.finish()
			}
			continue
		case "..":
			if err := w.up(); err != nil {
				return -1, err
			}
			continue
		}
		fd, last, err := w.step(name)
		if err != nil || last {
			return fd, err
		}
	}
}

// step opens one component. last: the component is what was asked for, and fd is open.
func (w *walker) step(name string) (fd int, last bool, err error) {
	last = w.rest == "" && w.outside < 0
	flags := searchFlag | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if last {
		flags = openFlags | unix.O_NOFOLLOW
		if err := statOpenable(w.here(), name, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return -1, false, err
		}
	}
	fd, err = openat(w.here(), name, flags)
	switch {
	case err == nil && last:
		return fd, true, nil
	case err == nil:
		return -1, false, w.enter(fd)
	}
	if exhausted(err) {
		return -1, false, err
	}
	// The errno for a link differs: ELOOP, EMLINK, EFTYPE, and ENOTDIR with O_DIRECTORY.
	target := make([]byte, linkTargetMax)
	n, notLink := readlinkat(w.here(), name, target)
	switch {
	case notLink != nil && w.outside >= 0 && !fault(err):
		return -1, false, unix.EXDEV // a file, or nothing, outside the root
	case notLink != nil:
		return -1, false, err
	}
	w.links++
	if w.follow == LinksDeny || w.links > linksMax {
		return -1, false, unix.ELOOP
	}
	if n == 0 || n == len(target) {
		return -1, false, unix.ENAMETOOLONG
	}
	w.rest = string(target[:n]) + "/" + w.rest
	if last {
		// No slash was behind the link: its target may be a file.
		w.rest = string(target[:n])
	}
	if target[0] != '/' {
		return -1, false, nil
	}
	fd, err = openat(unix.AT_FDCWD, "/", searchFlag|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return -1, false, err
	}
	return -1, false, w.leave(fd)
}

// statOpenable returns ENODEV for a name that is there and is not to be opened.
func statOpenable(dir int, name string, flags int) error {
	var st unix.Stat_t
	if fstatat(dir, name, &st, flags) != nil {
		return nil // the open will say why
	}
	return openable(uint32(st.Mode))
}

// enter goes down to a directory that was just opened.
func (w *walker) enter(fd int) error {
	if w.outside < 0 {
		w.dirs = append(w.dirs, fd)
		return nil
	}
	return w.leave(fd)
}

// leave goes to a directory that may lie outside the root, or be the root.
func (w *walker) leave(fd int) error {
	var st unix.Stat_t
	err := fstat(fd, &st)
	w.closeAll()
	if err == nil && uint64(st.Dev) == w.root.dev && uint64(st.Ino) == w.root.ino {
		return unix.Close(fd)
	}
	w.outside = fd
	return err
}

// up goes to the directory above.
func (w *walker) up() error {
	if n := len(w.dirs); n > 0 {
		unix.Close(w.dirs[n-1])
		w.dirs = w.dirs[:n-1]
		return nil
	}
	fd, err := openat(w.here(), "..", searchFlag|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	return w.leave(fd)
}

// finish opens the directory that the walk has come to.
func (w *walker) finish() (int, error) {
	if w.outside >= 0 {
		return -1, unix.EXDEV
	}
	return openat(w.here(), ".", openFlags)
}

// here is the directory the walk is in.
func (w *walker) here() int {
	switch n := len(w.dirs); {
	case w.outside >= 0:
		return w.outside
	case n > 0:
		return w.dirs[n-1]
	}
	return w.root.dir.FD()
}

// closeAll goes back to the root.
func (w *walker) closeAll() {
	for _, fd := range w.dirs {
		unix.Close(fd)
	}
	w.dirs = w.dirs[:0]
	if w.outside >= 0 {
		unix.Close(w.outside)
		w.outside = -1
	}
}
