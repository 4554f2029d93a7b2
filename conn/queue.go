package conn

import (
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/evhttpd/evhttpd/sendfile"
)

const (
	// segmentsMax bounds the parts of one queue: no answer is begun when half of
	// them are taken. One answer of many ranges may take more: two for each of limits.ranges.
	segmentsMax = 64
	// copyMax is the size up to which a shared body is copied behind its
	// head: one contiguous send is cheaper than an iovec of two until about here.
	copyMax = 4 << 10
	// fileTurn is how much of a file is looked at, and sent, at a time.
	fileTurn = 256 << 10
	// tailMax bounds how many bytes of a file are held back until it is known that it has not changed: a page.
	tailMax = 4 << 10
	// callCost is the least that a call which sends takes of a turn's bytes: an
	// answer of many ranges is two calls for each, of a few bytes maybe.
	callCost = 4 << 10
)

// What stops a flush, beside the transport's own errors.
var (
	errCold  = errors.New("conn: the file's next pages are not in memory")
	errEmpty = errors.New("conn: the source has nothing yet")
)

type segmentKind uint8

const (
	segCopied  segmentKind = iota // the next n bytes of the queue's arena
	segShared                     // n bytes of shared from off; immutable
	segFile                       // n bytes of file from off
	segSource                     // what source gives, until it ends
	segSized                      // n bytes of source
	segChunked                    // what source gives, in chunks (RFC 9112 section 7.1)
)

type segment struct {
	kind   segmentKind
	shared []byte
	file   *sendfile.File
	source Source
	off, n int64
	warm   int64 // the file is known to be in memory up to here
	begun  bool  // a part of the file has been sent
}

