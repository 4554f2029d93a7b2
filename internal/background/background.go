// Package background does work off the event loops on a goroutine that lives only while there is some.
//
// It imports nothing of the project.
package background

import "sync"

// Queue calls a function with each item that is added to it, one after the other, on a goroutine that lives while
// there are items. The caller of Add bounds how many wait. The zero value is ready.
type Queue[T any] struct {
	mu      sync.Mutex
	waiting []T
	running bool
}

// Add has do called with item. It does not block. Every call of Add is given the same do.
func (q *Queue[T]) Add(item T, do func(T)) {
	q.mu.Lock()
	q.waiting = append(q.waiting, item)
	start := !q.running
	q.running = true
	q.mu.Unlock()
	if start {
		go q.run(do)
	}
}

// Idle reports whether every item that was added has been done.
func (q *Queue[T]) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.running
}

func (q *Queue[T]) run(do func(T)) {
	var batch []T
	for {
		q.mu.Lock()
		clear(batch)
		batch, q.waiting = q.waiting, batch[:0]
		q.running = len(batch) > 0
		q.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, item := range batch {
			do(item)
		}
	}
}
