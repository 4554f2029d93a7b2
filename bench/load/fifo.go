package load

// fifo is a queue that keeps its memory. The zero fifo is empty.
type fifo[T any] struct {
	ring []T
	head int
	len  int
}

func (q *fifo[T]) push(v T) {
	if q.len == len(q.ring) {
		q.grow()
	}
	at := q.head + q.len
	if at >= len(q.ring) {
		at -= len(q.ring)
	}
	q.ring[at] = v
	q.len++
}

func (q *fifo[T]) grow() {
	ring := make([]T, max(2*len(q.ring), 8))
	for i := range q.len {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// at returns the ith from the front; i is less than len.
func (q *fifo[T]) at(i int) *T {
	at := q.head + i
	if at >= len(q.ring) {
		at -= len(q.ring)
	}
	return &q.ring[at]
}

// pop removes the front; the queue is not empty.
func (q *fifo[T]) pop() T {
	v := q.ring[q.head]
	if q.head++; q.head == len(q.ring) {
		q.head = 0
	}
	q.len--
	return v
}

func (q *fifo[T]) clear() { q.head, q.len = 0, 0 }
