package soak

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"time"
)

// verdict is what a checked answer is.
type verdict int

const (
	right    verdict = iota
	inFlight         // overwritten in place while it was on its way: what docs/reliability.md names as an exception
	crossed          // of another file, or of nothing that was ever there
	mixed            // from two versions
	stale            // older than cache.valid allows
	wrong            // a status or field that does not belong to the state
	short            // ended early though its file was not changed in place
	cut              // ended early because its file was changed in place
	lost             // no answer
	verdicts
)

func (v verdict) String() string {
	return [...]string{"right", "overwritten in flight", "crossed", "of two versions", "stale", "wrong head",
		"short", "cut for a change in place", "lost"}[v]
}

// fault is a verdict with what led to it.
type fault struct {
	verdict verdict
	text    string
}

// candidate is a state that an answer may be of.
type candidate struct {
	file    *file
	state   *state
	before  *state
	between bool // the look came in the middle of the change
}

// checker compares answers with what was served.
type checker struct {
	world *world
	valid time.Duration // how long a state may be served after it has passed: cache.valid, and how late a clock may be
	roots time.Duration // the same for the root's link
	late  func() time.Duration
}

// candidates are the states that the answer may be of by time alone.
func (c *checker) candidates(q *request, a *answer) (all []candidate) {
	files := q.target.files
	if a.coding == "gzip" && q.target.gz[0] != nil {
		files = q.target.gz
	}
	late := c.late()
	served := c.world.roots(q.sent-c.roots-late, a.received)
	for root, f := range files {
		if served[root] {
			states, before := f.window(q.sent-c.valid-late, a.received)
			for i, s := range states {
				all = append(all, candidate{file: f, state: s, before: before[i]})
			}
		}
	}
	return all
}

// plainTag takes the mark of a weak tag and the coding's name off a tag.
func plainTag(tag string) (plain string, weak bool) {
	plain, weak = strings.CutPrefix(tag, "W/")
	plain = strings.Trim(plain, `"`)
	return strings.TrimSuffix(plain, "-gzip"), weak
}

// check says what an answer is. err is why its body ended early.
func (c *checker) check(q *request, a *answer, err error) *fault {
	all := c.candidates(q, a)
	switch a.status {
	case 200, 206:
		return c.content(q, a, all, err)
	case 304:
		return c.unmodified(q, a, all)
	case 404:
		return want(all, "a file that was always there", func(k candidate) bool { return k.state.absent })
	case 412:
		plain, _ := plainTag(q.matchIf)
		return want(all, "the tag of If-Match is the file's", func(k candidate) bool {
			return q.matchIf != "" && !k.state.absent && k.state.tag() != plain || k.state.partial || c.young(k, a)
		})
	case 416:
		return want(all, "a range that there was: "+a.contentRange, func(k candidate) bool {
			size := k.state.size
			if k.state.partial {
				_, _ = fmt.Sscanf(a.contentRange, "bytes */%d", &size) // of a look in the middle of the change
				size = min(max(size, min(k.before.size, k.state.size)), max(k.before.size, k.state.size))
			}
			return !k.state.absent && a.contentRange == fmt.Sprintf("bytes */%d", size) && !satisfiable(q, size)
		})
	}
	return &fault{wrong, fmt.Sprintf("status %d", a.status)}
}

// young reports whether the state was so new that its tag was weak, and matches no If-Match.
func (c *checker) young(k candidate, a *answer) bool {
	return !k.state.absent && a.received-k.state.began < 10*time.Second
}

func want(all []candidate, text string, ok func(candidate) bool) *fault {
	for _, k := range all {
		if ok(k) {
			return nil
		}
	}
	return &fault{wrong, text}
}

func satisfiable(q *request, size int64) bool {
	for _, s := range q.spans {
		if from, to := s.of(size); from < to {
			return true
		}
	}
	return false
}

// unmodified checks a 304.
func (c *checker) unmodified(q *request, a *answer, all []candidate) *fault {
	plain, _ := plainTag(q.noneIf)
	if q.noneIf != "" && len(matching(all, plain, false)) > 0 {
		return nil
	}
	return want(all, "a 304 of a file that has changed", func(k candidate) bool {
		return !k.state.absent && q.since > 0 && min(k.state.mtime, k.before.mtime)/1e9 <= q.since
	})
}

