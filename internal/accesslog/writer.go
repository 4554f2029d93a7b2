package accesslog

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/internal/sink"
)

// writer is the one goroutine that writes a Log.
type writer struct {
	log      *Log
	sink     sink.Sink
	terminal throttle // of a sink that is one
	shown    []byte   // what throttle lets through

	mu sync.Mutex // of what follows
	// told is when lost lines were last reported, by the cause; 0 stands for a cause that is no error of the system.
	told     map[syscall.Errno]time.Time
	reported uint64 // how many of the dropped lines were reported
	cause    error  // the last error that lost lines since the last report
}

// run writes what the loops hand over until the log is closed.
func (w *writer) run() {
	defer close(w.log.finished)
	for {
		var due <-chan time.Time
		if left := w.terminal.due(time.Now()); left > 0 {
			due = time.After(left)
		}
		select {
		case b := <-w.log.full:
			w.flush(b)
		case s := <-w.log.next:
			w.switchTo(s)
		case <-due:
			w.shown = w.terminal.pass(w.shown[:0], nil, time.Now())
			w.write(w.shown)
		case <-w.log.closing:
			w.finish()
			return
		}
	}
}

// flush writes a buffer, to what Reopen has opened if it has, and gives it back to its loop.
func (w *writer) flush(b *buffer) {
	select {
	case s := <-w.log.next:
		w.switchTo(s)
	default:
	}
	lines := b.lines
	if w.sink.Terminal() {
		w.shown = w.terminal.pass(w.shown[:0], lines, time.Now())
		lines = w.shown
	}
	w.write(lines)
	b.lines = b.lines[:0]
	b.home <- b // never full: it has room for all of its loop's buffers
}

// write writes whole lines and counts those that are lost.
func (w *writer) write(lines []byte) {
	lost, err := w.sink.WriteLines(lines, w.log.abandoned)
	w.log.lose(lost)
	w.report(err, false)
}

var newline = []byte{'\n'}

// switchTo takes up what Reopen has opened.
func (w *writer) switchTo(s sink.Sink) {
	if err := w.sink.Close(); err != nil {
		w.report(err, true)
	}
	w.sink, w.terminal = s, throttle{}
}

// finish writes what is left and closes the sink.
func (w *writer) finish() {
	for len(w.log.full) > 0 { // nobody else takes from it
		w.flush(<-w.log.full)
	}
	select {
	case s := <-w.log.next:
		_ = s.Close() // nothing was written to it
	default:
	}
	if w.terminal.left > 0 {
		w.write(w.terminal.summary(w.shown[:0]))
	}
	w.report(w.sink.Close(), true)
}

// report tells of an error, be it of an earlier line, or of lines dropped without one, unless there is
// nothing to tell or, not being last, it told of the same cause less than a minute ago. Any goroutine may call it.
func (w *writer) report(err error, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && err != sink.ErrAbandoned {
		w.cause = err
	}
	dropped := w.log.dropped.Load()
	if w.log.options.OnError == nil || err == nil && dropped == w.reported {
		return
	}
	if err = w.cause; err == nil { // no line was refused: there was no room for them
		err = ErrStalled
	}
	var cause syscall.Errno
	errors.As(err, &cause)
	now := time.Now()
	if at, told := w.told[cause]; told && !last && now.Sub(at) < reportInterval {
		return
	}
	if w.told == nil {
		w.told = make(map[syscall.Errno]time.Time)
	}
	w.told[cause] = now
	lost := dropped - w.reported
	w.reported, w.cause = dropped, nil
	w.log.options.OnError(
		fmt.Errorf("accesslog: write %s: %w (%d lines lost since the last report)", w.log.path, err, lost),
	)
}
