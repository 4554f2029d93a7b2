package conn

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

const (
	// unreportedMax is how many bytes a Workspace may count before it tells its Share: the
	// price of the atomics is paid once for so many, and a Budget is exceeded by no more than that for each loop.
	unreportedMax = 16 << 10
	// reliefPart is what part of a Budget is made free when it is exceeded, so
	// that the largest holders are looked for once for many of them.
	reliefPart = 16
	// youngest is added to the age of holders, see SortHolders.
	youngest = time.Second
)

// Budget bounds the memory that connections hold between two Steps, in sum: half
// heads and the heads of requests whose body or job is awaited, PROXY headers in
// parts, unsent answers with the bodies that they refer to, and what their sources
// hold. One Budget is shared by all loops and by all servers of a process.
//
// Each loop, and each server without loops, has a Share of it and counts there what its own
// connections hold. When the sum exceeds the limit, the largest Share is asked to close
// connections: a loop that holds less than an equal part of the limit closes none.
type Budget struct {
	limit  atomic.Int64 // bytes; 0: none
	used   atomic.Int64 // what all shares were told
	mu     sync.Mutex
	shares []*Share
}

// SetLimit sets the most that connections may hold, in bytes; 0: no limit.
func (b *Budget) SetLimit(bytes int64) {
	b.limit.Store(bytes)
	b.press()
}

// Limit is what SetLimit was given.
func (b *Budget) Limit() int64 { return b.limit.Load() }

// Used is how many bytes connections hold now, as far as loops have told.
func (b *Budget) Used() int64 { return b.used.Load() }

// Join adds a Share. relieve is called, from any goroutine, when the owner of the
// Share is to give up what Excess says; it must not block.
func (b *Budget) Join(relieve func()) *Share {
	s := &Share{budget: b, relieve: relieve}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares = append(b.shares, s)
	return s
}

// press asks the largest Share to relieve the Budget, if it is exceeded.
func (b *Budget) press() {
	if limit := b.limit.Load(); limit == 0 || b.used.Load() <= limit {
		return
	}
	b.mu.Lock()
	var largest *Share
	for _, s := range b.shares {
		if largest == nil || s.told.Load() > largest.told.Load() {
			largest = s
		}
	}
	b.mu.Unlock()
	if largest != nil && !largest.asked.Swap(true) {
		largest.relieve()
	}
}

// Share is what the connections of one loop hold of a Budget, or those of one
// server that has no loops.
type Share struct {
	budget  *Budget
	relieve func()
	told    atomic.Int64 // bytes
	asked   atomic.Bool  // relieve was called, and Excess was not yet

	mu     sync.Mutex
	bodies map[*byte]int // shared bodies, by their first byte: how many queues refer to each
}

// Leave takes the Share, whose connections are gone, out of its Budget.
func (s *Share) Leave() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares = slices.DeleteFunc(b.shares, func(other *Share) bool { return other == s })
	b.used.Add(-s.told.Swap(0))
}

// Add counts bytes that connections of the Share hold more, or fewer if bytes is negative.
func (s *Share) Add(bytes int64) {
	s.told.Add(bytes)
	s.budget.used.Add(bytes)
	if bytes > 0 {
		s.budget.press()
	}
}

// Excess is how many bytes the owner of the Share is to give up now: so many
// that the Budget has room again, but no more than the Share holds beyond an equal part of it.
func (s *Share) Excess() int64 {
	s.asked.Store(false)
	b := s.budget
	limit, used := b.limit.Load(), b.used.Load()
	if limit == 0 || used <= limit {
		return 0
	}
	b.mu.Lock()
	shares := int64(max(len(b.shares), 1))
	b.mu.Unlock()
	low := limit - limit/reliefPart
	return max(0, min(used-low, s.told.Load()-low/shares))
}

// Relieved is called when the owner of the Share has given something up: others are asked
// if that was not enough.
func (s *Share) Relieved() { s.budget.press() }

// refer counts one queue more that refers to a body, or one fewer if by is -1. The cache may give the body up
// meanwhile.
func (s *Share) refer(body []byte, by int) {
	first := unsafe.SliceData(body)
	s.mu.Lock()
	if s.bodies == nil {
		s.bodies = make(map[*byte]int)
	}
	s.bodies[first] += by
	queues := s.bodies[first]
	if queues == 0 {
		delete(s.bodies, first)
	}
	s.mu.Unlock()
	if queues == 0 || queues == 1 && by > 0 {
		s.Add(int64(by * len(body)))
	}
}

