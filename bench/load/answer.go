package load

import (
	"bytes"
	"math"
)

// answer is the response that is being received.
type answer struct {
	partial   []byte // of a head that came in parts
	inContent bool   // the head is complete
	head      head
	chunks    chunks  // of a chunked content
	remaining int64   // of the content, or of the chunk, in bytes
	offset    int64   // in the content
	compared  bool    // the content is compared with what is expected
	verdict   Failure // NumFailures: nothing wrong yet
}

// consume takes what was received for the requests in flight. It reports false
// when the connection is over.
func (l *loop) consume(c *connection, data []byte) bool {
	for len(data) > 0 {
		if !c.answer.inContent {
			n, err := l.parse(c, data)
			if err != nil {
				return l.malformed(c, err)
			}
			if data = data[n:]; !c.answer.inContent {
				continue // an interim response, or part of a head, which was all
			}
		}
		if c.answer.head.framing == byChunks {
			n, err := l.unchunk(c, data)
			if err != nil {
				return l.malformed(c, err)
			}
			if data = data[n:]; c.answer.chunks.part != chunksOver {
				return true
			}
		} else if data = data[l.content(c, data):]; c.answer.remaining > 0 {
			return true
		}
		if !l.complete(c, data) {
			return false
		}
	}
	return true
}

// malformed ends the connection of a server whose bytes are no response. It reports false, as consume does.
func (l *loop) malformed(c *connection, err error) bool {
	c.group.note(Malformed, "%v", err)
	l.fail(c, Malformed)
	return false
}

// unchunk takes chunks, and the content in them, from data. It returns how many
// bytes it took: all, unless the content ended before.
func (l *loop) unchunk(c *connection, data []byte) (int, error) {
	taken := 0
	for taken < len(data) && c.answer.chunks.part != chunksOver {
		if c.answer.chunks.part != chunkData {
			n, err := c.answer.chunks.next(data[taken:])
			if err != nil {
				return 0, err
			}
			taken += n
			c.answer.remaining = c.answer.chunks.size
			continue
		}
		taken += l.content(c, data[taken:])
		if c.answer.remaining == 0 {
			c.answer.chunks.dataOver()
		}
	}
	return taken, nil
}

// parse looks for the head of the response to the first request in flight. It
// returns how many bytes of data it took; c.answer.inContent says whether the head is complete
// and is the final response's. Interim ones (1xx) are passed over (RFC 9110 section 15.2).
func (l *loop) parse(c *connection, data []byte) (int, error) {
	if c.flight.len == 0 {
		return 0, errUninvited
	}
	t := &c.group.Targets[c.flight.at(0).target]
	had := len(c.answer.partial)
	buf := data
	if had > 0 {
		c.answer.partial = append(c.answer.partial, data[:min(len(data), headMax-had)]...)
		buf = c.answer.partial
	}
	n, err := parseHead(buf, t.toHead(), &c.answer.head)
	switch {
	case err != nil:
		return 0, err
	case n == 0 && had == 0:
		c.answer.partial = append(c.answer.partial, data...)
		return len(data), nil
	case n == 0:
		return len(data), nil
	}
	c.answer.partial = c.answer.partial[:0]
	if c.answer.head.status < 200 {
		return n - had, nil
	}
	c.answer.inContent, c.answer.remaining, c.answer.offset = true, c.answer.head.length, 0
	switch c.answer.head.framing {
	case byChunks:
		c.answer.chunks = chunks{}
	case byClose:
		c.answer.remaining = math.MaxInt64
	}
	l.judge(c, t)
	return n - had, nil
}

// judge compares the head with what the target must answer.
func (l *loop) judge(c *connection, t *Target) {
	h := &c.answer.head
	c.answer.compared = false
	switch {
	case !t.accepts(h.status):
		c.answer.verdict = WrongStatus
		c.group.note(WrongStatus, "%s: status %d, not %s", t.Path, h.status, statusText(t.Status))
	case h.framing == byLength && t.Length != AnyLength && max(h.announced, 0) != t.Length:
		c.answer.verdict = WrongLength
		c.group.note(WrongLength, "%s: Content-Length %d, not %d", t.Path, h.announced, t.Length)
	default:
		c.answer.verdict = NumFailures
		c.answer.compared = t.Body != nil && !t.toHead() && c.group.compares()
	}
}

// content takes the content's next part from data and returns its length.
func (l *loop) content(c *connection, data []byte) int {
	part := data[:min(int64(len(data)), c.answer.remaining)]
	if c.answer.compared {
		l.compare(c, part)
	}
	c.answer.offset += int64(len(part))
	c.answer.remaining -= int64(len(part))
	if l.window.contains(l.now) {
		c.group.result.Bytes += int64(len(part))
	}
	return len(part)
}

// compare holds a part of the content against what is expected. Beyond what is
// expected there is nothing to compare: the length is wrong then, which is seen at the end.
func (l *loop) compare(c *connection, part []byte) {
	t := &c.group.Targets[c.flight.at(0).target]
	from := min(c.answer.offset, int64(len(t.Body)))
	to := min(c.answer.offset+int64(len(part)), int64(len(t.Body)))
	if bytes.Equal(part[:to-from], t.Body[from:to]) {
		return
	}
	c.answer.compared, c.answer.verdict = false, WrongContent
	c.group.note(WrongContent, "%s: other content within the %d bytes from offset %d", t.Path, len(part),
		c.answer.offset)
}

// measure looks at the length of a content that had not been announced.
func (l *loop) measure(c *connection) {
	t := &c.group.Targets[c.flight.at(0).target]
	if c.answer.verdict != NumFailures || t.Length == AnyLength || c.answer.offset == t.Length {
		return
	}
	c.answer.verdict = WrongLength
	c.group.note(WrongLength, "%s: %d bytes of content, not %d", t.Path, c.answer.offset, t.Length)
}

// complete is the end of one response; rest is what came behind it. It reports
// false when the connection is over.
func (l *loop) complete(c *connection, rest []byte) bool {
	g := c.group
	if c.answer.head.framing != byLength {
		l.measure(c)
	}
	req := c.flight.pop()
	g.inFlight--
	g.statuses[c.answer.head.status]++
	c.answer.inContent, c.answer.offset = false, 0
	if c.answer.verdict != NumFailures {
		g.result.Failures[c.answer.verdict]++
	} else {
		l.answered(c, req)
	}
	l.ramp.settle(c)
	if !c.answer.head.close && !g.CloseEach {
		return true
	}
	if len(rest) > 0 {
		return l.malformed(c, errBehindClose)
	}
	l.disconnect(c)
	g.result.Resent += int64(c.flight.len)
	l.restart(c)
	return false
}

// answered counts a right answer.
func (l *loop) answered(c *connection, req request) {
	r := &c.group.result
	r.Answered++
	if c.answer.compared {
		r.Compared++
	}
	if l.window.contains(l.now) {
		r.Completed++
	}
	if l.window.contains(req.due) {
		r.Latency.record(l.now - req.due)
	}
	if c.answered++; c.answered == 1 {
		r.Served++
	}
}
