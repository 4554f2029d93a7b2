package conn

import (
	"errors"
	"io"
	"sync"

	"github.com/evhttpd/evhttpd/sendfile"
)

const (
	// segmentsMax bounds the parts of one queue: an answer of 16 ranges takes
	// two each, and no answer is begun when half of them are taken.
	segmentsMax = 64
	// copyMax is the size up to which a shared body is copied behind its
	// head: one contiguous send is cheaper than an iovec of two until about here.
	copyMax = 4 << 10
	// fileTurn is how much of a file is looked at, and sent, at a time.
	fileTurn = 256 << 10
	// sourceChunk is how much is asked of a Source at a time.
	sourceChunk = 16 << 10
)

// What stops a flush, beside the transport's own errors.
var (
	errCold  = errors.New("conn: the file's next pages are not in memory")
	errEmpty = errors.New("conn: the source has nothing yet")
)

type segmentKind uint8

const (
	segCopied segmentKind = iota // the next n bytes of the queue's arena
	segShared                    // n bytes of shared from off; immutable
	segFile                      // n bytes of file from off
	segSource                    // what the source gives, until it ends
)

type segment struct {
	kind   segmentKind
	shared []byte
	file   *sendfile.File
	source Source
	off, n int64
	warm   int64 // the file is known to be in memory up to here
}

// release frees what the segment holds beside memory.
func (s *segment) release() {
	switch s.kind {
	case segFile:
		s.file.Release()
	case segSource:
		s.source.Close()
	}
	*s = segment{}
}

// queue is what a connection has yet to send, in order. Copied bytes lie one
// behind the other in the arena, so that neighbours leave in one send. A loop
// has one for the connection it steps; what is left over moves to a pooled one.
type queue struct {
	arena []byte
	sent  int // bytes of the arena that have left
	held  int // bytes of the arena that segments stand for
	segs  []segment
	first int   // the segments before it have left
	bytes int64 // left to send, sources apart

	// The last answer has a file or a source: nothing is queued behind it, and
	// its access line waits for the end.
	open  bool
	line  []byte
	mark  int
	body  int64 // announced
	began int64 // Clock.Mono

	buf *buffer // the arena of a pooled queue
}

var queues = sync.Pool{New: func() any { return new(queue) }}

// empty reports whether everything has left.
func (q *queue) empty() bool { return q.first == len(q.segs) }

// full reports whether what is queued must leave before more is answered.
func (q *queue) full(limit int) bool {
	return q.open || q.bytes >= int64(limit) || len(q.segs) >= segmentsMax/2
}

// push adds a segment.
func (q *queue) push(s segment) {
	q.bytes += s.n
	q.segs = append(q.segs, s)
}

// copied makes a segment of what was appended to the arena, or lengthens the last one.
func (q *queue) copied() {
	n := int64(len(q.arena) - q.held)
	q.held = len(q.arena)
	if last := len(q.segs) - 1; last >= q.first && q.segs[last].kind == segCopied {
		q.segs[last].n += n
		q.bytes += n
		return
	}
	q.push(segment{kind: segCopied, n: n})
}

// send moves the first of what is queued. It returns what the transport does,
// errCold or errEmpty.
func (q *queue) send(t Transport, turn int64) (int64, error) {
	switch s := &q.segs[q.first]; s.kind {
	case segFile:
		return q.sendFile(t, s, turn)
	case segSource:
		return 0, q.pull(s)
	default:
		return q.sendBytes(t)
	}
}

// sendBytes sends a run of copied bytes and the shared ones behind it in one call.
func (q *queue) sendBytes(t Transport) (int64, error) {
	var head, body []byte
	next := q.first
	if s := &q.segs[next]; s.kind == segCopied {
		head = q.arena[q.sent : q.sent+int(s.n)]
		next++
	}
	if next < len(q.segs) && q.segs[next].kind == segShared {
		body = q.segs[next].shared[q.segs[next].off:]
		next++
	}
	more := next < len(q.segs) && q.segs[next].kind == segFile
	n, err := t.Send(head, body, more)
	q.taken(int64(n))
	return int64(n), err
}

