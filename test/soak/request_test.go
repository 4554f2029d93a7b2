package soak

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// span is a range that is asked for: first and last, or, if first is -1, so many of the last bytes; with a last of -1,
// what follows first.
type span struct{ first, last int64 }

// request is what is asked, and what the answer is checked against.
type request struct {
	target  *target
	head    bool
	coded   bool // Accept-Encoding: gzip
	close   bool
	spans   []span
	noneIf  string // the tag in If-None-Match
	matchIf string // the tag in If-Match
	rangeIf string // the tag in If-Range
	since   int64  // the date in If-Modified-Since, in seconds since 1970
	sent    time.Duration
}

// known is what a client has learnt of a target.
type known struct {
	tag      string // as it stands in the field, without the coding
	modified int64
	size     int64
}

// draw makes up a request. k is what the client knows of the target; nil: nothing.
func draw(r *rand.Rand, t *target, k *known) *request {
	q := &request{target: t}
	size := t.class
	if k != nil {
		size = k.size
	}
	n := r.IntN(100)
	switch {
	case n < 45:
	case n < 52:
		q.head = true
	case n < 64 && k != nil:
		q.noneIf = k.tag
	case n < 70 && k != nil && k.modified > 0:
		q.since = k.modified
	case n < 74 && k != nil && !strings.HasPrefix(k.tag, "W/"):
		q.matchIf = k.tag
	case n < 90:
		q.spans = append(q.spans, drawSpan(r, size))
		for n < 74+4 && len(q.spans) < 5 {
			q.spans = append(q.spans, drawSpan(r, size))
			n = 74 + r.IntN(6)
		}
		if k != nil && r.IntN(3) == 0 {
			q.rangeIf = k.tag
		}
	default:
		q.coded = true
	}
	return q
}

func drawSpan(r *rand.Rand, size int64) span {
	if size < 4 || r.IntN(20) == 0 {
		return span{r.Int64N(size + 2), -1}
	}
	first := r.Int64N(size)
	switch r.IntN(4) {
	case 0:
		return span{first, -1}
	case 1:
		return span{-1, 1 + r.Int64N(min(size, 4*cacheFile))}
	}
	return span{first, first + r.Int64N(min(size-first, 2*cacheFile))}
}

// of is the part of a file of that size that the span stands for; none: from == to.
func (s span) of(size int64) (from, to int64) {
	switch {
	case s.first < 0:
		return max(0, size-s.last), size
	case s.last < 0:
		return min(s.first, size), size
	}
	return min(s.first, size), min(s.last+1, size)
}

// appendTo writes the request.
func (q *request) appendTo(b []byte) []byte {
	method := "GET"
	if q.head {
		method = "HEAD"
	}
	b = fmt.Appendf(b, "%s /%s HTTP/1.1\r\nHost: soak\r\n", method, q.target.name)
	field := func(name, value string) {
		if value != "" {
			b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
		}
	}
	field("If-None-Match", q.noneIf)
	field("If-Match", q.matchIf)
	field("If-Range", q.rangeIf)
	if q.since > 0 {
		field("If-Modified-Since", time.Unix(q.since, 0).UTC().Format(http.TimeFormat))
	}
	if q.coded {
		field("Accept-Encoding", "gzip")
	}
	if q.close {
		field("Connection", "close")
	}
	if len(q.spans) > 0 {
		b = append(b, "Range: bytes="...)
		for i, s := range q.spans {
			if i > 0 {
				b = append(b, ',')
			}
			if s.first >= 0 {
				b = strconv.AppendInt(b, s.first, 10)
			}
			b = append(b, '-')
			if s.last >= 0 {
				b = strconv.AppendInt(b, s.last, 10)
			}
		}
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}
