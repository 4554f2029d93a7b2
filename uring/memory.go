//go:build linux

package uring

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory is zeroed memory outside the Go heap, for what the kernel reads or
// writes between two calls. It never moves. Pages that are not touched take no
// room.
type Memory struct {
	Bytes []byte
}

// Map returns that many bytes. Close gives them back.
func Map(size int) (*Memory, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("uring: mapping %d bytes: %w", size, err)
	}
	return &Memory{b}, nil
}

// Close unmaps the memory. The kernel must have no request left that uses it.
func (m *Memory) Close() error {
	if m == nil || m.Bytes == nil {
		return nil
	}
	b := m.Bytes
	m.Bytes = nil
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("uring: unmapping %d bytes: %w", len(b), err)
	}
	return nil
}

// address is where p lies, as the kernel is told it.
func address(p []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))) }

// at is the T at that offset of mapped memory.
func at[T any](m []byte, offset uint32) *T { return (*T)(unsafe.Pointer(&m[offset])) }
