package sink

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pipeBuf is PIPE_BUF (pipe(7)).
const pipeBuf = 4096

// writeNow writes what there is room for, whatever the flags of the open file description: pwritev2(2) with
// RWF_NOWAIT, at the file position. Pipes can do so since Linux 6.4; terminals answer EOPNOTSUPP (6.18).
func writeNow(fd int, p []byte) (int, error) {
	return unix.Pwritev2(fd, [][]byte{p}, -1, unix.RWF_NOWAIT)
}

// reopen opens what a descriptor leads to once more, with flags of its own: a write to it then never blocks,
// whatever others write there. It fails where this user may not open the file (another user's terminal) or nobody
// reads the pipe (ENXIO).
func reopen(fd int) (int, error) {
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}
