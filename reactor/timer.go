package reactor

import (
	"time"

	"github.com/evhttpd/evhttpd/conn"
)

// timers holds the one timer of each connection, by its phase. A phase's timeout is the same for all, so
// whose timer was started first is due first. Most are started now, and their phases are lists that stay sorted
// by appending. The time of a body grows with it, and an answer's and a lingering close's have another bound beside
// that: their timers are started earlier or later than now, and are kept in a heap.
type timers struct {
	lists [conn.NumPhases]struct {
		first, last uint32 // slot numbers plus one
		n           uint32 // slots
		timeout     int64  // nanoseconds; 0: it never runs out
		heap        timerHeap
	}
}

// inHeap is which phases are kept in a heap.
var inHeap = [conn.NumPhases]bool{conn.PhaseBody: true, conn.PhaseDeferred: true,
	conn.PhaseSending: true, conn.PhaseLingering: true}

func (t *timers) init(cfg *conn.Config) {
	for phase := range conn.NumPhases {
		t.lists[phase].timeout = int64(cfg.Timeout(phase))
	}
}

// set starts the slot's timer in that phase. since (Clock.Mono) is no earlier than that of any other slot in the
// phase, unless the phase is one in a heap.
func (t *timers) set(b *slab, s *slot, phase conn.Phase, since int64) {
	if phase == s.phase && since == s.since {
		return
	}
	t.unset(b, s)
	s.phase, s.since = phase, since
	list := &t.lists[phase]
	list.n++
	if inHeap[phase] {
		list.heap.slab = b
		list.heap.put(s)
		return
	}
	s.prev, s.next = list.last, 0
	if list.last != 0 {
		b.at(list.last - 1).next = s.index + 1
	} else {
		list.first = s.index + 1
	}
	list.last = s.index + 1
}

// unset stops the slot's timer.
func (t *timers) unset(b *slab, s *slot) {
	if s.phase == conn.NumPhases {
		return
	}
	list := &t.lists[s.phase]
	list.n--
	if inHeap[s.phase] {
		list.heap.take(s)
		s.prev, s.phase = 0, conn.NumPhases
		return
	}
	if s.prev != 0 {
		b.at(s.prev - 1).next = s.next
	} else {
		list.first = s.next
	}
	if s.next != 0 {
		b.at(s.next - 1).prev = s.prev
	} else {
		list.last = s.prev
	}
	s.prev, s.next, s.phase = 0, 0, conn.NumPhases
}

// timerHeap is slots in the order of a binary heap, the one whose timer was started first in front. A slot's
// prev is its position. (container/heap would allocate for each slot that is added.)
type timerHeap struct {
	slab  *slab
	slots []uint32 // their indexes
}

func (h *timerHeap) put(s *slot) {
	s.prev = uint32(len(h.slots))
	h.slots = append(h.slots, s.index)
	h.sift(int(s.prev))
}

func (h *timerHeap) take(s *slot) {
	at, last := int(s.prev), len(h.slots)-1
	h.swap(at, last)
	if h.slots = h.slots[:last]; at < last {
		h.sift(at)
	}
}

// sift moves the slot at position i to where it belongs.
func (h *timerHeap) sift(i int) {
	for ; i > 0 && h.earlier(i, (i-1)/2); i = (i - 1) / 2 {
		h.swap(i, (i-1)/2)
	}
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.slots); child++ {
			if h.earlier(child, first) {
				first = child
			}
		}
		if first == i {
			return
		}
		h.swap(i, first)
		i = first
	}
}

func (h *timerHeap) earlier(i, j int) bool {
	return h.slab.at(h.slots[i]).since < h.slab.at(h.slots[j]).since
}

func (h *timerHeap) swap(i, j int) {
	h.slots[i], h.slots[j] = h.slots[j], h.slots[i]
	h.slab.at(h.slots[i]).prev, h.slab.at(h.slots[j]).prev = uint32(i), uint32(j)
}

// oldest returns the connection whose timer in the phase was started first, nil if there is none.
func (t *timers) oldest(b *slab, phase conn.Phase) *slot {
	switch list := &t.lists[phase]; {
	case len(list.heap.slots) > 0:
		return b.at(list.heap.slots[0])
	case list.first != 0:
		return b.at(list.first - 1)
	}
	return nil
}

// each calls f for every connection in the phase. f may not change the timers.
func (t *timers) each(b *slab, phase conn.Phase, f func(*slot)) {
	list := &t.lists[phase]
	for next := list.first; next != 0; {
		s := b.at(next - 1)
		f(s)
		next = s.next
	}
	for _, index := range list.heap.slots {
		f(b.at(index))
	}
}

// due returns a connection whose timer has run out, or nil and the time
// (Clock.Mono) of the next one; 0: there is none.
func (t *timers) due(b *slab, now int64) (s *slot, next int64) {
	for phase := range t.lists {
		s, timeout := t.oldest(b, conn.Phase(phase)), t.lists[phase].timeout
		if s == nil || timeout == 0 {
			continue
		}
		at := s.since + timeout
		if at <= now {
			return s, 0
		}
		if next == 0 || at < next {
			next = at
		}
	}
	return nil, next
}

// late is how many nanoseconds ago the slot's timer was due.
func (t *timers) late(s *slot, now int64) int64 { return now - s.since - t.lists[s.phase].timeout }

// until is the time from now to at, both of Clock.Mono; 0 if it is past.
func until(at, now int64) time.Duration { return time.Duration(max(at-now, 0)) }