// content checks a 200 or 206.
func (c *checker) content(q *request, a *answer, all []candidate, cutBy error) *fault {
	plain, weak := plainTag(a.tag)
	dynamic := a.coding == "gzip" && q.target.gz[0] == nil
	found := matching(all, plain, dynamic)
	if len(found) == 0 {
		return c.unknown(q, a, plain, all)
	}
	if q.noneIf != "" {
		if asked, _ := plainTag(q.noneIf); asked == plain && a.coding == "" {
			return &fault{wrong, "200 with the tag of If-None-Match"}
		}
	}
	if q.rangeIf != "" && a.status == 206 && (q.rangeIf != a.tag || weak) {
		return &fault{mixed, fmt.Sprintf("206 of %s, If-Range: %s", a.tag, q.rangeIf)}
	}
	if cutBy != nil {
		return c.cutShort(q, a, cutBy)
	}
	var first *fault
	for _, k := range found {
		f := c.compare(q, a, k, weak)
		if f == nil || f.verdict == inFlight {
			return f
		}
		if first == nil {
			first = f
		}
	}
	return first
}

// matching are the candidates whose tag that is, or which a look in the middle of a change gives that tag: the kernel
// sets size and time one after the other. The tag of what was compressed has the size of that.
func matching(all []candidate, plain string, dynamic bool) (found []candidate) {
	for _, k := range all {
		tag := k.state.tag()
		if dynamic {
			tag, _, _ = strings.Cut(tag, "-")
			plain, _, _ = strings.Cut(plain, "-")
		}
		if !k.state.absent && tag == plain {
			found = append(found, k)
		}
	}
	if len(found) > 0 {
		return found
	}
	at, length, _ := strings.Cut(plain, "-")
	mtime, err1 := strconv.ParseInt(at, 16, 64)
	size, err2 := strconv.ParseInt(length, 16, 64)
	if err1 != nil || err2 != nil {
		return nil
	}
	for _, k := range all {
		s, b := k.state, k.before
		within := size >= min(b.size, s.size) && size <= max(b.size, s.size)
		if s.partial && mtime >= b.mtime && mtime <= s.mtime && within {
			half := *s
			half.mtime, half.size = mtime, size
			found = append(found, candidate{k.file, &half, b, true})
		}
	}
	return found
}

// unknown says what a tag is that no state has that the answer may be of.
func (c *checker) unknown(q *request, a *answer, plain string, all []candidate) *fault {
	for _, files := range [][2]*file{q.target.files, q.target.gz} {
		for _, f := range files {
			if f == nil {
				continue
			}
			if lost, ok := f.remembers(plain); ok {
				return &fault{stale, fmt.Sprintf("tag %s of %s had passed %v before", a.tag, f.path, q.sent-lost)}
			}
		}
	}
	text := fmt.Sprintf("tag %s is none of", a.tag)
	for _, k := range all {
		text += " " + k.state.tag()
	}
	return &fault{crossed, text}
}

// cutShort says whether there was a reason to end the body early: a change in place since the look, which may be as
// old as an answer may be stale.
func (c *checker) cutShort(q *request, a *answer, err error) *fault {
	for _, k := range c.candidates(q, a) {
		if k.state.partial && k.state.ended >= q.sent-c.valid-c.late() {
			return &fault{cut, ""}
		}
	}
	return &fault{short, fmt.Sprintf("%d of %d bytes: %v", len(a.body), a.length, err)}
}

// compare compares the answer with a state.
func (c *checker) compare(q *request, a *answer, k candidate, weak bool) *fault {
	s := k.state
	// Last-Modified is no later than the server's clock at the look, which may be of the second before.
	early := weak && a.modified < s.mtime/1e9 && a.modified >= int64(q.sent+c.world.epoch())/1e9-1
	if a.modified != s.mtime/1e9 && !early {
		return &fault{wrong, fmt.Sprintf("Last-Modified %d, and %d is the file's", a.modified, s.mtime/1e9)}
	}
	body, size := a.body, s.size
	dynamic := a.coding == "gzip" && q.target.gz[0] == nil
	if a.status == 200 && !dynamic && a.length != size {
		return &fault{wrong, fmt.Sprintf("Content-Length %d, and %d is the file's", a.length, size)}
	}
	switch {
	case q.head:
		return nil
	case a.status == 206:
		return c.parts(q, a, k, weak)
	case len(q.spans) == 1 && q.rangeIf == "" && size > 0:
		if from, to := q.spans[0].of(size); from > 0 || to < size {
			return &fault{wrong, "200 for one range"}
		}
	case dynamic:
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(z)
		}
		if err != nil || int64(len(body)) != size {
			return &fault{wrong, fmt.Sprintf("%d bytes were compressed, of %d: %v", len(body), size, err)}
		}
	}
	return c.bytes(q, a, k, weak, body, 0)
}

