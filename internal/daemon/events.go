package daemon

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// eventsMax bounds the events that wait to be written. What would be more is
// dropped and counted: loops report events too, and must not wait for a reader.
const eventsMax = 1024

// sink writes lines from a goroutine of its own.
type sink struct {
	w       io.Writer
	lines   chan []byte
	dropped atomic.Uint64
	ending  chan struct{} // write what waits, then end
	done    chan struct{}
}

func newSink(w io.Writer) *sink {
	s := &sink{w: w, lines: make(chan []byte, eventsMax), ending: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// Write takes a line and never blocks. It always reports success: an event
// that cannot be told has nobody to be told to.
func (s *sink) Write(p []byte) (int, error) {
	select {
	case s.lines <- bytes.Clone(p):
	default:
		s.dropped.Add(1)
	}
	return len(p), nil
}

func (s *sink) run() {
	defer close(s.done)
	for {
		select {
		case line := <-s.lines:
			s.write(line)
		case <-s.ending:
			for len(s.lines) > 0 {
				s.write(<-s.lines)
			}
			return
		}
	}
}

// write writes a line, and before it how many were left out. Standard error is
// the last resort: there is nowhere to report its own failure.
func (s *sink) write(line []byte) {
	if n := s.dropped.Swap(0); n > 0 {
		_, _ = fmt.Fprintf(s.w, "evhttpd: %s left out: they came faster than they could be written\n", counted(int(n), "event"))
	}
	_, _ = s.w.Write(line)
}

// close writes what waits, for a bounded time. What comes later is not written.
func (s *sink) close() {
	close(s.ending)
	finishes(func() { <-s.done }, closeGrace)
}

// newEvents returns the log of events, for people to read.
func newEvents(w io.Writer) *zap.Logger {
	cfg := zap.NewDevelopmentEncoderConfig()
	cfg.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00")
	cfg.ConsoleSeparator = " "
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), zap.InfoLevel))
}

// warner returns a function that logs each kind of warning at most once in a
// while, so that what happens a thousand times a second is still one line.
func warner(events *zap.Logger) func(what string, err error) {
	var mu sync.Mutex
	last := make(map[string]time.Time)
	return func(what string, err error) {
		mu.Lock()
		now := time.Now()
		quiet := now.Sub(last[what]) < warnEvery
		if !quiet {
			last[what] = now
		}
		mu.Unlock()
		if !quiet {
			events.Warn(what, zap.Error(err))
		}
	}
}