// taken marks the first n queued bytes, copied or shared, as sent.
func (q *queue) taken(n int64) {
	q.bytes -= n
	for n > 0 {
		s := &q.segs[q.first]
		m := min(n, s.n)
		if s.kind == segCopied {
			q.sent += int(m)
		}
		s.off += m
		s.n -= m
		n -= m
		if s.n == 0 {
			q.pop()
		}
	}
}

// sendFile sends a part of a file that is in memory.
func (q *queue) sendFile(t Transport, s *segment, turn int64) (int64, error) {
	if s.off >= s.warm {
		part := min(s.n, fileTurn)
		if !t.Resident(s.file, s.off, part) {
			return 0, errCold
		}
		s.warm = s.off + part
	}
	n, err := t.SendFile(s.file, s.off, min(s.warm-s.off, turn))
	q.bytes -= n
	s.off += n
	if s.n -= n; s.n == 0 {
		q.pop()
	}
	return n, err
}

// pull puts the source's next bytes in front of it.
func (q *queue) pull(s *segment) error {
	q.arena, q.sent, q.held = q.arena[:0], 0, 0
	if cap(q.arena) < sourceChunk {
		if q.buf != nil {
			q.buf.put()
		}
		q.buf = getBuffer(sourceChunk)
		q.arena = q.buf.b
	}
	n, err := s.source.Next(q.arena[:sourceChunk])
	switch {
	case n > 0:
		q.arena = q.arena[:n]
		q.held, q.bytes = n, q.bytes+int64(n)
		q.body += int64(n)
		source := *s
		q.segs[q.first] = segment{kind: segCopied, n: int64(n)}
		q.segs = append(q.segs, segment{})
		copy(q.segs[q.first+2:], q.segs[q.first+1:])
		q.segs[q.first+1] = source
		return nil
	case err == io.EOF:
		q.pop()
		return nil
	case err == ErrAgain:
		return errEmpty
	case err == nil:
		return io.ErrNoProgress
	default:
		return err
	}
}

// pop drops the first segment.
func (q *queue) pop() {
	q.segs[q.first].release()
	q.first++
}

// cold returns the job that reads the first segment's next part into memory.
func (q *queue) cold() *warmJob {
	s := &q.segs[q.first]
	return &warmJob{file: s.file.Retain(), off: s.off, n: min(s.n, fileTurn)}
}

// warmed notes that the first segment's next part was just read.
func (q *queue) warmed() {
	s := &q.segs[q.first]
	s.warm = s.off + min(s.n, fileTurn)
}

// clear makes the queue empty, releasing what is left in it.
func (q *queue) clear() {
	for i := q.first; i < len(q.segs); i++ {
		q.segs[i].release()
	}
	q.arena, q.sent, q.held = q.arena[:0], 0, 0
	q.segs, q.first, q.bytes = q.segs[:0], 0, 0
	q.open, q.line = false, q.line[:0]
}

// detach moves what is left to a pooled queue and clears q.
func (q *queue) detach() *queue {
	p := queues.Get().(*queue)
	rest := q.arena[q.sent:]
	p.buf = getBuffer(len(rest))
	p.arena = append(p.buf.b, rest...)
	p.sent, p.held = 0, len(rest)
	p.segs, p.first, p.bytes = append(p.segs[:0], q.segs[q.first:]...), 0, q.bytes
	p.open, p.line, p.mark, p.body, p.began = q.open, append(p.line[:0], q.line...), q.mark, q.body, q.began
	clear(q.segs)
	q.first = len(q.segs) // what they held belongs to p now
	q.clear()
	return p
}

// free gives a pooled queue back.
func (q *queue) free() {
	q.clear()
	q.buf.put()
	q.arena, q.buf = nil, nil
	queues.Put(q)
}

// warmJob reads a part of a file into memory.
type warmJob struct {
	file   *sendfile.File
	off, n int64
	err    error
}

// Key is nil: two connections seldom wait for the same part of a file, and
// the second one's read finds the pages there.
func (j *warmJob) Key() any { return nil }

// Run reads the part; the job is its own result.
func (j *warmJob) Run() Result {
	j.err = j.file.Warm(j.off, j.n)
	return j
}

// Retain is never called: a job without a key is not joined.
func (j *warmJob) Retain() { panic("conn: a warm job was joined") }

// Release lets go of the file.
func (j *warmJob) Release() { j.file.Release() }
