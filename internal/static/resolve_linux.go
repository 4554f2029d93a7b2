package static

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// searchFlag opens a directory to look names up in it, without the right to read it.
const searchFlag = unix.O_PATH

// resolveCached has openat2 fail with EAGAIN rather than wait (Linux 5.12).
const resolveCached = 0x20

// features are what the running kernel, and a seccomp filter before it, allow.
var features = sync.OnceValue(func() (f struct{ openat2, cached bool }) {
	name := []byte{'/', 0}
	try := func(resolve uint64) bool {
		fd, err := openat2(unix.AT_FDCWD, name, unix.O_PATH|unix.O_CLOEXEC, resolve)
		if err == nil {
			unix.Close(fd)
		}
		// EAGAIN is an answer too, and so is a want of descriptors. ENOSYS: before Linux 5.6. EPERM: older
		// container runtimes filter what they do not know.
		return err == nil || exhausted(err)
	}
	f.openat2 = try(0)
	f.cached = f.openat2 && try(resolveCached)
	return f
})

func haveOpenat2() bool { return features().openat2 }

// Walks reports whether paths are walked from component to component because the kernel lacks openat2(2), or a filter
// hides it.
func Walks() bool { return !haveOpenat2() }

// openat2 is openat2(2). name ends with NUL.
func openat2(dir int, name []byte, flags, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: flags, Resolve: resolve}
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT2, uintptr(dir), uintptr(unsafe.Pointer(&name[0])),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// openRetries is how often openat2 is asked again when it could not tell
// whether a ".." beside a rename stayed beneath the root (EAGAIN, openat2(2)).
const openRetries = 8

// openBeneath opens a name in one system call, see root.open.
func (r *root) openBeneath(name []byte, links Links, peek, cached bool) (int, error) {
	flags := uint64(openFlags)
	if peek {
		flags = unix.O_PATH | unix.O_CLOEXEC
	}
	var resolve uint64
	switch links {
	case LinksBeneath:
		resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS
	case LinksDeny:
		resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS
	case LinksFollow:
		resolve = unix.RESOLVE_NO_MAGICLINKS
	}
	if cached {
		// What is known of the root's file system says nothing of another mount's.
		return openat2(r.dir.FD(), name, flags, resolve|resolveCached|unix.RESOLVE_NO_XDEV)
	}
	for range openRetries {
		fd, err := openat2(r.dir.FD(), name, flags, resolve)
		if err != unix.EAGAIN {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// readNow reads what is in memory. It returns errWait if nothing is.
func readNow(fd int, p []byte, offset int64, inMemory bool) (int, error) {
	for {
		n, err := unix.Preadv2(fd, [][]byte{p}, offset, unix.RWF_NOWAIT)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errWait
		default:
			// The file system does not know the flag (EOPNOTSUPP), the kernel or a seccomp filter not the
			// call (ENOSYS, EINVAL, EPERM), or the file cannot be read: pread tells, where it may wait.
			if !inMemory {
				return 0, errWait
			}
			return pread(fd, p, offset)
		}
	}
}

// localFS reports whether look-ups and fstat on the file system of fd wait for nothing but what RESOLVE_CACHED and
// RWF_NOWAIT refuse to wait for. fstat(2) on FUSE and NFS asks the server when the attributes have run out.
func localFS(fd int) bool {
	var st unix.Statfs_t
	if !features().cached || unix.Fstatfs(fd, &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, // ext2 and ext3 too
		unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC & 0xffffffff, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC:
		return true
	}
	return false
}

// lookNow looks at what the root's path leads to, without waiting: the path is resolved with RESOLVE_CACHED, and statx
// is asked for no field, since device and inode come without a question to a server.
func (r *root) lookNow() rootState {
	if !features().cached || r.dir == nil {
		return rootUnknown
	}
	fd, err := openat2(unix.AT_FDCWD, r.tree.pathNUL, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, resolveCached)
	switch err {
	case nil:
	case unix.EAGAIN, unix.EMFILE, unix.ENFILE, unix.ENOMEM:
		return rootUnknown
	default:
		return rootOther
	}
	var st unix.Statx_t
	empty := [1]byte{}
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&empty)),
		unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, uintptr(unsafe.Pointer(&st)), 0)
	r.tree.closePeek(fd, st.Nlink > 0)
	switch {
	case errno != 0:
		return rootUnknown
	case st.Ino == r.ino && unix.Mkdev(st.Dev_major, st.Dev_minor) == r.dev:
		return rootSame
	}
	return rootOther
}
