// Package sendfile moves a file's bytes to a socket without passing them
// through the program where the kernel can do that (sendfile(2) on Linux,
// FreeBSD and macOS), and by reading and writing where it cannot.
//
// It imports golang.org/x/sys and nothing of this project.
package sendfile

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// File is an open regular file that any number of connections send from at
// once. References to it are counted: who opens it holds the first, and
// the descriptor is closed when the last is released. Its file position is
// never used or moved; every transfer names its offset.
type File struct {
	fd    int
	refs  atomic.Int32
	flags atomic.Uint32 // Flags: those given to New and those learnt since
	// cold: a probe of this file had to wait for the disk, and no Warm has ended
	// since. See Resident.
	cold atomic.Bool
	// close takes over the descriptor after the last Release. Closing may
	// block (the last close of a deleted file frees its blocks), so a server
	// hands it to a worker.
	close func(fd int)
	fault func(err error) // see OnFault

	version   Version // see Expect
	versioned bool
	overtaken atomic.Bool // see Overtaken
}

// Flags say what is known of a file's file system. FlagsFor finds those that
// are known beforehand; a File learns the others by trying.
type Flags uint8

const (
	// NoSendfile: sendfile(2) does not work for this file; copy.
	NoSendfile Flags = 1 << iota
	// InMemory: the file's pages are always in memory (tmpfs, ramfs), so
	// that Resident need not ask.
	InMemory
	// NoProbe: the file system does not say what it has in memory (overlayfs,
	// FUSE, NFS), so that Resident is always false.
	NoProbe
)

// New returns a File with one reference that owns fd. close is called with fd
// after the last Release; nil closes it on the spot.
func New(fd int, flags Flags, close func(fd int)) *File {
	f := &File{fd: fd, close: close}
	f.learn(flags)
	f.refs.Store(1)
	return f
}

// OnFault has report called whenever the file cannot be read: with the error that Send or Warm returns, if that is
// the file's and not the socket's. The answer that is being sent ends there, and only the File knows why. report may be
// called from any goroutine and must not block. It is set before the File is shared.
func (f *File) OnFault(report func(err error)) { f.fault = report }

// failed reports a fault of the file.
func (f *File) failed(err error) {
	f.overtaken.Store(true)
	if f.fault != nil {
		f.fault(err)
	}
}

// FD returns the descriptor, valid for as long as the caller holds a reference.
func (f *File) FD() int { return f.fd }

// Copied reports whether Send moves this file's bytes by reading and writing
// them, because sendfile(2) was found not to do it.
func (f *File) Copied() bool { return f.is(NoSendfile) }

// Retain adds a reference. The caller must hold one already.
func (f *File) Retain() *File {
	if f.refs.Add(1) <= 1 {
		panic("sendfile: Retain of a closed File")
	}
	return f
}

// TryRetain adds a reference unless the last one is gone already, for a cache
// that is read without a lock.
func (f *File) TryRetain() bool {
	for {
		n := f.refs.Load()
		if n <= 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release drops a reference; the last one closes the descriptor.
func (f *File) Release() {
	switch n := f.refs.Add(-1); {
	case n > 0:
	case n < 0:
		panic("sendfile: Release of a closed File")
	case f.close != nil:
		f.close(f.fd)
	default:
		// The descriptor is gone whatever Close returns, and a file that was
		// only read has nothing left to lose.
		_ = unix.Close(f.fd)
	}
}

// is reports whether one of flags is known to hold.
func (f *File) is(flags Flags) bool { return f.flags.Load()&uint32(flags) != 0 }

// learn adds to what is known.
func (f *File) learn(flags Flags) { f.flags.Or(uint32(flags)) }
