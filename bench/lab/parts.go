package lab

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/text"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
)

// part is a piece of the server's code, timed by itself beside what does without.
type part struct {
	name, short   string
	with, without float64 // nanoseconds
}

func (p *part) costs() float64 { return p.with - p.without }

const (
	partTries = 9
	partLoops = 20_000
	partNote  = "timed alone in a loop, where caches and branch predictors know it by heart: a lower bound of what " +
		"it costs among everything else"
)

// browserFields are those of a browser's request, beside Host.
var browserFields = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br, zstd", "DNT: 1", "Connection: keep-alive",
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1", "Upgrade-Insecure-Requests: 1",
	"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none", "Sec-Fetch-User: ?1",
	"Priority: u=0, i",
}

// Requests as a load generator's and a browser's.
var (
	plainRequest   = []byte("GET /small.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
	browserRequest = []byte("GET /small.html HTTP/1.1\r\nHost: www.example.org\r\n" +
		strings.Join(browserFields, "\r\n") + "\r\n\r\n")
)

// timeParts times what has no switch.
func timeParts() []part {
	limits := &http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10}
	var req http1.Request
	var lax laxRequest
	strict := func(head []byte) float64 {
		return timeOf(func() {
			if http1.Parse(head, 0, limits, &req) != http1.Complete {
				panic("lab: a request of its own is refused")
			}
		})
	}
	loose := func(head []byte) float64 {
		return timeOf(func() {
			if !lax.parse(head) {
				panic("lab: a request of its own is refused")
			}
		})
	}
	var c conn.Counters
	return []part{
		{"strict parsing, a load generator's request", "strict parsing", strict(plainRequest), loose(plainRequest)},
		{"strict parsing, a browser's request of 14 fields", "the same, a browser's", strict(browserRequest),
			loose(browserRequest)},
		{"counting a request", "counting", timeOf(func() { countRequest(&c) }), timeOf(func() {})},
	}
}

// countRequest is what a loop counts for a small request, with a batch of its own.
//
//go:noinline
func countRequest(c *conn.Counters) {
	c.Waits++
	c.Events++
	c.Calls[conn.CallRecv]++
	c.Received += 50
	c.Requests[2]++
	c.CacheHits++
	c.Calls[conn.CallSend]++
	c.SentCopied += 1200
	c.Latency.Observe(1, 5000)
	c.Batch.Observe(1, 5000)
}

// timeOf is how many nanoseconds a call takes: the least of several tries, since disturbances only make it longer.
func timeOf(call func()) float64 {
	best := math.Inf(1)
	for range partTries {
		began := time.Now()
		for range partLoops {
			call()
		}
		best = min(best, float64(time.Since(began))/partLoops)
	}
	return best
}

// laxRequest is what a parser that trusts its peer finds out: as little as a file server can do with.
type laxRequest struct {
	method, target        []byte
	host, connection      []byte
	rangeField, noneMatch []byte
	since, encodings      []byte
}

// parse takes lines for what they seem to be and looks at no byte that it does not need: it finds the fields that
// decide about an answer, and lets pass whatever smuggles requests past a proxy.
func (r *laxRequest) parse(head []byte) bool {
	*r = laxRequest{}
	line, rest, ok := bytes.Cut(head, crlf)
	if !ok {
		return false
	}
	r.method, line, _ = bytes.Cut(line, space)
	r.target, _, _ = bytes.Cut(line, space)
	for {
		if line, rest, ok = bytes.Cut(rest, crlf); !ok || len(line) == 0 {
			return ok
		}
		at := bytes.IndexByte(line, ':')
		if at < 0 {
			continue
		}
		value := bytes.TrimSpace(line[at+1:])
		switch at {
		case len("Host"):
			keep(&r.host, line[:at], "host", value)
		case len("Range"):
			keep(&r.rangeField, line[:at], "range", value)
		case len("Connection"):
			keep(&r.connection, line[:at], "connection", value)
		case len("If-None-Match"):
			keep(&r.noneMatch, line[:at], "if-none-match", value)
		case len("Accept-Encoding"):
			keep(&r.encodings, line[:at], "accept-encoding", value)
		case len("If-Modified-Since"):
			keep(&r.since, line[:at], "if-modified-since", value)
		}
	}
}

var crlf, space = []byte("\r\n"), []byte(" ")

// keep keeps the value of the field of that name, whatever its case.
func keep(to *[]byte, name []byte, wanted string, value []byte) {
	for i := range name {
		if name[i]|0x20 != wanted[i] {
			return
		}
	}
	*to = value
}

// partsTable says what the parts cost, and how much of a request of the first load that is.
func partsTable(g *experiment.Grid, parts []part) experiment.Table {
	t := experiment.Table{Title: "what has no switch: " + partNote,
		Head: []string{"", "ns with", "ns without", "costs ns", "% of a request"}}
	whole, ok := g.Figure(0, 0, "cpu")
	for i := range parts {
		p := &parts[i]
		share := text.Unknown
		if ok && whole.Median > 0 {
			share = fmt.Sprintf("%.1f", p.costs()/1e3/whole.Median*100)
		}
		t.Rows = append(t.Rows, []string{p.name, text.Number(p.with), text.Number(p.without), text.Number(p.costs()),
			share})
	}
	return t
}
