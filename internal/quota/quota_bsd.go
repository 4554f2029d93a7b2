//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package quota

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

// groupMemory is the limit of control groups, which are Linux's.
func groupMemory() uint64 { return 0 }

// Setting reads a setting of the kernel that is a number, as sysctl(8) names it; false: there is none.
func Setting(name string) (uint64, bool) {
	n, err := unix.SysctlUint32(name)
	return uint64(n), err == nil
}
