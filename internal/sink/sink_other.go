//go:build !linux

package sink

import "golang.org/x/sys/unix"

// pipeBuf is the least PIPE_BUF that POSIX allows (limits.h), and that of BSD.
const pipeBuf = 512

// writeNow fails: there is no such call.
func writeNow(int, []byte) (int, error) { return 0, unix.ENOSYS }

// reopen fails: opening /dev/fd/N duplicates the descriptor, which then shares its flags (fd(4)).
func reopen(int) (int, error) { return -1, unix.ENOSYS }
