package static

import "sync"

// background does one thing for each of what it is given, on a goroutine that
// lives while there is something to do. Who adds to it bounds what waits. The zero value is ready.
type background[T any] struct {
	mu      sync.Mutex
	waiting []T
	running bool
}

// add has do called with what. It does not block. do is the same in each call.
func (b *background[T]) add(what T, do func(T)) {
	b.mu.Lock()
	b.waiting = append(b.waiting, what)
	start := !b.running
	b.running = true
	b.mu.Unlock()
	if start {
		go b.run(do)
	}
}

func (b *background[T]) run(do func(T)) {
	var batch []T
	for {
		b.mu.Lock()
		clear(batch)
		batch, b.waiting = b.waiting, batch[:0]
		b.running = len(batch) > 0
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, what := range batch {
			do(what)
		}
	}
}
