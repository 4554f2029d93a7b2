package eventlog

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/sink"
)

const (
	// linesMax and bytesMax bound the lines that wait to be written. Further ones are dropped and counted: loops
	// report events too, and must not wait for a reader.
	linesMax = 1024
	bytesMax = 1 << 20
	// reserve is the part of both, an eighth, that is kept free for errors, so that frequent events do not push them
	// out.
	reserve = 8
	// closeMax bounds the time in which the rest is written to a reader that reads slowly.
	closeMax = 5 * grace.Close
)

// queue writes lines from a goroutine of its own. Its methods may be called from any goroutine; none but close waits.
type queue struct {
	log *Log // counts what is dropped, and says so
	to  sink.Sink

	mu      sync.Mutex
	lines   [][]byte
	bytes   int
	dropped uint64 // lines that were dropped since the last report
	cause   error  // why the last of them was dropped; nil if there was no room
	closed  bool

	wake      chan struct{} // gets a value when there is a line, or the queue is closed
	abandoned chan struct{} // closed when the reader is not waited for any more
	done      chan struct{} // closed when run has ended
	taken     atomic.Uint64 // lines that the reader has taken
}

func newQueue(log *Log, to sink.Sink) *queue {
	q := &queue{
		log: log, to: to,
		wake: make(chan struct{}, 1), abandoned: make(chan struct{}), done: make(chan struct{}),
	}
	go q.run()
	return q
}

// push queues a line, or counts it as lost. It reports false, and counts nothing, if the queue is closed.
func (q *queue) push(line []byte, grave bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	lines, bytes := linesMax, bytesMax
	if !grave {
		lines, bytes = lines-linesMax/reserve, bytes-bytesMax/reserve
	}
	if len(q.lines) >= lines || q.bytes+len(line) > bytes {
		q.drop(1, nil)
		return true
	}
	q.lines = append(q.lines, line)
	q.bytes += len(line)
	select {
	case q.wake <- struct{}{}:
	default: // a value is there already
	}
	return true
}

// drop counts lines that are lost. mu is held.
func (q *queue) drop(n uint64, cause error) {
	q.dropped += n
	q.cause = cause
	q.log.lost.Add(n)
}

func (q *queue) run() {
	defer close(q.done)
	for {
		line, last := q.pop()
		switch {
		case line != nil:
			q.write(line)
		case last:
			_ = q.to.Close() // an error could be told nowhere
			return
		default:
			<-q.wake
		}
	}
}

// pop returns the next line, or nil if there is none. last reports that no line will come any more.
func (q *queue) pop() (line []byte, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		q.lines = nil // the array begins anew
		return nil, q.closed
	}
	line = q.lines[0]
	q.lines[0] = nil
	q.lines = q.lines[1:]
	q.bytes -= len(line)
	return line, false
}

// write writes a line, and before it one that says how many were left out.
func (q *queue) write(line []byte) {
	q.mu.Lock()
	n, cause := q.dropped, q.cause
	q.dropped, q.cause = 0, nil
	q.mu.Unlock()
	if n > 0 {
		line = append(q.log.leftOut(n, cause), line...)
	}
	if _, err := q.to.WriteLines(line, q.abandoned); err != nil {
		q.mu.Lock()
		q.drop(1, err)
		q.dropped += n // they are reported with this one when there is room again
		q.mu.Unlock()
		if q != q.log.stderr {
			q.log.failed(err)
		}
		return
	}
	q.taken.Add(1)
}

// close writes the lines that wait, for as long as the reader goes on taking them, and for a bounded time. Lines that
// come later are not written.
func (q *queue) close() {
	q.mu.Lock()
	closed := q.closed
	q.closed = true
	q.mu.Unlock()
	if closed {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	for end := time.Now().Add(closeMax); ; {
		before := q.taken.Load()
		if grace.Finishes(func() { <-q.done }, grace.Close) {
			return
		}
		if q.taken.Load() == before || time.Now().After(end) {
			close(q.abandoned)
			return
		}
	}
}
