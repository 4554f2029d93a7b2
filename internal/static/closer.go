package static

import (
	"sync"

	"golang.org/x/sys/unix"
)

// closer closes descriptors on a goroutine, since the last close of a deleted
// file frees its blocks and may wait for a disk. The goroutine lives while
// there is something to close; what waits is bounded by RLIMIT_NOFILE.
type closer struct {
	mu      sync.Mutex
	waiting []int
	running bool
}

// close takes over fd. It does not block.
func (c *closer) close(fd int) {
	c.mu.Lock()
	c.waiting = append(c.waiting, fd)
	start := !c.running
	c.running = true
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

func (c *closer) run() {
	var batch []int
	for {
		c.mu.Lock()
		batch, c.waiting = c.waiting, batch[:0]
		c.running = len(batch) > 0
		c.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, fd := range batch {
			// The descriptor is gone whatever close(2) says, and nothing was written to it.
			_ = unix.Close(fd)
		}
	}
}
