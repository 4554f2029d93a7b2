package reactor

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/poller"
)

// slot is a connection as the loop sees it. Slots are reused; the generation
// tells which connection an event is for.
type slot struct {
	conn conn.Conn

	fd         int32
	index      uint32
	generation uint32
	ready      poller.Ready // what the next calls may find; see transport
	interest   poller.Ready // as the poller has it, if registered
	want       conn.Want
	registered bool
	queued     bool // in the loop's ready queue
	unwatched  bool // in the loop's list of those that could not be watched
	live       bool
	unmovable  bool // nobody takes it over: its next answer is its last

	// The timer: a link of the phase's list.
	phase      conn.Phase
	since      int64
	prev, next uint32 // slot numbers plus one; 0: none. A free slot's next is the next free one.
}

// token names the connection that is in the slot now.
func (s *slot) token() poller.Token {
	return poller.Token(uint64(s.generation)<<32 | uint64(s.index))
}

// slabSlots is how many slots are allocated at a time: few enough that a quiet
// server stays small, enough that a busy one allocates seldom.
const slabSlots = 128

// slab holds a loop's slots. They never move, so pointers to them stay good.
type slab struct {
	chunks []*[slabSlots]slot
	free   uint32 // first free slot's number plus one
	live   int
}

// at returns the slot of that index.
func (b *slab) at(index uint32) *slot {
	return &b.chunks[index/slabSlots][index%slabSlots]
}

// lookup returns the live slot that a token names, nil when that connection is gone.
func (b *slab) lookup(token poller.Token) *slot {
	index := uint32(token)
	if int(index/slabSlots) >= len(b.chunks) {
		return nil
	}
	if s := b.at(index); s.live && s.generation == uint32(token>>32) {
		return s
	}
	return nil
}

// take returns a free slot with a generation of its own.
func (b *slab) take() *slot {
	if b.free == 0 {
		b.grow()
	}
	s := b.at(b.free - 1)
	b.free = s.next
	b.live++
	generation := max(s.generation+1, 1) // 0, after 4 billion, is the listeners'
	*s = slot{index: s.index, generation: generation, live: true, phase: conn.NumPhases}
	return s
}

// grow adds a chunk of free slots.
func (b *slab) grow() {
	chunk := new([slabSlots]slot)
	base := uint32(len(b.chunks)) * slabSlots
	b.chunks = append(b.chunks, chunk)
	for i := slabSlots - 1; i >= 0; i-- {
		chunk[i].index = base + uint32(i)
		chunk[i].next = b.free
		b.free = chunk[i].index + 1
	}
}

// put frees a slot, which is in no list any more. Its events miss from now on.
func (b *slab) put(s *slot) {
	s.live = false
	s.next = b.free
	b.free = s.index + 1
	b.live--
}

// each calls f for every live slot; f may free it.
func (b *slab) each(f func(*slot)) {
	for _, chunk := range b.chunks {
		for i := range chunk {
			if chunk[i].live {
				f(&chunk[i])
			}
		}
	}
}
