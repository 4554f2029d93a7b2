package reactor

import (
	"sync"
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// message is what reaches a loop from other goroutines: a job's result (done),
// something to do (do), a connection to go on with (handed), or else a Source's wake-up.
type message struct {
	token  poller.Token
	ticket uint32
	done   bool // result is that of the job of that ticket
	result conn.Result
	do     func(*Loop)
	handed *model.Handed // another server's connection
}

// inbox is a loop's queue of messages. What the loop gave away bounds it: a
// connection has one job at most, and wake-ups of one token are one message.
//
// The protocol: post enqueues, then looks whether the loop sleeps. The
// loop says that it will sleep, then looks at the queue. Whichever is second
// sees the other, so a message never waits for the end of a wait.
type inbox struct {
	mu       sync.Mutex
	messages []message
	spare    []message
	woken    map[poller.Token]struct{} // tokens whose wake-up is in messages
	closed   bool

	// waiting: there are messages. The loop looks at it once a batch without the lock.
	waiting atomic.Bool
	// asleep: the loop waits in the poller, or is about to, and must be woken.
	asleep atomic.Bool
	wake   func() error

	// Tests run other goroutines in the gaps of the protocol.
	hook func(gap string)
}

// post adds a message and wakes the loop if it sleeps. It reports false when the loop has ended.
func (b *inbox) post(m message) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	if !m.done && m.do == nil && m.handed == nil {
		if _, ok := b.woken[m.token]; ok {
			b.mu.Unlock()
			return true // the first one wakes the loop
		}
		if b.woken == nil {
			b.woken = make(map[poller.Token]struct{})
		}
		b.woken[m.token] = struct{}{}
	}
	b.messages = append(b.messages, m)
	b.waiting.Store(true)
	b.mu.Unlock()
	b.gap("posted")
	// Whoever turns asleep off writes the one wake-up.
	if b.asleep.CompareAndSwap(true, false) {
		b.gap("claimed")
		// If the wake-up cannot be written the loop finds the message when its
		// wait ends, poller.WaitMax later at most, or when it ends itself.
		_ = b.wake()
	}
	return true
}

// sleep announces that the loop is about to wait. It reports false, and takes
// that back, when there are messages: then the loop must not wait.
func (b *inbox) sleep() bool {
	b.asleep.Store(true)
	b.gap("asleep")
	empty := !b.waiting.Load()
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
	b.gap("awake")
}

// take returns the messages so far; give is to follow.
func (b *inbox) take() []message {
	if !b.waiting.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.messages
	b.messages, b.spare = b.spare, nil
	clear(b.woken)
	b.waiting.Store(false)
	return taken
}

// give takes back the memory of messages that have been handled.
func (b *inbox) give(taken []message) {
	if taken != nil {
		clear(taken) // what they referred to is not kept
		b.spare = taken[:0]
	}
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
