package reactor

import (
	"sync"
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
)

// message is what reaches a loop from other goroutines: a job's result, a
// Source's wake-up (neither do nor result), or something to do.
type message struct {
	token  poller.Token
	ticket uint32
	done   bool // result or err are those of the job of that ticket
	result conn.Result
	err    error
	do     func(*Loop)
}

// inbox is a loop's queue of messages. Its bound is what the loop gave away:
// one job and one source a connection.
type inbox struct {
	mu       sync.Mutex
	messages []message
	spare    []message
	// asleep: the loop waits in the poller, or is about to, and must be woken.
	asleep atomic.Bool
	closed bool
	wake   func() error

	// Tests run other goroutines in the gaps of the wake-up protocol.
	hook func(gap string)
}

// post adds a message and wakes the loop if it sleeps. It reports false when the loop has ended.
func (b *inbox) post(m message) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.messages = append(b.messages, m)
	b.mu.Unlock()
	b.gap("posted")
	// Whoever turns asleep off writes the one wake-up.
	if b.asleep.CompareAndSwap(true, false) {
		b.gap("claimed")
		// A wake-up that cannot be written means a poller that is closed: the
		// message was accepted before, and the loop empties its inbox when it ends.
		_ = b.wake()
	}
	return true
}

// sleep announces that the loop is about to wait. It reports false, and takes
// that back, when there are messages: then the loop must not wait.
func (b *inbox) sleep() bool {
	b.asleep.Store(true)
	b.gap("asleep")
	b.mu.Lock()
	empty := len(b.messages) == 0
	b.mu.Unlock()
	b.gap("looked")
	if !empty {
		b.asleep.Store(false)
	}
	return empty
}

// awake is called after the wait.
func (b *inbox) awake() {
	b.gap("woken")
	b.asleep.Store(false)
}

// take returns the messages so far. The slice is valid until the next take.
func (b *inbox) take() []message {
	b.mu.Lock()
	taken := b.messages
	b.messages = b.spare[:0]
	b.mu.Unlock()
	b.spare = taken
	return taken
}

// close refuses further messages and returns the last ones.
func (b *inbox) close() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	taken := b.messages
	b.messages = nil
	return taken
}

func (b *inbox) gap(name string) {
	if b.hook != nil {
		b.hook(name)
	}
}
