package sendfile

import (
	"io"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// transfer is sendfile(2). It returns n > 0 and nil, or 0 and an error; a
// signal after the first byte leaves a short count (man sendfile, NOTES).
func transfer(sock, fd int, offset int64, count int) (int64, error) {
	for {
		n, err := unix.Sendfile(sock, fd, &offset, count)
		switch {
		case n > 0:
			return int64(n), nil
		case err == unix.EINTR:
		case err == nil:
			return 0, io.ErrUnexpectedEOF
		default:
			return 0, err
		}
	}
}

// probeByte is where the kernel puts what probes read; it is not looked at. It
// and the vector that points to it are not on a stack, which Go may move.
var (
	probeByte   byte
	probeVector = unix.Iovec{Base: &probeByte, Len: 1}
)

// probe reads the byte at that offset if it is in memory: preadv2(2) with
// RWF_NOWAIT (Linux 4.14). The file system must know it: ext4, xfs, btrfs do;
// overlayfs, FUSE, NFS and tmpfs answer EOPNOTSUPP (6.18).
func probe(fd int, at int64) presence {
	for {
		// The kernel takes the offset as two longs and ignores the second where
		// one is enough (pos_from_hilo in fs/read_write.c).
		_, _, errno := unix.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&probeVector)), 1,
			uintptr(at), uintptr(uint64(at)>>32), unix.RWF_NOWAIT)
		switch errno {
		case unix.EINTR:
		case unix.EAGAIN:
			return absent
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM:
			return unknown // EINVAL: Linux before 4.14; EPERM: a seccomp filter
		default:
			return present
		}
	}
}

// FlagsFor returns what is known beforehand of fd's file system (fstatfs(2)).
// It may wait for a network file system: it is for the thread that opens the
// file. Of a file system that it cannot ask, nothing is known.
func FlagsFor(fd int) Flags {
	var s unix.Statfs_t
	for {
		switch err := unix.Fstatfs(fd, &s); err {
		case unix.EINTR:
		case nil:
			return flagsOf(uint32(s.Type))
		default:
			return 0
		}
	}
}

// flagsOf returns what is known of a file system by its magic number, which is
// 32 bits in a field whose width and sign differ between architectures.
func flagsOf(magic uint32) Flags {
	switch magic {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return InMemory
	case unix.HUGETLBFS_MAGIC: // has no splice_read: EINVAL on 6.18
		return InMemory | NoSendfile
	}
	return 0
}

// noName is the empty name by which statx(2) takes a descriptor.
var noName byte

// noStatx: the system has no statx(2) (Linux before 4.11, a seccomp filter), so that fstat(2) is asked.
var noStatx atomic.Bool

// lookAt returns the size and modification time of an open file. sync: a file system of the network is asked for them.
func lookAt(fd int, sync bool) (size, seconds int64, nanoseconds int32, err error) {
	for !noStatx.Load() {
		var st unix.Statx_t
		flags := unix.AT_EMPTY_PATH
		if !sync {
			flags |= unix.AT_STATX_DONT_SYNC
		}
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&noName)), uintptr(flags),
			unix.STATX_SIZE|unix.STATX_MTIME, uintptr(unsafe.Pointer(&st)), 0)
		switch errno {
		case 0:
			return int64(st.Size), st.Mtime.Sec, int32(st.Mtime.Nsec), nil
		case unix.EINTR:
		case unix.ENOSYS, unix.EPERM:
			noStatx.Store(true)
		default:
			return 0, 0, 0, errno
		}
	}
	return fstat(fd)
}
