package static

import "golang.org/x/sys/unix"

// The calls that look at files and open them, again where a signal interrupted them. A local file system does not let
// one do that; FUSE and NFS may (signal(7)), and Go's scheduler sends SIGURG to threads that are in a call.

// retry makes a call until no signal has interrupted it.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func fstat(fd int, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstat(fd, st) })
}

func fstatat(dir int, name string, st *unix.Stat_t, flags int) error {
	return retry(func() error { return unix.Fstatat(dir, name, st, flags) })
}

func openat(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() error { fd, err = unix.Openat(dir, name, flags, 0); return err })
	return fd, err
}

func readlinkat(dir int, name string, target []byte) (n int, err error) {
	err = retry(func() error { n, err = unix.Readlinkat(dir, name, target); return err })
	return n, err
}

func pread(fd int, p []byte, offset int64) (n int, err error) {
	err = retry(func() error { n, err = unix.Pread(fd, p, offset); return err })
	return n, err
}
