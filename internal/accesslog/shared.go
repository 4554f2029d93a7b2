package accesslog

import (
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/conn"
)

// sharedBuffers is how many buffers a Shared has at most: as many as 4 loops.
const sharedBuffers = 4 * buffersMax

// Shared takes the lines of any number of threads, for which a Loop each would
// cost a buffer apiece. It hands them over by itself 100 ms after the first: a
// thread that waits for its client cannot tick. Its methods may be called from any
// goroutine and hold a lock while a line is formatted. It is a conn.AccessLog.
type Shared struct {
	mu    sync.Mutex
	loop  *Loop
	timer *time.Timer // runs due
	armed bool
}

var _ conn.AccessLog = (*Shared)(nil)

// Shared returns what threads write their lines to.
func (l *Log) Shared() *Shared {
	s := &Shared{loop: l.loop(sharedBuffers), armed: true}
	s.timer = time.AfterFunc(time.Duration(ageMax), s.due)
	return s
}

// Log writes the line of an answer that is complete. See conn.AccessLog.
func (s *Shared) Log(a *conn.Access, bytes, took int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loop.Log(a, bytes, took)
	s.schedule()
}

// Begin appends to dst the line of an answer that is not complete yet. See conn.AccessLog.
func (s *Shared) Begin(dst []byte, a *conn.Access) (line []byte, mark int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loop.Begin(dst, a)
}

// End writes the line that Begin returned, with the rest. See conn.AccessLog.
func (s *Shared) End(line []byte, mark int, bytes, took int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loop.End(line, mark, bytes, took)
	s.schedule()
}

// Tick hands over what is there. It need not be called but when there will be
// no more lines, which may come after it all the same. See conn.AccessLog.
func (s *Shared) Tick(int64) (due int64) {
	s.due()
	return 0
}

// schedule has the lines handed over: at once if the buffer is half full, else
// soon. A timer that is set is left alone, and may find lines that are younger.
func (s *Shared) schedule() {
	if filled := s.loop.filled; filled != nil && len(filled.lines) > bufferSize/2 {
		s.loop.Close()
		return
	}
	if !s.armed {
		s.armed = true
		s.timer.Reset(time.Duration(ageMax))
	}
}

// due hands over what is there, when the timer has run out or sooner.
func (s *Shared) due() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	s.loop.Close()
}
