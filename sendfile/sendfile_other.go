//go:build netbsd || openbsd

package sendfile

import "golang.org/x/sys/unix"

// transfer is refused: there is no sendfile(2).
func transfer(int, int, int64, int) (int64, error) { return 0, unix.ENOSYS }

// probe knows nothing: there is no read that does not wait for the disk.
func probe(int, int64) presence { return unknown }

// FlagsFor returns what is known beforehand of fd's file system: it is copied from.
func FlagsFor(int) Flags { return NoSendfile }

// lookAt returns the size and modification time of an open file.
func lookAt(fd int, _ bool) (size, seconds int64, nanoseconds int32, err error) { return fstat(fd) }
