// Package faults makes system calls of a running program fail: with an error, a short count or a delay, always, once
// or every so often, switched while the program runs. The kernel asks for each call (seccomp_unotify(2), Linux 5.5),
// and a [Supervisor] in the process of the test answers. A call that is not to fail goes on in the kernel as if it
// had not been asked for, at the cost of some ten microseconds.
//
// It imports golang.org/x/sys and nothing of this project. Its tests are the matrix of faults (docs/reliability.md).
package faults

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (seccomp(2)).
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// instructionsMax bounds a filter, since a jump skips at most 255 instructions.
const instructionsMax = 255

// auditArch is the architecture as a filter sees it (audit.h).
func auditArch() (uint32, error) {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64, nil
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64, nil
	}
	return 0, fmt.Errorf("faults: no filter for %s", runtime.GOARCH)
}

// program has the kernel ask for every call but those. Memory without a file (mmap(2) with descriptor -1) is never
// asked for: Go's runtime allocates so, and ends the process if that fails.
func program(allowed []int) ([]unix.SockFilter, error) {
	arch, err := auditArch()
	if err != nil {
		return nil, err
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(value uint32, yes, no int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jt: uint8(yes), Jf: uint8(no)}
	}
	give := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	const mapped = 4 // the argument of mmap that is its descriptor; on little-endian machines the low half is first
	filter := []unix.SockFilter{
		load(dataArch), jump(arch, 1, 0), give(unix.SECCOMP_RET_ALLOW),
		load(dataNumber), jump(unix.SYS_MMAP, 0, 3),
		load(dataArgs + 8*mapped), jump(^uint32(0), 0, 1), give(unix.SECCOMP_RET_ALLOW),
		load(dataNumber),
	}
	for i, call := range allowed {
		filter = append(filter, jump(uint32(call), len(allowed)-i, 0))
	}
	filter = append(filter, give(unix.SECCOMP_RET_USER_NOTIF), give(unix.SECCOMP_RET_ALLOW))
	if len(filter) > instructionsMax {
		return nil, fmt.Errorf("faults: a filter of %d instructions, %d at most", len(filter), instructionsMax)
	}
	return filter, nil
}

// install filters the calls of the calling thread, and of what it executes and forks, and returns the descriptor on
// which the kernel asks. A call that has been asked for waits for its answer through all signals but fatal ones
// (Linux 5.19): Go's runtime interrupts its threads by signals at any time.
func install(allowed []int) (listener int, err error) {
	filter, err := program(allowed)
	if err != nil {
		return -1, err
	}
	// Who may administer the system needs no such promise, and its programs may give up their rights as ever.
	if unix.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return -1, fmt.Errorf("faults: prctl(PR_SET_NO_NEW_PRIVS): %w", err)
		}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, fmt.Errorf("faults: seccomp(2) with a listener (Linux 5.19, and no other listener above): %w", errno)
	}
	return int(fd), nil
}
