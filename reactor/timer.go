package reactor

import (
	"time"

	"github.com/evhttpd/evhttpd/conn"
)

// timers holds the one timer of each connection: a list a phase, oldest first.
// A phase's timeout is the same for all, so the lists stay sorted by appending.
type timers struct {
	lists [conn.NumPhases]struct {
		first, last uint32 // slot numbers plus one
		n           uint32 // slots
		timeout     int64  // nanoseconds; 0: it never runs out
	}
}

func (t *timers) init(cfg *conn.Config) {
	for phase := range conn.NumPhases {
		t.lists[phase].timeout = int64(cfg.Timeout(phase))
	}
}

// set moves the slot's timer to the end of the phase's list. since (Clock.Mono) is
// no earlier than that of any other slot set before.
func (t *timers) set(b *slab, s *slot, phase conn.Phase, since int64) {
	if phase == s.phase && since == s.since {
		return
	}
	t.unset(b, s)
	s.phase, s.since = phase, since
	list := &t.lists[phase]
	list.n++
	s.prev, s.next = list.last, 0
	if list.last != 0 {
		b.at(list.last - 1).next = s.index + 1
	} else {
		list.first = s.index + 1
	}
	list.last = s.index + 1
}

// unset takes the slot out of its list.
func (t *timers) unset(b *slab, s *slot) {
	if s.phase == conn.NumPhases {
		return
	}
	list := &t.lists[s.phase]
	list.n--
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

// oldest returns the connection that has been in the phase longest, nil if there is none.
func (t *timers) oldest(b *slab, phase conn.Phase) *slot {
	if first := t.lists[phase].first; first != 0 {
		return b.at(first - 1)
	}
	return nil
}

// due returns a connection whose timer has run out, or nil and the time
// (Clock.Mono) of the next one; 0: there is none.
func (t *timers) due(b *slab, now int64) (s *slot, next int64) {
	for i := range t.lists {
		list := &t.lists[i]
		if list.first == 0 || list.timeout == 0 {
			continue
		}
		s := b.at(list.first - 1)
		at := s.since + list.timeout
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
