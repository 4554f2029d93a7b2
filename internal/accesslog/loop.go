package accesslog

import (
	"bytes"
	"math"
	"time"

	"github.com/evhttpd/evhttpd/conn"
)

const (
	// bufferSize is a buffer's size in bytes: some 2,500 lines, 15 ms of a loop at its busiest. Each half of one that
	// is filled wakes the writer, which costs a loop on the same CPU more than copying the lines does: with 64 KiB a
	// line cost a half more (docs/benchmarks.md, price).
	bufferSize = 256 << 10
	// buffersMax is how many of them a loop has at most: what bounds the memory
	// behind a sink that stands still.
	buffersMax = 4
	// ageMax is how long a line waits for others to be written with, in
	// nanoseconds of Clock.Mono.
	ageMax = int64(100 * time.Millisecond)
)

// buffer holds whole lines, on their way from a loop to the writer and back.
type buffer struct {
	lines []byte
	home  chan *buffer // of its loop: those that are free
}

// Loop takes the lines of one event loop, or of one thread: its methods are for
// one goroutine at a time. None of them blocks, and once the buffers are made none
// allocates. It is a conn.AccessLog.
type Loop struct {
	log    *Log
	format format
	filled *buffer      // lines not handed over yet; nil: no buffer was needed, or was free
	free   chan *buffer // back from the writer
	made   int
	ended  int64 // lines in filled that Begin began
	since  int64 // when Tick first saw the lines in filled; 0: not yet
}

var _ conn.AccessLog = (*Loop)(nil)

// Loop returns what one event loop writes its lines to.
func (l *Log) Loop() *Loop { return l.loop(buffersMax) }

// loop returns one that has so many buffers at most.
func (l *Log) loop(buffers int) *Loop {
	return &Loop{
		log:    l,
		format: newFormat(l.options),
		free:   make(chan *buffer, buffers),
	}
}

// Log writes the line of an answer that is complete. See conn.AccessLog.
func (l *Loop) Log(a *conn.Access, bytes, took int64) {
	b := l.room(lineMax)
	if b == nil {
		l.log.lose(1)
		return
	}
	line := l.format.head(b.lines, a)
	line = l.format.rest(line, bytes, took)
	b.lines = l.format.tail(line, a)
}

// Begin appends to dst the line of an answer that is not complete yet; mark is
// where in the result, dst's own bytes included, End puts the rest. See conn.AccessLog.
func (l *Loop) Begin(dst []byte, a *conn.Access) (line []byte, mark int) {
	l.log.begun.Add(1)
	line = l.format.head(dst, a)
	mark = len(line)
	return l.format.tail(line, a), mark
}

// End writes the line that Begin returned, with the rest. See conn.AccessLog.
func (l *Loop) End(line []byte, mark int, bytes, took int64) {
	b := l.room(len(line) + restMax)
	if b == nil {
		l.log.lose(1)
		l.log.countOff(1)
		return
	}
	b.lines = append(b.lines, line[:mark]...)
	b.lines = l.format.rest(b.lines, bytes, took)
	b.lines = append(b.lines, line[mark:]...)
	l.ended++
}

// Tick hands over a buffer that is half full or whose first line has waited for
// 100 ms; with math.MaxInt64, later than anything can wait, whatever there is.
// See conn.AccessLog.
func (l *Loop) Tick(mono int64) (due int64) {
	if l.filled == nil || len(l.filled.lines) == 0 {
		return 0
	}
	if l.since == 0 && mono != math.MaxInt64 {
		l.since = mono
	}
	if len(l.filled.lines) > bufferSize/2 || mono-l.since >= ageMax {
		l.handOver()
		return 0
	}
	return l.since + ageMax
}

// Close hands over what is left.
func (l *Loop) Close() { l.Tick(math.MaxInt64) }

// room returns the buffer to append to, with at least that many bytes free; nil
// if all of the loop's buffers wait to be written.
func (l *Loop) room(need int) *buffer {
	if l.filled != nil && cap(l.filled.lines)-len(l.filled.lines) < need {
		l.handOver()
	}
	if l.filled != nil {
		return l.filled
	}
	select {
	case l.filled = <-l.free:
	default:
		if l.made < cap(l.free) {
			l.made++
			l.filled = &buffer{lines: make([]byte, 0, bufferSize), home: l.free}
		}
	}
	return l.filled
}

// handOver gives the buffer to the writer, or empties it if even the writer's
// queue is full.
func (l *Loop) handOver() {
	l.since = 0
	select {
	case l.log.full <- l.filled:
		l.filled = nil
	default:
		l.log.lose(bytes.Count(l.filled.lines, newline))
		l.filled.lines = l.filled.lines[:0]
	}
	l.log.countOff(l.ended)
	l.ended = 0
}
