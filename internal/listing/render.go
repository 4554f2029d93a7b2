package listing

import "strconv"

// Renderer renders a listing, a block at a time. It is a value: a copy goes on where the original was.
type Renderer struct {
	dir   *Directory
	query Query
	order []int32 // the indices of the directory's rows

	part     part
	next, to int // rows, by their place in the order: the next one, and the end of the page
	readme   int // bytes of the README that have been rendered
}

// part is a part of a listing, in the order in which they are rendered.
type part uint8

const (
	partHead part = iota
	partRows
	partBelow
	partReadme
	partEnd
	partDone
)

// Render begins to render what q asks to see of the directory. If there is no such listing, status is that of the error
// and reason says why.
func (d *Directory) Render(q Query) (r Renderer, status int, reason string) {
	r = Renderer{dir: d, query: q, to: d.n}
	if q.page > 0 {
		if last := d.pages(); int(q.page) > last {
			return r, 404, "no such page of the listing: the last one is ?page=" + strconv.Itoa(last)
		}
		r.next = (int(q.page) - 1) * PageRows
		r.to = min(r.next+PageRows, d.n)
	}
	if d.omitted > 0 && q.Format == FormatHTML && q.page == 0 {
		// A program that mirrors the directory would remove what is not listed, and reads no line that says so.
		return r, 500, "the directory has more names than one listing holds: " +
			"ask for ?page=1, or for ?format=text and look at X-Not-Listed"
	}
	r.order = d.order(q.sort, q.descending)
	return r, 0, ""
}

// pages is how many pages the directory has; an empty one has one.
func (d *Directory) pages() int { return max(1, (d.n+PageRows-1)/PageRows) }

// Block renders the next block into b, which it overwrites. done: it is the last one.
func (r *Renderer) Block(b []byte) (block []byte, done bool) {
	b = b[:0]
	for len(b) < BlockSize && r.part != partDone {
		b = r.append(b)
	}
	return b, r.part == partDone
}

// append renders the next row, or the next other part.
func (r *Renderer) append(b []byte) []byte {
	if r.part == partRows && r.next < r.to {
		row := r.dir.row(int(r.order[r.next]))
		r.next++
		name := r.dir.name(row)
		switch r.query.Format {
		case FormatJSON:
			return appendJSONRow(b, name, row, r.next == r.to)
		case FormatText:
			return appendTextRow(b, name, row)
		}
		return appendRow(b, name, row)
	}
	switch {
	case r.query.Format == FormatHTML:
		return r.appendHTML(b)
	case r.query.Format == FormatJSON && r.part == partHead:
		b = append(b, "[\n"...)
	case r.query.Format == FormatJSON && r.part == partEnd:
		b = append(b, "]\n"...)
	}
	r.part++
	return b
}