// Hold counts bytes that the connections of this Workspace hold more, or fewer if bytes is
// negative. It is called where connections are stepped, when a buffer is taken or given back.
func (w *Workspace) Hold(bytes int) {
	w.unreported += int64(bytes)
	if w.unreported > unreportedMax || w.unreported < -unreportedMax {
		w.Tell()
	}
}

// Tell brings the Share up to date. A Workspace that is not always the same connections'
// does it at the end of each turn.
func (w *Workspace) Tell() {
	if w.unreported != 0 && w.Share != nil {
		n := w.unreported
		w.unreported = 0
		w.Share.Add(n)
	}
}

// Relieve gives up what the Share is asked for: it closes the first of the holders, in the
// order of SortHolders, until that is done. It is for an owner with one Workspace, and returns how many it has closed.
func (w *Workspace) Relieve(holders func() []Holder, close func(Holder)) (closed int) {
	w.Tell()
	share := w.Share
	excess := share.Excess()
	goal := share.told.Load() - excess
	if excess == 0 {
		return 0
	}
	all := holders()
	SortHolders(all, w.Clock.Mono)
	for _, h := range all {
		if share.told.Load()+w.unreported <= goal {
			break
		}
		close(h)
		closed++
	}
	w.Tell()
	if closed > 0 {
		share.Relieved()
	}
	return closed
}

// Holder is a connection that holds memory.
type Holder struct {
	Token uint64
	Bytes int64
	Since int64 // Clock.Mono of the last progress
}

// SortHolders sorts them by what they cost the others: bytes times the time for which
// they have held them without any progress, so that the largest and oldest come first. Among times below
// youngest, which say little about a connection, the size decides.
func SortHolders(all []Holder, now int64) {
	cost := func(h *Holder) float64 { return float64(h.Bytes) * float64(max(now-h.Since, 0)+int64(youngest)) }
	slices.SortStableFunc(all, func(a, b Holder) int { return cmp.Compare(cost(&b), cost(&a)) })
}

// Held is how many bytes the connection holds between two Steps, and since when
// (Clock.Mono) without any progress.
func (c *Conn) Held() (bytes, since int64) {
	if c.in == nil && c.out == nil {
		return 0, c.since
	}
	if c.in != nil {
		bytes += int64(cap(c.in.b))
	}
	if c.out != nil {
		bytes += int64(c.out.memory + c.out.referred)
	}
	switch {
	case c.phase == PhaseSending:
		since = c.progressAt
	case c.inBody():
		since = c.pending.bodyBegan
	default:
		since = c.since
	}
	return bytes, since
}

// count counts what a queue that waits holds: its arena and lists, the body's
// parts that it refers to, and what its source holds.
func (q *queue) count(w *Workspace) {
	size := cap(q.buf.b) + cap(q.line) + cap(q.segs)*int(unsafe.Sizeof(segment{}))
	if q.chunk != nil {
		size += cap(q.chunk.b)
	}
	if last := &q.segs[len(q.segs)-1]; last.source != nil {
		size += last.source.Size()
	}
	w.Hold(size - q.memory)
	q.memory = size
}

// refer counts the bodies that the queue refers to, once. What a source gave is in chunk.
func (q *queue) refer(w *Workspace) {
	if w.Share == nil {
		return
	}
	q.share = w.Share
	for i := range q.segs {
		s := &q.segs[i]
		if s.kind != segShared || q.chunk != nil && unsafe.SliceData(s.shared) == unsafe.SliceData(q.chunk.b) {
			continue
		}
		q.share.refer(s.shared, 1)
		q.bodies = append(q.bodies, s.shared)
		q.referred += len(s.shared)
	}
}

// uncount takes back what count and refer have counted.
func (q *queue) uncount(w *Workspace) {
	w.Hold(-q.memory)
	q.memory = 0
	for i, body := range q.bodies {
		q.share.refer(body, -1)
		q.bodies[i] = nil
	}
	q.bodies, q.referred, q.share = q.bodies[:0], 0, nil
}