// parts checks what a 206 has.
func (c *checker) parts(q *request, a *answer, k candidate, weak bool) *fault {
	if !strings.HasPrefix(a.contentType, "multipart/byteranges") {
		return c.part(q, a, k, weak, a.contentRange, a.body)
	}
	_, parameters, err := mime.ParseMediaType(a.contentType)
	if err != nil {
		return &fault{wrong, err.Error()}
	}
	delimiter := []byte("\r\n--" + parameters["boundary"])
	rest := a.body
	for n := 0; ; n++ {
		if !bytes.HasPrefix(rest, delimiter) {
			return &fault{crossed, fmt.Sprintf("part %d does not begin with its boundary: %.80q", n, rest)}
		}
		rest = rest[len(delimiter):]
		if string(rest) == "--\r\n" {
			return nil
		}
		head, body, ok := bytes.Cut(rest, []byte("\r\n\r\n"))
		_, field, has := bytes.Cut(head, []byte("Content-Range: "))
		if !ok || !has {
			return &fault{wrong, fmt.Sprintf("part %d has no Content-Range: %.80q", n, rest)}
		}
		field, _, _ = bytes.Cut(field, []byte("\r\n"))
		var first, last, total int64
		_, err := fmt.Sscanf(string(field), "bytes %d-%d/%d", &first, &last, &total)
		if err != nil || last-first+1 > int64(len(body)) {
			return &fault{wrong, fmt.Sprintf("part %d: %q", n, field)}
		}
		if f := c.part(q, a, k, weak, string(field), body[:last-first+1]); f != nil {
			return f
		}
		rest = body[last-first+1:]
	}
}

// part checks one range.
func (c *checker) part(q *request, a *answer, k candidate, weak bool, field string, body []byte) *fault {
	var first, last, total int64
	if _, err := fmt.Sscanf(field, "bytes %d-%d/%d", &first, &last, &total); err != nil {
		return &fault{wrong, fmt.Sprintf("Content-Range: %q", field)}
	}
	asked := false
	for _, s := range q.spans {
		from, to := s.of(k.state.size)
		asked = asked || from >= first && to <= last+1 && from < to
	}
	if total != k.state.size || !asked || last-first+1 != int64(len(body)) {
		return &fault{wrong, fmt.Sprintf("Content-Range: %q of %d bytes, for %v", field, k.state.size, q.spans)}
	}
	return c.bytes(q, a, k, weak, body, first)
}

// bytes compares a part of a body, which begins at that offset, with a state.
func (c *checker) bytes(q *request, a *answer, k candidate, weak bool, body []byte, offset int64) *fault {
	var bad string
	own := false
	k.state.each(offset, offset+int64(len(body)), func(from, to int64, version uint32) bool {
		if at := firstWrong(body[from-offset:to-offset], k.file.number, version, from); at >= 0 {
			at += int(from - offset)
			bad = fmt.Sprintf("at %d of version %d: %s", offset+int64(at), version, describeCell(body, at, offset))
			own = ofFile(body, at, offset, k.file.number)
			return false
		}
		return true
	})
	if bad == "" {
		return nil
	}
	v := crossed
	if own {
		v = mixed
		if c.excused(q, a, k, weak) {
			v = inFlight
		}
	}
	return &fault{v, bad}
}

// excused reports whether the change is one that is not noticed: it was not over when the file was looked at, it
// overwrote pages that were on their way already, or it fell into the one call that has sent the whole answer.
func (c *checker) excused(q *request, a *answer, k candidate, weak bool) bool {
	underway := func(s *state) bool { return s.began <= a.received && s.ended >= q.sent }
	if weak && k.state.partial && underway(k.state) {
		return true
	}
	if k.state.size <= cacheFile {
		return false
	}
	states, _ := k.file.window(q.sent, a.received)
	for _, s := range states {
		if (s.overwrote || s.partial && len(a.body) <= turn) && underway(s) {
			return true
		}
	}
	return false
}
