//go:build unix

package reactor

import (
	"math"
	"testing"
	"unsafe"

	"github.com/evhttpd/evhttpd/poller"
)

// TestSlotSize holds the memory of an idle connection under 400 bytes: an
// idle one has a slot and nothing else of ours. The rest is a bit or a pointer in
// the poller and the queues, for which 16 bytes are left.
func TestSlotSize(t *testing.T) {
	const idleMax, rest = 400, 16
	if size := unsafe.Sizeof(slot{}); size > idleMax-rest {
		t.Errorf("a slot has %d bytes, more than %d", size, idleMax-rest)
	}
}

// TestTokensOfReusedSlotsMiss: a slot's next owner has another token, also
// when the generations start over, and none that a listener could have.
func TestTokensOfReusedSlotsMiss(t *testing.T) {
	var b slab
	s := b.take()
	old := s.token()
	b.put(s)
	if b.lookup(old) != nil {
		t.Error("the token of a free slot hits")
	}
	again := b.take()
	if again != s || b.lookup(old) != nil || b.lookup(again.token()) != s {
		t.Errorf("a slot's second owner: token %#x, the first one's was %#x", again.token(), old)
	}
	b.put(again)
	again.generation = math.MaxUint32
	if token := b.take().token(); token>>32 == 0 {
		t.Errorf("token %#x is a listener's", token)
	}
	for _, token := range []poller.Token{0, 1, 1<<32 | slabSlots, math.MaxUint64} {
		if b.lookup(token) != nil {
			t.Errorf("token %#x hits", token)
		}
	}
}

// TestSlabGrowsAndNeverMoves takes several chunks of slots.
func TestSlabGrowsAndNeverMoves(t *testing.T) {
	var b slab
	taken := map[poller.Token]*slot{}
	for range 3 * slabSlots {
		s := b.take()
		taken[s.token()] = s
	}
	if len(taken) != 3*slabSlots || b.live != 3*slabSlots {
		t.Fatalf("%d tokens, %d live", len(taken), b.live)
	}
	for token, s := range taken {
		if b.lookup(token) != s {
			t.Fatalf("token %#x finds another slot", token)
		}
	}
	b.each(b.put)
	if b.live != 0 {
		t.Errorf("%d slots are live", b.live)
	}
	b.each(func(s *slot) { t.Errorf("slot %d is live", s.index) })
}
