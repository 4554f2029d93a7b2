package static

import "golang.org/x/sys/unix"

// closer closes descriptors on a goroutine, since the last close of a deleted
// file frees its blocks and may wait for a disk. What waits is bounded by RLIMIT_NOFILE.
type closer struct{ background[int] }

// close takes over fd. It does not block.
func (c *closer) close(fd int) { c.add(fd, closeFile) }

// closeFile closes a descriptor that nothing was written to: it is gone
// whatever close(2) says.
func closeFile(fd int) { _ = unix.Close(fd) }
