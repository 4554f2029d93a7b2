package static

import (
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/background"
)

// closer closes descriptors on a goroutine, because the last close of a deleted file frees its blocks, and may wait
// for a disk to do so. RLIMIT_NOFILE bounds how many wait.
type closer struct{ background.Queue[int] }

// close takes over fd. It does not block.
func (c *closer) close(fd int) { c.Add(fd, closeFile) }

// closeFile closes a descriptor that nothing was written to: the descriptor is gone whatever close(2) returns.
func closeFile(fd int) { _ = unix.Close(fd) }
