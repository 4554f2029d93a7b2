package static

import (
	"io"
	"sync"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/internal/background"
)

// Each block is framed as a chunk (RFC 9112 section 7.1) with a size of eight digits, so that
// it can be filled in afterwards, and left out for HTTP/1.0.
const (
	chunkHead = len("00000000\r\n")
	chunkTail = "\r\n"
	chunkLast = "0\r\n\r\n"
)

// render writes a view of a snapshot, a block at a time. It is a value: a copy goes on
// where the original was.
type render struct {
	dir   *snapshot
	view  view
	order []int32

	part     renderPart
	next, to int // rows, by their place in the order
	readme   int // bytes of the README that are written
}

type renderPart uint8

const (
	renderHead renderPart = iota
	renderRows
	renderBelow
	renderReadme
	renderEnd
	renderDone
)

// newRender begins a view. last is the last page's number if the view's page is beyond it.
func newRender(d *snapshot, v view) (r render, last int) {
	r = render{dir: d, view: v, to: d.n}
	if v.page > 0 {
		if last = d.pages(); int(v.page) > last {
			return r, last
		}
		r.next = (int(v.page) - 1) * pageRows
		r.to = min(r.next+pageRows, d.n)
	}
	r.order = d.order(v.sort, v.desc)
	return r, 0
}

// pages is how many pages the directory has; an empty one has one.
func (d *snapshot) pages() int { return max(1, (d.n+pageRows-1)/pageRows) }

// block renders the next block into b, which it overwrites. done: it is the last one.
func (r *render) block(b []byte) (framed []byte, done bool) {
	b = append(b[:0], "00000000\r\n"...)
	for len(b) < blockSize && r.part != renderDone {
		b = r.append(b)
	}
	const hex = "0123456789abcdef"
	for i, n := 7, len(b)-chunkHead; n > 0; i, n = i-1, n>>4 {
		b[i] = hex[n&15]
	}
	b = append(b, chunkTail...)
	if r.part == renderDone {
		b = append(b, chunkLast...)
	}
	return b, r.part == renderDone
}

// append renders the next row, or what else is next.
func (r *render) append(b []byte) []byte {
	if r.part == renderRows {
		if r.next == r.to {
			r.part++
			return b
		}
		row := r.dir.row(int(r.order[r.next]))
		r.next++
		name := r.dir.name(row)
		switch r.view.format {
		case formatJSON:
			return appendJSONRow(b, name, row, r.next == r.to)
		case formatText:
			return appendTextRow(b, name, row)
		}
		return appendRow(b, name, row)
	}
	if r.view.format == formatHTML {
		return r.appendHTML(b)
	}
	if r.view.format == formatJSON {
		switch r.part {
		case renderHead:
			b = append(b, "[\n"...)
		case renderEnd:
			b = append(b, "]\n"...)
		}
	}
	r.part++
	return b
}

// listingStream is a listing under way to one client. A block is rendered when the one
// before it has been taken, and not on the loop: no goroutine waits for a slow client.
type listingStream struct {
	listing *listing // counted
	chunked bool
	waker   conn.Waker
	token   uint64
	work    *renderer

	mu        sync.Mutex
	block     []byte // what is left of it is to be sent
	own       []byte // the room of the blocks after the first, which is shared
	from      render
	done      bool // block is the last one
	rendering bool // from and own are the renderer's
	closed    bool
}

func newListingStream(l *listing, chunked bool, waker conn.Waker, token uint64) *listingStream {
	l.Retain()
	s := &listingStream{
		listing: l, chunked: chunked, waker: waker, token: token,
		work: &l.from.dir.store.streams, from: l.from,
	}
	s.block = s.unframed(l.first, false)
	return s
}

// unframed leaves the framing out for a client that does not know it.
func (s *listingStream) unframed(block []byte, last bool) []byte {
	if s.chunked {
		return block
	}
	end := len(block) - len(chunkTail)
	if last {
		end -= len(chunkLast)
	}
	return block[chunkHead:end]
}

// Next copies what is rendered, and has more rendered when that is all.
func (s *listingStream) Next(p []byte) (int, error) {
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
		s.work.add(s)
	}
	return 0, conn.ErrAgain
}

// Size is that of the first block, which is kept, and of the one in hand.
func (*listingStream) Size() int { return 2 * blockSize }

// Close gives up the snapshot, or leaves that to the renderer if that is at it.
func (s *listingStream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		if !s.rendering {
			s.listing.Release()
		}
	}
}

// render makes the next block.
func (s *listingStream) render() {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	done := false
	if !closed {
		s.own, done = s.from.block(s.own)
	}
	s.mu.Lock()
	s.rendering = false
	s.block, s.done = s.unframed(s.own, done), done
	closed = s.closed
	s.mu.Unlock()
	if closed {
		s.listing.Release()
		return
	}
	s.waker.Wake(s.token)
}

// renderer renders blocks on a goroutine: listings take one CPU at most from the loops. A
// stream waits here once at a time, so that there are no more than connections.
type renderer struct {
	background.Queue[*listingStream]
}

// add has a stream's next block rendered. It does not block.
func (r *renderer) add(s *listingStream) { r.Add(s, (*listingStream).render) }
