package conn

import "sync"

// buffer is pooled memory for what a connection keeps between two Steps. An
// idle connection has none.
type buffer struct {
	b     []byte
	class int8 // -1: larger than every class, left to the garbage collector
}

// The classes: small enough that thousands of half-sent heads cost little,
// large enough for a whole scratch buffer.
const (
	classes   = 6
	classLow  = 512
	classStep = 2 // each class is 1<<classStep times the one before: 512 B ... 512 KiB
)

var buffers [classes]sync.Pool

// onBuffer is told of every buffer taken and given back, so that tests can
// count and poison them.
var onBuffer func(b *buffer, taken bool)

// getBuffer returns an empty buffer with room for n bytes.
func getBuffer(n int) *buffer {
	b := pooledBuffer(n)
	if onBuffer != nil {
		onBuffer(b, true)
	}
	return b
}

func pooledBuffer(n int) *buffer {
	size := classLow
	for class := range classes {
		if n <= size {
			if b, ok := buffers[class].Get().(*buffer); ok {
				return b
			}
			return &buffer{b: make([]byte, 0, size), class: int8(class)}
		}
		size <<= classStep
	}
	return &buffer{b: make([]byte, 0, n), class: -1}
}

// put gives the buffer back; the caller keeps no part of it.
func (b *buffer) put() {
	if onBuffer != nil {
		onBuffer(b, false)
	}
	if b.class >= 0 {
		b.b = b.b[:0]
		buffers[b.class].Put(b)
	}
}
