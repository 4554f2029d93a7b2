//go:build linux

package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Buffers is a ring of buffers that the kernel takes from when a request
// completes (IORING_REGISTER_PBUF_RING, Linux 5.19), so that a request that
// waits holds none.
type Buffers struct {
	ring, memory *Memory
	entries      []buffer
	next         uint16 // the tail of what was put
	mask         uint16
	size         int
}

// ProvideBuffers registers a group of count buffers, a power of two up to
// 32,768, of size bytes each. Any thread may do so before the ring is enabled.
func (r *Ring) ProvideBuffers(group uint16, count, size int) (*Buffers, error) {
	if count <= 0 || count > 1<<15 || count&(count-1) != 0 {
		return nil, fmt.Errorf("uring: %d buffers: want a power of two up to 32768", count)
	}
	b := &Buffers{mask: uint16(count - 1), size: size}
	var err error
	if b.ring, err = Map(count * int(unsafe.Sizeof(buffer{}))); err != nil {
		return nil, err
	}
	if b.memory, err = Map(count * size); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.entries = unsafe.Slice(at[buffer](b.ring.Bytes, 0), count)
	reg := &bufferReg{ringAddr: address(b.ring.Bytes), ringEntries: uint32(count), group: group}
	if _, err := r.register(registerBufferRing, "IORING_REGISTER_PBUF_RING", unsafe.Pointer(reg), 1); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	for id := range count {
		b.put(uint16(id))
	}
	b.publish()
	return b, nil
}

// Bytes returns the first n bytes of a buffer, valid until it is given back.
func (b *Buffers) Bytes(id uint16, n int) []byte {
	start := int(id) * b.size
	return b.memory.Bytes[start : start+n : start+b.size]
}

// Give gives a buffer back to the kernel.
func (b *Buffers) Give(id uint16) {
	b.put(id)
	b.publish()
}

func (b *Buffers) put(id uint16) {
	e := &b.entries[b.next&b.mask]
	e.addr, e.len, e.id = address(b.Bytes(id, b.size)), uint32(b.size), id // all but the first one's tail
	b.next++
}

// publish shows the kernel what was put. The tail is 16 bits wide; the 32 that
// Go can store atomically are the last buffer's id and it.
func (b *Buffers) publish() {
	pair := [2]uint16{b.entries[0].id, b.next}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b.entries[0].id)), *(*uint32)(unsafe.Pointer(&pair)))
}

// Close frees the memory. The ring's requests must have completed.
func (b *Buffers) Close() error { return errors.Join(b.ring.Close(), b.memory.Close()) }
