// Package accesslog writes a line for each answered request, off the event
// loops. A loop formats its lines into a buffer of its own (Loop) and hands
// whole buffers to the one goroutine that writes them (writer). Nothing a sink
// does can hold up a loop: when a loop's buffers are all waiting to be written,
// its further lines are dropped and counted.
//
// It imports conn, http1 and sink and, of others, x/sys.
package accesslog

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhttpd/evhttpd/internal/sink"
)

const (
	// queueMax is the most buffers that wait for the writer: all those of 256 loops.
	queueMax = 1024
	// closeTimeout is how long Close waits for a sink that takes nothing: short
	// beside the 10 s that Docker grants a container to stop, drain included.
	closeTimeout = 2 * time.Second
	// reportInterval is the least time between two calls of Options.OnError for the same cause.
	reportInterval = time.Minute
	// watchAfter is how long after a line was lost that is told, if the writer has not done so.
	watchAfter = time.Second
)

// ErrStalled is what OnError is told when lines were dropped because the sink
// took them more slowly than they came, or not at all.
var ErrStalled = errors.New("it takes lines more slowly than they come")

// Options say how lines are written. The zero Options are good.
type Options struct {
	Format Format
	// Location is the time zone of the lines; nil: the local one.
	Location *time.Location
	// OnError is told of lines that were lost, at most once a minute for each cause, from a
	// goroutine of the Log's own; nil: nothing is called, and Dropped counts.
	OnError func(error)
	// Lost counts, beside Dropped, the lost lines of several logs together; nil: nothing does.
	Lost *atomic.Uint64
}

// Log is an open access log. Its methods may be called from any goroutine.
type Log struct {
	path    string
	options Options
	dropped atomic.Uint64
	watched atomic.Bool  // it is about to be told that lines were lost
	begun   atomic.Int64 // lines that were begun and not handed over; with 1 more until Retire
	retired sync.Once
	ended   chan struct{} // closed when begun is 0

	writer *writer
	full   chan *buffer // from the loops to the writer

	next chan sink.Sink // what Reopen opened and the writer has not taken up

	closing   chan struct{} // write what waits, then end
	abandoned chan struct{} // wait for the sink no more
	finished  chan struct{} // the writer has ended

	mu     sync.Mutex // of Reopen and Close
	closed bool
}

// Open opens the access log: path "-" is standard output, syslog:udp://HOST[:PORT]
// and syslog:unix:PATH are syslogs (see syslogSink for what they are sent), any other is a
// file that is appended to and, if need be, created with mode 0640 (less the umask). A
// FIFO is opened whether or not someone reads it.
func Open(path string, options Options) (*Log, error) {
	s, err := openSink(path)
	if err != nil {
		return nil, err
	}
	l := &Log{
		path:      path,
		options:   options,
		full:      make(chan *buffer, queueMax),
		next:      make(chan sink.Sink, 1),
		closing:   make(chan struct{}),
		abandoned: make(chan struct{}),
		finished:  make(chan struct{}),
		ended:     make(chan struct{}),
	}
	l.begun.Store(1)
	l.writer = &writer{log: l, sink: s}
	go l.writer.run()
	return l, nil
}

// Reopen opens the log's path anew, for a log that was moved away (SIGUSR1).
// Each line goes whole to the old file or to the new one. On an error, which is os.ErrClosed of a log that is closed,
// the old one stays in use. Standard output is left as it is. Opening may take long, and Close does not wait for it.
func (l *Log) Reopen() error {
	if l.path == stdout {
		return nil
	}
	s, err := openSink(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.Join(fmt.Errorf("accesslog: reopen %s: %w", l.path, os.ErrClosed), s.Close())
	}
	select {
	case unused := <-l.next:
		_ = unused.Close() // nothing was written to it
	default:
	}
	l.next <- s // there is room: nobody else puts one in
	return nil
}

// Dropped returns the number of lines that were lost so far: the sink failed or
// was too slow. Lines left out on a terminal are not among them.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// lose counts lines that are lost.
func (l *Log) lose(lines int) {
	l.dropped.Add(uint64(lines))
	if l.options.Lost != nil {
		l.options.Lost.Add(uint64(lines))
	}
	// The writer may be held up in a write, and not be able to tell.
	if lines > 0 && l.writer != nil && l.watched.CompareAndSwap(false, true) {
		time.AfterFunc(watchAfter, func() {
			l.watched.Store(false)
			l.writer.report(nil, false)
		})
	}
}

// Retire is called when no answer is begun for the log any more: another one
// has taken its place. The channel is closed when those under way have ended;
// then the log is to be closed.
func (l *Log) Retire() <-chan struct{} {
	l.retired.Do(func() { l.countOff(1) })
	return l.ended
}

// countOff counts off lines.
func (l *Log) countOff(lines int64) {
	if lines > 0 && l.begun.Add(-lines) == 0 {
		close(l.ended)
	}
}

// Close writes what its loops have handed over and closes the log. It waits at
// most two seconds for a sink that takes nothing, and returns an error if lines
// are left. The loops are closed before.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.closing)
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-l.finished:
		return nil
	case <-timeout.C:
		close(l.abandoned)
		return fmt.Errorf("accesslog: close %s: its last lines are lost: %w", l.path, ErrStalled)
	}
}
