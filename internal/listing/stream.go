package listing

import (
	"io"
	"sync"

	"github.com/evhttpd/evhttpd/conn"
)

// Stream is the conn.Source of a listing that is longer than one block. A block is rendered when the one before it has
// been taken, and not on the event loop.
type Stream struct {
	dir   *Directory // counted
	waker conn.Waker
	token uint64

	mu        sync.Mutex
	block     []byte   // what is left to be sent of the block that was rendered last
	own       []byte   // the room for each block after the first, which other streams share
	rest      Renderer // what follows block
	done      bool     // block is the last one
	rendering bool     // own and rest belong to the goroutine that renders
	closed    bool
}

// NewStream returns the stream of a listing whose first block is rendered, and must not change any more. rest renders
// what follows, and waker is told when there is more.
func NewStream(first []byte, rest Renderer, waker conn.Waker, token uint64) *Stream {
	rest.dir.Retain()
	return &Stream{dir: rest.dir, waker: waker, token: token, block: first, rest: rest}
}

// Next copies what is rendered, and has more rendered when everything has been taken.
func (s *Stream) Next(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.block) > 0:
		n := copy(p, s.block)
		s.block = s.block[n:]
		return n, nil
	case s.done:
		return 0, io.EOF
	case !s.rendering:
		s.rendering = true
		s.dir.store.streams.Add(s, (*Stream).render)
	}
	return 0, conn.ErrAgain
}

// Size is that of the first block, which is kept, and of the one in hand.
func (*Stream) Size() int { return 2 * BlockSize }

// Close gives up the directory, or leaves that to the goroutine that renders.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		if !s.rendering {
			s.dir.Release()
		}
	}
}

// render renders the next block.
func (s *Stream) render() {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	done := false
	if !closed {
		s.own, done = s.rest.Block(s.own)
	}
	s.mu.Lock()
	s.rendering = false
	s.block, s.done = s.own, done
	closed = s.closed
	s.mu.Unlock()
	if closed {
		s.dir.Release()
		return
	}
	s.waker.Wake(s.token)
}
