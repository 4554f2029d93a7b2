package static

import "golang.org/x/sys/unix"

// What an errno of a look-up says falls into four classes. A name that is missing or denied is so for
// everybody, until somebody changes it. The others are faults, of which the next moment may know nothing:
// an answer that left something out because of one would be wrong and look right.

// missing reports whether nothing is served under a name: 404.
func missing(err error) bool {
	switch err {
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG, unix.EINVAL, // no such name
		unix.EXDEV, unix.ELOOP, // a link that is not followed
		unix.ENODEV, unix.ENXIO, unix.EOPNOTSUPP: // neither file nor directory
		return true
	}
	return false
}

// denied reports whether the server may not read what is there: 403.
func denied(err error) bool { return err == unix.EACCES || err == unix.EPERM }

// exhausted reports whether descriptors or memory have run out: 503.
func exhausted(err error) bool {
	switch err {
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN:
		return true
	}
	return false
}

// fault reports whether the error may be gone a moment later: the system is out of something, or a disk
// or the server of a network file system failed (EIO, ESTALE, ETIMEDOUT).
func fault(err error) bool { return err != nil && !missing(err) && !denied(err) && err != unix.EISDIR }
