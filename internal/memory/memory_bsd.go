//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package memory

import "golang.org/x/sys/unix"

// machine is the memory of the machine (sysctl(3)); 0: it cannot be told.
func machine() uint64 {
	for _, name := range []string{"hw.memsize", "hw.physmem64", "hw.physmem"} {
		if n, err := unix.SysctlUint64(name); err == nil {
			return n
		}
	}
	return 0
}

// group is the limit of control groups, which are Linux's.
func group() uint64 { return 0 }
