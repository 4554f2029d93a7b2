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

	lines chan []byte
	bytes atomic.Int64 // of lines

	mu      sync.Mutex // lines are put in, and closed, under it
	dropped uint64     // lines that were dropped since the last report
	cause   error      // why the last of them was dropped; nil if there was no room
	closed  bool

	abandoned chan struct{} // closed when the reader is not waited for any more
	done      chan struct{} // closed when run has ended
	taken     atomic.Uint64 // lines that the reader has taken
}

func newQueue(log *Log, to sink.Sink) *queue {
	q := &queue{
		log: log, to: to,
		lines: make(chan []byte, linesMax), abandoned: make(chan struct{}), done: make(chan struct{}),
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
	lines, bytes := linesMax, int64(bytesMax)
	if !grave {
		lines, bytes = lines-linesMax/reserve, bytes-bytesMax/reserve
	}
	if n := int64(len(line)); len(q.lines) >= lines || q.bytes.Load()+n > bytes {
		q.drop(1, nil)
	} else {
		q.bytes.Add(n)
		q.lines <- line // there is room
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
	for line := range q.lines {
		q.bytes.Add(-int64(len(line)))
		q.write(line)
	}
	_ = q.to.Close() // an error could be told nowhere
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
	if q.closed = true; !closed {
		close(q.lines)
	}
	q.mu.Unlock()
	if closed {
		return
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