// release frees what the segment holds beside memory.
func (s *segment) release() {
	switch s.kind {
	case segFile:
		s.file.Release()
	case segSource, segSized, segChunked:
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
	first int     // index of the first segment that has not left
	bytes int64   // bytes left to send, as far as they are known
	chunk *buffer // what a source gave last, or the last bytes of a file
	err   error   // why the file in front cannot be read

	// streaming: the last answer has a file or a source. Nothing is queued behind it, and
	// its access line waits for the end.
	streaming bool
	line      []byte    // the access line, as AccessLog.Begin has made it
	logMark   int       // where the rest of line belongs
	log       AccessLog // the log that line was begun for: a reload may have replaced the loop's
	length    int64     // bytes of the body; of a source as far as they are known
	began     int64     // Clock.Mono when the request began

	buf *buffer // the arena of a pooled queue

	memory   int      // bytes of its own that a pooled queue is counted with
	referred int      // bytes of bodies
	bodies   [][]byte // the shared bodies that a pooled queue is counted with
	share    *Share   // where they are counted
}

var queues = sync.Pool{New: func() any { return new(queue) }}

// empty reports whether everything has left.
func (q *queue) empty() bool { return q.first == len(q.segs) }

// full reports whether what is queued must leave before more is answered.
// limit is in bytes; 0: none.
func (q *queue) full(limit int) bool {
	return q.streaming || limit > 0 && q.bytes >= int64(limit) || len(q.segs) >= segmentsMax/2
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

// send moves the first of what is queued, of a file at most that part. It
// returns what the transport does, errCold or errEmpty.
func (q *queue) send(t Transport, part int64, closing bool, count *Counters) (int64, error) {
	switch s := &q.segs[q.first]; s.kind {
	case segFile:
		n, err := int64(0), q.err
		if err == nil {
			n, err = q.sendFile(t, s, part, count)
		}
		if err == sendfile.ErrChanged || err == io.ErrUnexpectedEOF {
			count.FilesChanged++
		}
		return n, err
	case segSource, segSized, segChunked:
		return 0, q.pull(s)
	default:
		return q.sendBytes(t, closing, count)
	}
}

// sendBytes sends a run of copied bytes and the shared ones behind it in one call.
// closing: our side of the stream ends behind what is queued.
func (q *queue) sendBytes(t Transport, closing bool, count *Counters) (int64, error) {
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
	more := closing
	if next < len(q.segs) {
		more = q.segs[next].kind == segFile
	}
	n, err := t.Send(head, body, more)
	copied := min(n, len(head))
	count.SentCopied += uint64(copied)
	count.SentMemory += uint64(n - copied)
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

// sendFile sends at most that part of a file, as far as it is in memory. What is sent is of one version of the file: it
// is compared with that before each turn but the first, and before the last bytes leave, which are held back for that.
// What one call sends whole is compared before that call, and a change during the call is not noticed: a send more, for
// the last bytes, costs a quarter of an answer of 70 KB.
func (q *queue) sendFile(t Transport, s *segment, part int64, count *Counters) (int64, error) {
	part = min(part, s.n)
	if s.off+part > s.warm && t.Resident(s.file, s.off, part) {
		s.warm = s.off + part
	}
	// What a short send left of an earlier part goes out before the rest is waited for.
	if part = min(part, s.warm-s.off); part <= 0 && s.n > 0 {
		return 0, errCold
	}
	last := q.first+1 == len(q.segs)
	atOnce := last && !s.begun && s.n == part
	var held int64
	if last && !atOnce && s.file.Versioned() {
		held = s.tail()
	}
	if held > 0 && s.n <= held {
		return 0, unsettled(q.takeTail(s))
	}
	if s.begun || atOnce {
		if err := s.file.Check(); err != nil {
			return 0, unsettled(err)
		}
	}
	if s.n == 0 {
		q.pop()
		return 0, nil
	}
	n, err := t.SendFile(s.file, s.off, min(part, s.n-held))
	if s.file.Copied() {
		count.SentCopied += uint64(n)
	} else {
		count.SentFile += uint64(n)
	}
	q.bytes -= n
	s.off += n
	s.begun = s.begun || n > 0
	if s.n -= n; s.n == 0 && !q.closesBody(s) {
		q.pop()
	}
	return n, err
}

// unsettled has a worker wait for what a change that is under way will have been.
func unsettled(err error) error {
	if err == sendfile.ErrUnsettled {
		return errCold
	}
	return err
}

// tail is how many of a file's last bytes are sent from memory, see takeTail: those of its last page.
func (s *segment) tail() int64 { return min(s.n, (s.off+s.n-1)%tailMax+1) }

// closesBody reports whether the first segment is the last part of a file in a multipart body, whose end is not sent
// before the file was compared once more.
func (q *queue) closesBody(s *segment) bool {
	behind := q.segs[q.first+1:]
	return s.file.Versioned() && len(behind) > 0 &&
		!slices.ContainsFunc(behind, func(s segment) bool { return s.kind == segFile })
}

// takeTail puts the last bytes of a file into memory if they, and all that was sent before, are of one version of it.
// If they are not, the answer must not end in order, and the client sees by its length that it has not.
func (q *queue) takeTail(s *segment) error {
	chunk := getBuffer(int(s.n))
	tail := chunk.b[:s.n]
	if err := s.file.Tail(tail, s.off); err != nil {
		chunk.put()
		return err
	}
	q.chunk = chunk
	s.file.Release()
	*s = segment{kind: segShared, shared: tail, n: s.n}
	return nil
}

// unshift puts a segment in front of the others. It takes the room of one that has left if there
// is any, so that the list of a source which goes on for days does not grow.
func (q *queue) unshift(s segment) {
	q.bytes += s.n
	if q.first > 0 {
		q.first--
	} else {
		q.segs = append(q.segs, segment{})
		copy(q.segs[1:], q.segs)
	}
	q.segs[q.first] = s
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

// warmed notes that the first segment's next part was just read, or why it could not be.
func (q *queue) warmed(err error) {
	s := &q.segs[q.first]
	s.warm = s.off + min(s.n, fileTurn)
	q.err = err
}

// clear makes the queue empty, releasing what is left in it.
func (q *queue) clear() {
	for i := q.first; i < len(q.segs); i++ {
		q.segs[i].release()
	}
	if q.chunk != nil {
		q.chunk.put()
		q.chunk = nil
	}
	q.arena, q.sent, q.held = q.arena[:0], 0, 0
	q.segs, q.first, q.bytes = q.segs[:0], 0, 0
	q.streaming, q.line, q.log, q.err = false, q.line[:0], nil, nil
}

// detach moves what is left to a pooled queue and clears q.
func (q *queue) detach() *queue {
	p := queues.Get().(*queue)
	rest := q.arena[q.sent:]
	p.buf = getBuffer(len(rest))
	p.arena = append(p.buf.b, rest...)
	p.sent, p.held = 0, len(rest)
	p.segs, p.first, p.bytes = append(p.segs[:0], q.segs[q.first:]...), 0, q.bytes
	p.line = append(p.line[:0], q.line...)
	p.streaming, p.log, p.logMark, p.length, p.began = q.streaming, q.log, q.logMark, q.length, q.began
	p.chunk, q.chunk = q.chunk, nil
	clear(q.segs)
	q.first = len(q.segs) // p releases what the segments hold
	q.clear()
	return p
}

// free gives a pooled queue back, without the room that an answer of many ranges took.
func (q *queue) free(w *Workspace) {
	q.uncount(w)
	q.clear()
	if cap(q.segs) > segmentsMax {
		q.segs = nil
	}
	q.buf.put()
	q.arena, q.buf = nil, nil
	queues.Put(q)
}
