package attacks

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	ms       = time.Millisecond
	churners = 8        // who share the connections to the limit
	slow     = 200 * ms // between two bytes of one who keeps a connection from timing out
	heads    = `evhttpd_connections{state="head"}`

	silent     = `evhttpd_connections{state="first_byte"}`
	answers2xx = `evhttpd_requests_total{class="2xx"}`
	answers4xx = `evhttpd_requests_total{class="4xx"}`
	answers5xx = `evhttpd_requests_total{class="5xx"}`
	sending    = `evhttpd_connections{state="sending"}`
	bodies     = `evhttpd_connections{state="body"}`
	jobs       = "evhttpd_jobs_submitted_total"
	accepted   = "evhttpd_connections_accepted_total"
)

var none = fixed("")

// kinds is all of them. The order is part of their addresses, and nothing else.
var kinds = []kind{
	// Those that hold connections.
	{name: "slowloris", does: "heads that never end, a field every 200 ms",
		sign: heads, holds: true, at: 80, every: 100 * ms, round: func(a *attacker) {
			a.dripping("GET /small HTTP/1.1\r\nHost: a\r\n", "X: y\r\n")
		}},
	{name: "slow post", does: "bodies that come a byte every 200 ms",
		sign: bodies, holds: true, at: 40, every: 100 * ms, round: func(a *attacker) {
			a.dripping("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", "x")
		}},
	{name: "slow read", does: "large files, read a byte every 200 ms through a window of 4 KiB",
		sign: sending, holds: true, at: 40, every: 100 * ms, round: slowRead("/huge")},
	{name: "slow read of listings", does: "large listings, read a byte every 200 ms through a window of 4 KiB",
		sign: sending, holds: true, at: 20, every: 100 * ms, round: slowRead("/big/?format=json")},
	{name: "pipelining unread", does: "requests as fast as they go, no answer read",
		sign: sending, holds: true, at: 100, every: 100 * ms, round: pipelineUnread},
	{name: "connect and idle", does: "connections that say nothing",
		sign: silent, holds: true, at: 100, every: 50 * ms, round: func(a *attacker) {
			if w := a.dial(); w != nil {
				defer w.end()
				w.hold()
			}
		}},
	{name: "big half heads", does: "heads of 31 KB that never end",
		sign: "evhttpd_buffers_bytes", holds: true, at: 250, every: 100 * ms, round: func(a *attacker) {
			if w := a.dial(); w != nil {
				defer w.end()
				w.say("GET /small HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 31_000))
				w.hold()
			}
		}},
	{name: "half closed", does: "FIN behind nothing, half a head, half a body and a whole request, which is answered",
		sign: answers2xx, at: 2, every: 20 * ms, enough: some, round: halfClosed},
	{name: "reset in each phase", does: "RST before, within and behind heads, bodies and answers",
		sign: accepted, at: 2, every: 20 * ms, round: resets},
	{name: "connections to the limit", does: "idle connections, more than limits.connections",
		sign: "evhttpd_connections_evicted_total", at: churners, every: 20 * ms, round: churn},

	// Those of the wire.
	{name: "one byte a segment", does: "requests cut into segments of a byte",
		sign: heads, at: 10, every: 10 * ms, enough: some, round: oneByte},
	{name: "urgent bytes", does: "MSG_OOB in front of, within and behind requests",
		sign: accepted, at: 2, every: 40 * ms, round: urgent},
	{name: "no HTTP", does: "HTTP/0.9, TLS hellos, HTTP/2 prefaces, random bytes",
		sign: answers4xx, at: 2, every: 40 * ms, enough: some, round: sent(garbage, 400, 414, 501, 505)},
	{name: "PROXY from strangers", does: "PROXY headers of both versions from peers who may not name others",
		sign: answers4xx, at: 2, every: 40 * ms, enough: some, round: sent(proxyHeader, 400, 501)},
	{name: "PROXY garbage", does: "PROXY headers that never end, are too long or are none, from trusted proxies",
		sign: accepted, at: 20, every: 50 * ms, round: proxyGarbage},

	// Framing.
	{name: "chunk extensions", does: "chunks of a byte with extensions of 1 KB, without end",
		sign: answers4xx, at: 1, every: 50 * ms,
		enough: some, round: endless("", "1;a=\""+strings.Repeat("x", 1000)+"\"\r\nx\r\n", 400, 405, 413, 431)},
	{name: "trailers", does: "trailers without end",
		sign: answers4xx, at: 1, every: 50 * ms, enough: some, round: endless("0\r\n", "X: y\r\n", 405, 413, 431)},
	{name: "endless chunked body", does: "chunks of 4 KiB without end",
		sign: answers4xx, at: 1, every: 50 * ms,
		enough: some, round: endless("", "1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 405, 413)},
	{name: "tiny chunks", does: "chunks of a byte without end",
		sign: answers4xx, at: 1, every: 50 * ms, enough: some, round: endless("", "1\r\nx\r\n", 405, 413)},
	{name: "request smuggling", does: "two lengths, length and coding, bad chunks, with a request behind them",
		sign: answers4xx, at: 2, every: 40 * ms, enough: some, round: smuggle},
	{name: "Expect", does: "Expect without the body, and Expects that are none",
		sign: answers4xx, at: 2, every: 40 * ms, enough: some, round: sent(expectation, 200, 405, 417)},

	// Requests that cost.
	{name: "ranges that overlap", does: "256 ranges of the whole file",
		sign: answers2xx, at: 1, every: 100 * ms,
		enough: some, round: asked(fixed("/large"), fixed("Range: bytes="+strings.Repeat("0-,", 255)+"0-\r\n"), 200,
			206)},
	{name: "many ranges", does: "some 160 ranges of a byte each",
		sign: answers2xx, at: 1, every: 100 * ms,
		enough: some, round: asked(fixed("/huge"), field("Range: bytes=", list("%[1]d000-%[1]d000", 2500)), 206)},
	{name: "many fields", does: "heads of 2,000 fields",
		sign: answers4xx, at: 2, every: 40 * ms,
		enough: some, round: sent(fixed(get("/", strings.Repeat("X: y\r\n", 2000))), 431)},
	{name: "many hosts", does: "another Host with each request",
		sign: answers2xx, at: 2, every: 40 * ms, enough: some, round: func(a *attacker) {
			a.ask(5, named("http://%x.example/small"), none, 200)
		}},
	{name: "many queries", does: "another query with each request",
		sign: answers2xx, at: 2, every: 40 * ms, enough: some, round: asked(named("/small?%x"), none, 200)},
	{name: "names that are not there", does: "another 404 with each request",
		sign: answers4xx, at: 2, every: 40 * ms, enough: some, round: asked(named("/missing/%x"), none, 404)},
	{name: "lists of entity tags", does: "If-None-Match and If-Match of 30 KB",
		sign: answers2xx, at: 1, every: 100 * ms,
		enough: some, round: asked(fixed("/small"), func() string {
			return field(pick("If-None-Match: ", "If-Match: "), list(`W/"%d"`, 30_000))()
		}, 200, 412)},
	{name: "lists of codings", does: "Accept-Encoding of 30 KB",
		sign: answers2xx, at: 1, every: 100 * ms,
		enough: some, round: asked(fixed("/text/0"), field("Accept-Encoding: ", list("x%d;q=0.5", 30_000)), 200)},
	{name: "lists of media types", does: "Accept of 30 KB, of a listing",
		sign: answers2xx, at: 1, every: 50 * ms,
		enough: some, round: asked(fixed("/deep/"), field("Accept: ", list("text/x%d;q=0.5", 30_000)), 200)},
	{name: "listings", does: "a directory of 2,000 names, in each format and order",
		sign: answers2xx, at: 2, every: 100 * ms, enough: some, round: asked(func() string {
			return fmt.Sprintf("/big/?sort=%s&format=%s&order=%s&%d", pick("name", "size", "time"),
				pick("html", "json", "text"), pick("asc", "desc"), rand.Uint32())
		}, none, 200)},
	{name: "compression", does: "100 texts of 200 KB, in two codings",
		sign: answers2xx, at: 2, every: 100 * ms, enough: some, round: asked(func() string {
			return fmt.Sprintf("/text/%d", rand.IntN(texts))
		}, func() string { return "Accept-Encoding: " + pick("zstd", "gzip") + "\r\n" }, 200)},
	{name: "more files than the cache", does: "1,300 files of 60 KB in turn, 76 MiB",
		sign: `evhttpd_cache_lookups_total{result="miss"}`, at: 2, every: 10 * ms,
		enough: some, round: asked(func() string { return fmt.Sprintf("/cached/%d", rand.IntN(cached)) }, none, 200)},
	{name: "passwords", does: "another wrong password with each request (bcrypt, cost 10)",
		sign: answers4xx, at: 4, every: 50 * ms, enough: some, round: asked(fixed("/private/secret"), password, 401)},
	{name: "X-Forwarded-For from strangers", does: "another address with each request, to evade the rate",
		sign: answers4xx, at: 1, every: 500 * ms, round: forgeForwarded, enough: limited},
	{name: "X-Forwarded-For from a proxy", does: "other addresses with each request, named by a trusted proxy",
		sign: answers2xx, at: 2, every: 40 * ms, enough: some, round: forwarded},
	{name: "methods", does: "CONNECT, TRACE, PUT, unknown and long methods",
		sign: answers4xx, at: 2, every: 40 * ms, enough: some, round: sent(method, 405, 501, 400, 414)},
	{name: "deep paths", does: "targets of 8 KB: escaped, dot segments, slashes",
		sign: answers4xx, at: 2, every: 40 * ms, enough: some, round: sent(deepPath, 200, 400, 404, 414)},
	{name: "symbolic links", does: "chains of up to 60 links, paths of 30 that lead to themselves",
		sign: answers2xx, at: 2, every: 40 * ms, enough: some, round: asked(links, none, 200, 404)},
	{name: "pipelining", does: "64 requests at once, again and again on one connection",
		sign: answers2xx, at: 2, every: 300 * ms, enough: some, round: pipeline},
	{name: "control plane", does: "silent connections, half heads, scrapes and garbage at the admin listener",
		sign: "", at: 80, every: 300 * ms, round: control},
}

func pick(from ...string) string { return from[rand.IntN(len(from))] }
