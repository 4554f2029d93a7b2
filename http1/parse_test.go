package http1

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// outcome is what a call of Parse came to, in a form that can be compared.
type outcome struct {
	result Result
	err    Error
	req    Request
}

// oldHead leaves something in every part of a Request.
var oldHead = []byte("OPTIONS http://old/p?q HTTP/1.1\r\nHost: old\r\nRange: x\r\nContent-Length: 7\r\n" +
	"Connection: close\r\nExpect: x\r\n\r\n")

// parseFrom parses buf into a Request that holds an older request's remains.
func parseFrom(buf []byte, seen int, lim *Limits) outcome {
	var req Request
	Parse(oldHead, 0, &testLimits, &req)
	o := outcome{result: Parse(buf, seen, lim, &req)}
	switch o.result {
	case Complete:
		o.req = req
	case Invalid:
		o.err = req.Err
	}
	return o
}

// same spares the fuzzer most of reflect's work.
func (o outcome) same(other outcome) bool {
	return o.result == other.result && o.err == other.err && (o.result != Complete ||
		reflect.DeepEqual(o.req, other.req))
}

// checkSplits fails if the outcome depends on how buf arrives: in two parts
// for every place to part it, and byte by byte. It returns the outcome.
func checkSplits(t *testing.T, buf []byte, lim *Limits) outcome {
	t.Helper()
	whole := parseFrom(buf, 0, lim)
	for k := 0; k <= len(buf); k++ {
		got := parseFrom(buf[:k:k], 0, lim)
		if got.result == Partial {
			got = parseFrom(buf, k, lim)
		}
		if !got.same(whole) {
			t.Fatalf("%q split at %d: %+v, whole: %+v", buf, k, got, whole)
		}
	}
	trickled := outcome{}
	for k := 0; k <= len(buf) && trickled.result == Partial; k++ {
		trickled = parseFrom(buf[:k:k], max(k-1, 0), lim)
	}
	if !trickled.same(whole) {
		t.Fatalf("%q byte by byte: %+v, whole: %+v", buf, trickled, whole)
	}
	return whole
}

// describe is a request in one line.
func describe(req *Request, buf []byte) string {
	form := [...]string{"origin", "absolute", "authority", "asterisk"}[req.Form]
	s := fmt.Sprintf("%s %s %q", req.Name.In(buf), form, req.Path.In(buf))
	if req.HasQuery {
		s += fmt.Sprintf(" ? %q", req.Query.In(buf))
	}
	s += fmt.Sprintf(" 1.%d host %q fields %d", req.Minor, req.Host.In(buf), len(req.Fields))
	switch req.Framing {
	case LengthBody:
		s += fmt.Sprintf(" length %d", req.Length)
	case ChunkedBody:
		s += " chunked"
	}
	if req.Close {
		s += " close"
	}
	return s + [...]string{"", " 100-continue", " unknown expectation"}[req.Expect]
}

var acceptedHeads = []struct{ name, head, want string }{
	{
		"RFC 9112 3.2.1 origin form",
		"GET /a/b?c=d HTTP/1.1\r\nHost: h\r\n\r\n",
		`GET origin "/a/b" ? "c=d" 1.1 host "h" fields 1`,
	},
	{"RFC 9112 3.2.1 empty query", "GET /? HTTP/1.1\r\nHost: h\r\n\r\n", `GET origin "/" ? "" 1.1 host "h" fields 1`},
	{
		"RFC 9112 3.2.1 question mark in a query",
		"GET /?a?b HTTP/1.1\r\nHost: h\r\n\r\n",
		`GET origin "/" ? "a?b" 1.1 host "h" fields 1`,
	},
	{
		"RFC 9112 3.2.1 two slashes are a path",
		"GET //evil/ HTTP/1.1\r\nHost: h\r\n\r\n",
		`GET origin "//evil/" 1.1 host "h" fields 1`,
	},
	{
		"RFC 3986 raw bytes that curl sends",
		"GET /a|b^[1]{}<>\"\\`\x80\xff HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET origin \"/a|b^[1]{}<>\\\"\\\\`\\x80\\xff\" 1.1 host \"h\" fields 1",
	},
	{
		"RFC 9112 3.2.2 absolute form",
		"GET http://t:80/p?q HTTP/1.1\r\nHost: h\r\n\r\n",
		`GET absolute "/p" ? "q" 1.1 host "t:80" fields 1`,
	},
	{
		"RFC 9112 3.2.2 host behind the fields",
		"GET HTTPS://t HTTP/1.1\r\nAccept: a\r\nHost: h\r\n\r\n",
		`GET absolute "" 1.1 host "t" fields 2`,
	},
	{
		"RFC 9112 3.2.2 query without a path",
		"GET http://t?q/r@s HTTP/1.1\r\nHost: h\r\n\r\n",
		`GET absolute "" ? "q/r@s" 1.1 host "t" fields 1`,
	},
	{
		"RFC 9112 3.2.2 absolute form in 1.0",
		"GET http://[::1]:8080/ HTTP/1.0\r\n\r\n",
		`GET absolute "/" 1.0 host "[::1]:8080" fields 0 close`,
	},
	{
		"RFC 9112 3.2.3 authority form",
		"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
		`CONNECT authority "" 1.1 host "h:443" fields 1`,
	},
	{"RFC 9112 3.2.4 asterisk form", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		`OPTIONS asterisk "" 1.1 host "h" fields 1`},
	{
		"RFC 9110 9.1 registered method",
		"PROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n",
		`PROPFIND origin "/" 1.1 host "h" fields 1`,
	},
	{"RFC 10008 QUERY", "QUERY / HTTP/1.1\r\nHost: h\r\n\r\n", `QUERY origin "/" 1.1 host "h" fields 1`},
	{"RFC 9110 9.3.8 TRACE", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", `TRACE origin "/" 1.1 host "h" fields 1`},
	{"RFC 9110 6.2 higher minor version", "GET / HTTP/1.9\r\nHost: h\r\n\r\n", `GET origin "/" 1.1 host "h" fields 1`},
	{
		"RFC 9112 2.2 one empty line before",
		"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 1`,
	},
	{
		"RFC 9112 5.1 white space around a value",
		"GET / HTTP/1.1\r\nHost: \t h \t\r\nA:\r\nB: \t \r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 3`,
	},
	{
		"RFC 9110 5.5 tab and obs-text in a value",
		"GET / HTTP/1.1\r\nHost: h\r\nA: a\tb\x80\xffcdefghijklmnop\t\x80q\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 2`,
	},
	{
		"RFC 9110 5.1 all of a token",
		"GET / HTTP/1.1\r\nHost: h\r\n!#$%&'*+-.^_`|~09azAZ: v\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 2`,
	},
	{"RFC 9112 3.2 empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", `GET origin "/" 1.1 host "" fields 1`},
	{"RFC 9112 3.2 no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", `GET origin "/" 1.0 host "" fields 0 close`},
	{
		"RFC 9110 5.1 names in any case",
		"GET / HTTP/1.1\r\nhOsT: h\r\ncOnNeCtIoN: ClOsE\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 2 close`,
	},
	{
		"RFC 9112 9.3 close in a list",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive,, x , close\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 2 close`,
	},
	{
		"RFC 9112 9.3 close on a second line",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: te\r\nConnection: close\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 3 close`,
	},
	{
		"RFC 9112 9.3 closer is not close",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: closer, xclose\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 2`,
	},
	{
		"RFC 9112 9.3 keep-alive in 1.0",
		"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
		`GET origin "/" 1.0 host "" fields 1`,
	},
	{
		"RFC 9112 9.3 close wins in 1.0",
		"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		`GET origin "/" 1.0 host "" fields 1 close`,
	},
	{
		"RFC 9112 6.2 Content-Length",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0042\r\n\r\n",
		`POST origin "/" 1.1 host "h" fields 2 length 42`,
	},
	{
		"RFC 9112 6.2 largest Content-Length",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n",
		`POST origin "/" 1.1 host "h" fields 2 length 9223372036854775807`,
	},
	{
		"RFC 9112 6.2 Content-Length 0",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 2 length 0`,
	},
	{
		"RFC 9112 6.2 Content-Length in 1.0",
		"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n",
		`POST origin "/" 1.0 host "" fields 1 length 3 close`,
	},
	{
		"RFC 9112 6.1 chunked",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n",
		`POST origin "/" 1.1 host "h" fields 2 chunked`,
	},
	{
		"RFC 9110 10.1.1 100-continue",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n",
		`PUT origin "/" 1.1 host "h" fields 3 length 3 100-continue`,
	},
	{
		"RFC 9110 10.1.1 100-continue, then a body",
		"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
		`PUT origin "/" 1.1 host "h" fields 3 chunked 100-continue`,
	},
	{
		"RFC 9110 10.1.1 100-continue without a body",
		"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 2`,
	},
	{
		"RFC 9110 10.1.1 100-continue in 1.0",
		"PUT / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
		`PUT origin "/" 1.0 host "" fields 2 length 3 close`,
	},
	{
		"RFC 9110 10.1.1 unknown expectation",
		"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, 200-ok\r\n\r\n",
		`PUT origin "/" 1.1 host "h" fields 2 unknown expectation`,
	},
	{
		"RFC 9110 10.1.1 unknown expectation on a second line",
		"PUT / HTTP/1.1\r\nHost: h\r\nExpect: x=\"y\"\r\nExpect: 100-continue\r\n\r\n",
		`PUT origin "/" 1.1 host "h" fields 3 unknown expectation`,
	},
	{
		"RFC 9110 14.2 two Range fields",
		get("Range: bytes=0-1", "Range: bytes=0-1"),
		`GET origin "/" 1.1 host "h" fields 3`,
	},
	{
		"RFC 9110 13.1.3 two If-Modified-Since fields",
		get("If-Modified-Since: a", "If-Modified-Since: b"),
		`GET origin "/" 1.1 host "h" fields 3`,
	},
	{
		"RFC 9110 5.3 a list on two lines",
		"GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n\r\n",
		`GET origin "/" 1.1 host "h" fields 3`,
	},
}

func TestParseAccepts(t *testing.T) {
	const next = "GET /next HTTP/1.1\r\nHost: next\r\n\r\n"
	for _, c := range acceptedHeads {
		t.Run(c.name, func(t *testing.T) {
			for _, behind := range []string{"", next, "\x00\x16garbage\n", "\r\n", "\n"} {
				buf := []byte(c.head + behind)
				got := checkSplits(t, buf, &testLimits)
				if got.result != Complete {
					t.Fatalf("result %d, error %v", got.result, got.err.Error())
				}
				if s := describe(&got.req, buf); s != c.want {
					t.Errorf("got  %s\nwant %s", s, c.want)
				}
				if got.req.HeadLen != len(c.head) {
					t.Errorf("HeadLen %d, want %d", got.req.HeadLen, len(c.head))
				}
			}
		})
	}
}

// get is a head with these lines behind a good request line and Host.
func get(lines ...string) string {
	return "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// The good part of get is 25 bytes.
var refusedHeads = []struct{ name, head, want string }{
	{
		"RFC 9112 2.2 LF ends the request line",
		"GET / HTTP/1.1\nHost: h\n\n",
		"400: LF without CR at byte 14 (RFC 9112 section 2.2; with nc use -C)",
	},
	{
		"RFC 9112 2.2 LF ends a field",
		"GET / HTTP/1.1\r\nHost: h\n\r\n",
		"400: LF without CR at byte 23 (RFC 9112 section 2.2; with nc use -C)",
	},
	{
		"RFC 9112 2.2 LF ends the head",
		get("A: b")[:31] + "\n",
		"400: LF without CR at byte 31 (RFC 9112 section 2.2; with nc use -C)",
	},
	{
		"RFC 9112 2.2 LF before the request",
		"\nGET / HTTP/1.1\r\n",
		"400: LF without CR at byte 0 (RFC 9112 section 2.2; with nc use -C)",
	},
	{"RFC 9112 2.2 CR before the request", "\rGET / HTTP/1.1\r\n",
		"400: CR without LF at byte 0 (RFC 9112 section 2.2)"},
	{
		"RFC 9112 2.2 two empty lines before",
		"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"400: more than one empty line before a request at byte 2 (RFC 9112 section 2.2)",
	},
	{
		"RFC 9112 2.2 empty line and LF before",
		"\r\n\nGET / HTTP/1.1\r\n\r\n",
		"400: more than one empty line before a request at byte 2 (RFC 9112 section 2.2)",
	},
	{"RFC 9112 2.2 CR in a method", "GE\rT / HTTP/1.1\r\n\r\n", "400: CR without LF at byte 2 (RFC 9112 section 2.2)"},
	{"RFC 9112 2.2 CR in a target", "GET /\r HTTP/1.1\r\n\r\n", "400: CR without LF at byte 5 (RFC 9112 section 2.2)"},
	{"RFC 9112 2.2 CR in a query", "GET /?\r HTTP/1.1\r\n\r\n", "400: CR without LF at byte 6 (RFC 9112 section 2.2)"},
	{"RFC 9112 2.2 CR in a field name", get("A\rB: c"), "400: CR without LF at byte 26 (RFC 9112 section 2.2)"},
	{"RFC 9112 2.2 CR in a field value", get("A: b\rc"), "400: CR without LF at byte 29 (RFC 9112 section 2.2)"},
	{"RFC 9112 2.2 CR CR LF", get("A: b\r"), "400: CR without LF at byte 29 (RFC 9112 section 2.2)"},
	{
		"RFC 9112 2.2 CR CR LF behind the request line",
		"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
		"400: bad HTTP version at byte 6 (RFC 9112 section 2.3; HTTP/1.1 or HTTP/1.0)",
	},
	{
		"RFC 9112 2.2 white space before the first field",
		"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
		"400: white space before the first field at byte 16 (RFC 9112 section 2.2)",
	},

	{
		"RFC 9112 3 first byte",
		"@GET / HTTP/1.1\r\n\r\n",
		"400: not the first byte of a request at byte 0 (RFC 9112 section 3)",
	},
	{
		"RFC 9112 3 space first",
		" GET / HTTP/1.1\r\n\r\n",
		"400: not the first byte of a request at byte 0 (RFC 9112 section 3)",
	},
	{
		"RFC 8446 5.1 TLS handshake",
		"\x16\x03\x01\x02\x00\x01",
		"400: a TLS handshake, not a request at byte 0 (RFC 9112 section 3; use http:// here, not https://)",
	},
	{"RFC 9112 3 no target", "GET\r\n", "400: request line without a target at byte 3 (RFC 9112 section 3)"},
	{
		"RFC 9112 3 no target behind a space",
		"GET \r\n",
		"400: request line without a target at byte 4 (RFC 9112 section 3)",
	},
	{
		"RFC 9112 3 HTTP/0.9",
		"GET /\r\n",
		"400: request line without a version at byte 5 (RFC 9112 section 3; HTTP/0.9 is not served)",
	},
	{
		"RFC 9112 3 two spaces before the target",
		"GET  / HTTP/1.1\r\n\r\n",
		"400: not exactly one space between the parts of the request line at byte 4 (RFC 9112 section 3; a space in " +
			"a path is written %20)",
	},
	{
		"RFC 9112 3 two spaces before the version",
		"GET /  HTTP/1.1\r\n\r\n",
		"400: not exactly one space between the parts of the request line at byte 6 (RFC 9112 section 3; a space in " +
			"a path is written %20)",
	},
	{
		"RFC 9112 3 space behind the version",
		"GET / HTTP/1.1 \r\n\r\n",
		"400: not exactly one space between the parts of the request line at byte 14 (RFC 9112 section 3; a space in " +
			"a path is written %20)",
	},
	{
		"RFC 9112 3 space in the target",
		"GET /a b HTTP/1.1\r\n\r\n",
		"400: not exactly one space between the parts of the request line at byte 8 (RFC 9112 section 3; a space in " +
			"a path is written %20)",
	},
	{
		"RFC 9112 3 tab before the version",
		"GET /\tHTTP/1.1\r\n\r\n",
		"400: not exactly one space between the parts of the request line at byte 5 (RFC 9112 section 3; a space in " +
			"a path is written %20)",
	},
	{
		"RFC 9112 3 tab before the target",
		"GET\t/ HTTP/1.1\r\n\r\n",
		"400: bad byte in the method at byte 3 (RFC 9110 section 5.6.2)",
	},
	{
		"RFC 9110 5.6.2 method is no token",
		"G{T / HTTP/1.1\r\n\r\n",
		"400: bad byte in the method at byte 1 (RFC 9110 section 5.6.2)",
	},
	{
		"RFC 9112 2.3 version in lower case",
		"GET / http/1.1\r\n\r\n",
		"400: bad HTTP version at byte 6 (RFC 9112 section 2.3; HTTP/1.1 or HTTP/1.0)",
	},
	{
		"RFC 9112 2.3 two digits",
		"GET / HTTP/1.10\r\n\r\n",
		"400: bad HTTP version at byte 6 (RFC 9112 section 2.3; HTTP/1.1 or HTTP/1.0)",
	},
	{
		"RFC 9112 2.3 no minor version",
		"GET / HTTP/2\r\n\r\n",
		"400: bad HTTP version at byte 6 (RFC 9112 section 2.3; HTTP/1.1 or HTTP/1.0)",
	},
	{
		"RFC 9112 2.3 not HTTP",
		"GET / ICAP/1.0\r\n\r\n",
		"400: bad HTTP version at byte 6 (RFC 9112 section 2.3; HTTP/1.1 or HTTP/1.0)",
	},
	{
		"RFC 9110 15.6.6 HTTP/2.0",
		"GET / HTTP/2.0\r\n\r\n",
		"505: HTTP version not served at byte 6 (RFC 9110 section 15.6.6; HTTP/1.1 or HTTP/1.0)",
	},
	{
		"RFC 9110 15.6.6 HTTP/0.9 named",
		"GET / HTTP/0.9\r\n\r\n",
		"505: HTTP version not served at byte 6 (RFC 9110 section 15.6.6; HTTP/1.1 or HTTP/1.0)",
	},
	{
		"RFC 9113 3.4 preface",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"505: HTTP version not served: the preface of HTTP/2 at byte 0 (RFC 9113 section 3.4; HTTP/1.1 is served " +
			"here; with curl no --http2-prior-knowledge)",
	},
	{
		"RFC 9113 3.4 PRI of HTTP/1.1",
		"PRI * HTTP/1.1\r\nHost: h\r\n\r\n",
		"501: unknown method at byte 0 (RFC 9110 section 9.1)",
	},
	{
		"RFC 9110 9.1 unknown method",
		"FROB / HTTP/1.1\r\nHost: h\r\n\r\n",
		"501: unknown method at byte 0 (RFC 9110 section 9.1)",
	},
	{
		"RFC 9110 9.1 methods are case-sensitive",
		"\r\nget / HTTP/1.1\r\nHost: h\r\n\r\n",
		"501: unknown method at byte 2 (RFC 9110 section 9.1)",
	},

	{
		"RFC 9112 3.2 fragment",
		"GET /a#b HTTP/1.1\r\n\r\n",
		"400: fragment in the request target at byte 6 (RFC 9112 section 3.2; a # in a path is written %23)",
	},
	{
		"RFC 9112 3.2 fragment behind a query",
		"GET /?a#b HTTP/1.1\r\n\r\n",
		"400: fragment in the request target at byte 7 (RFC 9112 section 3.2; a # in a path is written %23)",
	},
	{
		"RFC 9112 3.2 NUL in the target",
		"GET /\x00 HTTP/1.1\r\n\r\n",
		"400: control character in the request target at byte 5 (RFC 9112 section 3.2; percent-encode it)",
	},
	{
		"RFC 9112 3.2 DEL in the query",
		"GET /?\x7f HTTP/1.1\r\n\r\n",
		"400: control character in the request target at byte 6 (RFC 9112 section 3.2; percent-encode it)",
	},
	{
		"RFC 9112 3.2 relative target",
		"GET a/b HTTP/1.1\r\n\r\n",
		"400: the request target is neither a path nor an http URL at byte 4 (RFC 9112 section 3.2)",
	},
	{
		"RFC 9112 3.2 query alone",
		"GET ?a HTTP/1.1\r\n\r\n",
		"400: the request target is neither a path nor an http URL at byte 4 (RFC 9112 section 3.2)",
	},
	{
		"RFC 9112 3.2.2 other scheme",
		"GET ftp://h/ HTTP/1.1\r\n\r\n",
		"400: the request target is neither a path nor an http URL at byte 4 (RFC 9112 section 3.2)",
	},
	{
		"RFC 9112 3.2.2 one slash",
		"GET http:/h/ HTTP/1.1\r\n\r\n",
		"400: the request target is neither a path nor an http URL at byte 4 (RFC 9112 section 3.2)",
	},
	{
		"RFC 9112 3.2.4 asterisk with GET",
		"GET * HTTP/1.1\r\n\r\n",
		"400: the target * without OPTIONS at byte 4 (RFC 9112 section 3.2.4)",
	},
	{
		"RFC 9112 3.2.4 more than an asterisk",
		"OPTIONS *? HTTP/1.1\r\n\r\n",
		"400: the request target is neither a path nor an http URL at byte 8 (RFC 9112 section 3.2)",
	},
	{
		"RFC 9112 3.2.3 CONNECT with a path",
		"CONNECT / HTTP/1.1\r\n\r\n",
		"400: the target of CONNECT is not host:port at byte 8 (RFC 9112 section 3.2.3)",
	},
	{
		"RFC 9110 9.3.6 CONNECT without a port",
		"CONNECT h HTTP/1.1\r\n\r\n",
		"400: the target of CONNECT is not host:port at byte 8 (RFC 9112 section 3.2.3)",
	},
	{
		"RFC 9110 9.3.6 CONNECT with an empty port",
		"CONNECT h: HTTP/1.1\r\n\r\n",
		"400: the target of CONNECT is not host:port at byte 8 (RFC 9112 section 3.2.3)",
	},
	{
		"RFC 9110 9.3.6 CONNECT without a host",
		"CONNECT :443 HTTP/1.1\r\n\r\n",
		"400: the target of CONNECT is not host:port at byte 8 (RFC 9112 section 3.2.3)",
	},
	{
		"RFC 9110 9.3.6 CONNECT to an address without a port",
		"CONNECT [::1] HTTP/1.1\r\n\r\n",
		"400: the target of CONNECT is not host:port at byte 8 (RFC 9112 section 3.2.3)",
	},
	{
		"RFC 9112 3.2.3 CONNECT with a query",
		"CONNECT h:1?q HTTP/1.1\r\n\r\n",
		"400: the target of CONNECT is not host:port at byte 11 (RFC 9112 section 3.2.3)",
	},
	{
		"RFC 9110 4.2.4 user information",
		"GET http://u:p@h/ HTTP/1.1\r\n\r\n",
		"400: user information in the request target at byte 14 (RFC 9110 section 4.2.4)",
	},
	{
		"RFC 9110 4.2.1 empty host",
		"GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n",
		"400: empty host in the request target at byte 11 (RFC 9110 section 4.2.1)",
	},
	{
		"RFC 9110 4.2.1 port alone",
		"GET http://:80/a HTTP/1.1\r\nHost: h\r\n\r\n",
		"400: empty host in the request target at byte 11 (RFC 9110 section 4.2.1)",
	},
	{
		"RFC 3986 3.2.2 bad host in the target",
		"GET http://a|b/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"400: bad host in the request target at byte 12 (RFC 3986 section 3.2.2)",
	},

	{"RFC 9112 5.2 folded line", get("A: b", " c"), "400: folded field line at byte 31 (RFC 9112 section 5.2)"},
	{"RFC 9112 5.2 line of a tab", get("A: b", "\t"), "400: folded field line at byte 31 (RFC 9112 section 5.2)"},
	{
		"RFC 9112 5.1 space before the colon",
		get("A : b"),
		"400: white space before the colon at byte 26 (RFC 9112 section 5.1)",
	},
	{
		"RFC 9112 5.1 tab before the colon",
		get("Content-Length\t: 5"),
		"400: white space before the colon at byte 39 (RFC 9112 section 5.1)",
	},
	{"RFC 9110 5.1 empty name", get(": b"), "400: empty field name at byte 25 (RFC 9110 section 5.1)"},
	{"RFC 9110 5.1 bad name", get("A(B: c"), "400: bad byte in a field name at byte 26 (RFC 9110 section 5.1)"},
	{
		"RFC 9110 5.1 NUL first in a name",
		get("\x00A: c"),
		"400: bad byte in a field name at byte 25 (RFC 9110 section 5.1)",
	},
	{
		"RFC 9110 5.1 byte over 7F in a name",
		get("A\x80: c"),
		"400: bad byte in a field name at byte 26 (RFC 9110 section 5.1)",
	},
	{"RFC 9112 5 no colon", get("ABC"), "400: field line without a colon at byte 28 (RFC 9112 section 5)"},
	{
		"RFC 9110 5.5 NUL in a value",
		get("A: b\x00c"),
		"400: control character in a field value at byte 29 (RFC 9110 section 5.5)",
	},
	{
		"RFC 9110 5.5 DEL in a value",
		get("A: bcdefghijklmn\x7fop"),
		"400: control character in a field value at byte 41 (RFC 9110 section 5.5)",
	},
	{
		"RFC 9110 5.5 vertical tab in a value",
		get("A: \vbcdefghijklmnop"),
		"400: control character in a field value at byte 28 (RFC 9110 section 5.5)",
	},
	{
		"RFC 9110 5.3 two Authorization fields",
		get("Authorization: a", "authorization: b"),
		"400: a field twice that may stand once at byte 43 (RFC 9110 section 5.3)",
	},

	{
		"RFC 9112 3.2 no Host in 1.1",
		"GET / HTTP/1.1\r\nA: b\r\n\r\n",
		"400: no Host field at byte 22 (RFC 9112 section 3.2)",
	},
	{
		"RFC 9112 3.2 no Host with an absolute target",
		"GET http://h/ HTTP/1.1\r\n\r\n",
		"400: no Host field at byte 24 (RFC 9112 section 3.2)",
	},
	{"RFC 9112 3.2 two Host fields", get("Host: h"), "400: second Host field at byte 25 (RFC 9112 section 3.2)"},
	{
		"RFC 9112 3.2 two Host fields in 1.0",
		"GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n",
		"400: second Host field at byte 25 (RFC 9112 section 3.2)",
	},
	{
		"RFC 9112 3.2 bad Host with an absolute target",
		"GET http://h/ HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"400: bad host in the Host field at byte 31 (RFC 3986 section 3.2.2)",
	},
	{
		"RFC 3986 3.2.1 user information in Host",
		"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
		"400: bad host in the Host field at byte 23 (RFC 3986 section 3.2.2)",
	},

	{
		"RFC 9110 8.6 empty Content-Length",
		get("Content-Length:"),
		"400: Content-Length is not a number at byte 40 (RFC 9110 section 8.6)",
	},
	{
		"RFC 9110 8.6 sign",
		get("Content-Length: +5"),
		"400: Content-Length is not a number at byte 41 (RFC 9110 section 8.6)",
	},
	{
		"RFC 9110 8.6 list of equal lengths",
		get("Content-Length: 5, 5"),
		"400: Content-Length is not a number at byte 42 (RFC 9110 section 8.6)",
	},
	{
		"RFC 9110 8.6 hexadecimal",
		get("Content-Length: 0x5"),
		"400: Content-Length is not a number at byte 42 (RFC 9110 section 8.6)",
	},
	{
		"RFC 9110 8.6 overflow",
		get("Content-Length: 9223372036854775808"),
		"400: Content-Length overflows at byte 41 (RFC 9110 section 8.6)",
	},
	{
		"RFC 9112 6.3 two equal Content-Length",
		get("Content-Length: 5", "Content-Length: 5"),
		"400: second Content-Length at byte 44 (RFC 9112 section 6.3)",
	},
	{
		"RFC 9112 6.3 both, length first",
		get("Content-Length: 5", "Transfer-Encoding: chunked"),
		"400: Content-Length with Transfer-Encoding at byte 25 (RFC 9112 section 6.3)",
	},
	{
		"RFC 9112 6.3 both, coding first",
		get("Transfer-Encoding: chunked", "Content-Length: 5"),
		"400: Content-Length with Transfer-Encoding at byte 53 (RFC 9112 section 6.3)",
	},
	{
		"RFC 9112 6.1 coding in 1.0",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"400: Transfer-Encoding in HTTP/1.0 at byte 17 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 6.1 empty Transfer-Encoding",
		get("Transfer-Encoding:"),
		"400: bad Transfer-Encoding at byte 43 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 6.1 empty element",
		get("Transfer-Encoding: chunked,"),
		"400: bad Transfer-Encoding at byte 52 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 6.1 coding is no token",
		get("Transfer-Encoding: \"chunked\""),
		"400: bad Transfer-Encoding at byte 44 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 7.1 parameter of chunked",
		get("Transfer-Encoding: chunked;a=b"),
		"400: bad Transfer-Encoding at byte 44 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 6.1 chunked and more in one element",
		get("Transfer-Encoding: chunked gzip"),
		"400: bad Transfer-Encoding at byte 44 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 6.1 vertical tab before chunked",
		get("Transfer-Encoding: \vchunked"),
		"400: control character in a field value at byte 44 (RFC 9110 section 5.5)",
	},
	{
		"RFC 9112 6.1 gzip",
		get("Transfer-Encoding: gzip"),
		"501: unknown transfer coding at byte 44 (RFC 9112 section 6.1; chunked alone is served)",
	},
	{
		"RFC 9112 6.1 identity",
		get("Transfer-Encoding: identity"),
		"501: unknown transfer coding at byte 44 (RFC 9112 section 6.1; chunked alone is served)",
	},
	{
		"RFC 9112 6.1 xchunked",
		get("Transfer-Encoding: xchunked"),
		"501: unknown transfer coding at byte 44 (RFC 9112 section 6.1; chunked alone is served)",
	},
	{
		"RFC 9112 6.1 gzip, chunked",
		get("Transfer-Encoding: gzip, chunked"),
		"501: unknown transfer coding at byte 44 (RFC 9112 section 6.1; chunked alone is served)",
	},
	{
		"RFC 9112 6.1 gzip, then chunked on a second line",
		get("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
		"501: unknown transfer coding at byte 44 (RFC 9112 section 6.1; chunked alone is served)",
	},
	{
		"RFC 9112 6.1 coding with a parameter",
		get("Transfer-Encoding: foo;a=b, chunked"),
		"501: unknown transfer coding at byte 44 (RFC 9112 section 6.1; chunked alone is served)",
	},
	{
		"RFC 9112 6.1 chunked twice",
		get("Transfer-Encoding: chunked, chunked"),
		"400: chunked twice at byte 52 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 6.1 chunked on two lines",
		get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"400: chunked twice at byte 72 (RFC 9112 section 6.1)",
	},
	{
		"RFC 9112 6.3 chunked not last",
		get("Transfer-Encoding: chunked, gzip"),
		"400: chunked is not the last transfer coding at byte 52 (RFC 9112 section 6.3)",
	},
	{
		"RFC 9112 6.3 chunked not last over two lines",
		get("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
		"400: chunked is not the last transfer coding at byte 72 (RFC 9112 section 6.3)",
	},
}

func TestParseRefuses(t *testing.T) {
	for _, c := range refusedHeads {
		t.Run(c.name, func(t *testing.T) {
			for _, behind := range []string{"", "x\r\n\r\n", "\n\x00"} {
				got := checkSplits(t, []byte(c.head+behind), &testLimits)
				if got.result != Invalid {
					t.Fatalf("result %d, want Invalid", got.result)
				}
				if text := got.err.Error(); text != c.want {
					t.Errorf("got  %s\nwant %s", text, c.want)
				}
			}
		})
	}
}

func TestParseSingletonsRFC9110Section5_3(t *testing.T) {
	once := map[FieldID]bool{
		FieldHost:                       true,
		FieldContentLength:              true,
		FieldTransferEncoding:           true,
		FieldAuthorization:              true,
		FieldOrigin:                     true,
		FieldAccessControlRequestMethod: true,
	}
	values := map[FieldID]string{FieldContentLength: "1", FieldTransferEncoding: "chunked"}
	for id := FieldHost; id < numFields; id++ {
		line := fieldNames[id] + ": " + values[id] + "\r\n"
		got := checkSplits(t, []byte("GET / HTTP/1.1\r\n"+line+line+"host: h\r\n\r\n"), &testLimits)
		if refused := got.result == Invalid; refused != once[id] {
			t.Errorf("%s twice: refused %v, want %v", fieldNames[id], refused, once[id])
		}
	}
}

func TestParseKnownFields(t *testing.T) {
	for id := FieldHost; id < numFields; id++ {
		for _, name := range []string{fieldNames[id], strings.ToUpper(fieldNames[id])} {
			if got := fieldIDOf([]byte(name)); got != id {
				t.Errorf("%s is %d, want %d", name, got, id)
			}
			for i := range name {
				other := []byte(name)
				other[i] = '0'
				if got := fieldIDOf(other); got != FieldOther {
					t.Errorf("%s is %d, want FieldOther", other, got)
				}
			}
		}
		if got := fieldIDOf([]byte(fieldNames[id] + "x")); got != FieldOther {
			t.Errorf("%sx is %d, want FieldOther", fieldNames[id], got)
		}
	}
}

func TestRequestGet(t *testing.T) {
	buf := []byte(
		get(
			`If-Match: "a"`,
			"Accept-Encoding:",
			"X: y",
			`if-match: "b", "c"`,
			"Accept:",
			"accept-encoding: br",
			"IF-MATCH: *",
		),
	)
	var req Request
	if Parse(buf, 0, &testLimits, &req) != Complete {
		t.Fatal(req.Err.Error())
	}
	// The lines are one list (RFC 9110 section 5.3).
	if got := req.Get(FieldIfMatch, buf); string(got) != `"a", "b", "c", *` {
		t.Errorf("If-Match is %q", got)
	}
	if got := req.Get(FieldAcceptEncoding, buf); string(got) != `, br` {
		t.Errorf("Accept-Encoding is %q", got)
	}
	if got := req.Get(FieldAccept, buf); got == nil || len(got) != 0 || !req.Has(FieldAccept) {
		t.Errorf("an empty Accept is %v, %v", got, req.Has(FieldAccept))
	}
	if got := req.Get(FieldRange, buf); got != nil || req.Has(FieldRange) {
		t.Errorf("no Range is %v, %v", got, req.Has(FieldRange))
	}
}

// The token has passed when a byte behind it is there, whatever that is.
func TestPeekMethod(t *testing.T) {
	for head, want := range map[string]Method{
		"": 0, "\r": 0, "\r\n": 0, "HEA": 0, "HEAD": 0, "\r\nHEAD": 0, "HEADS ": 0, "head ": 0, "\r\n\r\nHEAD ": 0,
		" HEAD ": 0, "FROB ": 0,
		"HEAD ": MethodHEAD, "\r\nHEAD /": MethodHEAD, "HEAD\t/": MethodHEAD, "HEAD\r\n": MethodHEAD,
		"HEAD\n": MethodHEAD,
		"GET /":  MethodGET,
	} {
		if got := PeekMethod([]byte(head)); got != want {
			t.Errorf("%q: %d, want %d", head, got, want)
		}
	}
}

func TestParseForgetsTheRequestBefore(t *testing.T) {
	for _, c := range acceptedHeads {
		fresh := Request{Fields: []Field{}}
		Parse([]byte(c.head), 0, &testLimits, &fresh)
		if used := parseFrom([]byte(c.head), 0, &testLimits).req; !reflect.DeepEqual(used, fresh) {
			t.Errorf("%s: %+v, parsed into a new Request: %+v", c.name, used, fresh)
		}
	}
}

func TestParseLooksAtALineOnlyWhenItEnds(t *testing.T) {
	// The error in front shows whether the head was parsed: it stands in the part that was seen.
	const refused = "GET \x00 HTTP/1.1\r\n"
	for behind, want := range map[string]Result{"": Partial, "Host: h\r": Partial, "Host: h\r\n": Invalid} {
		if got := parseFrom([]byte(refused+behind), len(refused), &testLimits).result; got != want {
			t.Errorf("%q behind: result %d, want %d", behind, got, want)
		}
	}
}

func TestParseMethodsRFC9110Section9_1(t *testing.T) {
	methods := map[string]Method{
		"GET":             MethodGET,
		"HEAD":            MethodHEAD,
		"OPTIONS":         MethodOPTIONS,
		"POST":            MethodPOST,
		"PUT":             MethodPUT,
		"DELETE":          MethodDELETE,
		"PATCH":           MethodPATCH,
		"TRACE":           MethodTRACE,
		"CONNECT":         MethodCONNECT,
		"MKCOL":           MethodOther,
		"VERSION-CONTROL": MethodOther,
		"Get":             0,
		"GETS":            0,
		"GE":              0,
		"*":               0,
	}
	for name, want := range methods {
		if got := methodOf([]byte(name)); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func TestParsePartial(t *testing.T) {
	head := wrkHead
	for k := range head {
		if got := parseFrom([]byte(head[:k]), 0, &testLimits); got.result != Partial {
			t.Errorf("%q: result %d, want Partial", head[:k], got.result)
		}
	}
}

func TestParseLimits(t *testing.T) {
	longLine := "GET /" + strings.Repeat("a", 85) + " HTTP/1.1\r\n" // 99 bytes and CRLF
	manyFields := "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A:b\r\n", 300) + "\r\n"
	for _, c := range []struct {
		name, head string
		lim        Limits
		want       string
	}{
		{"request line at the limit", longLine + "Host:\r\n\r\n", Limits{RequestLine: 99}, ""},
		{
			"request line over the limit", longLine + "Host:\r\n\r\n", Limits{RequestLine: 98},
			"414: request line over the limit at byte 100 (RFC 9112 section 3)",
		},
		{
			"request line over the limit behind an empty line", "\r\n" + longLine, Limits{RequestLine: 98},
			"414: request line over the limit at byte 102 (RFC 9112 section 3)",
		},
		{
			"request line without an end", "GET /" + strings.Repeat("A", 200), Limits{RequestLine: 98},
			"414: request line over the limit at byte 100 (RFC 9112 section 3)",
		},
		{
			"RFC 9112 3 method over the limit", strings.Repeat("A", 200), Limits{RequestLine: 98},
			"501: unknown method at byte 0 (RFC 9110 section 9.1)",
		},
		{
			"RFC 9112 3 method over the limit behind an empty line", "\r\n" + strings.Repeat("A", 200) +
				" / HTTP/1.1\r\n",
			Limits{RequestLine: 98}, "501: unknown method at byte 2 (RFC 9110 section 9.1)",
		},
		{
			"RFC 9112 3 method over the head's limit", strings.Repeat("A", 200), Limits{Head: 98},
			"501: unknown method at byte 0 (RFC 9110 section 9.1)",
		},
		{
			"RFC 9112 3 method of all but a byte of the limit", strings.Repeat("A", 99) + " /", Limits{RequestLine: 98},
			"414: request line over the limit at byte 100 (RFC 9112 section 3)",
		},
		{
			"request line over the limit with an error in it", longLine[:90] + "\x00" + longLine[90:],
			Limits{RequestLine: 98},
			"414: request line over the limit at byte 100 (RFC 9112 section 3)",
		},
		{
			"error before the limit", "GET \x00 HTTP/1.1\r\n" + longLine, Limits{RequestLine: 98},
			"400: control character in the request target at byte 4 (RFC 9112 section 3.2; percent-encode it)",
		},
		{
			"request line over the head's limit", longLine, Limits{RequestLine: 98, Head: 50},
			"431: head over the limit at byte 50 (RFC 6585 section 5)",
		},
		{"RFC 6585 5 head at the limit", longLine + "Host:\r\n\r\n", Limits{Head: 110}, ""},
		{
			"RFC 6585 5 head over the limit", longLine + "Host:\r\n\r\n", Limits{Head: 109},
			"431: head over the limit at byte 109 (RFC 6585 section 5)",
		},
		{
			"RFC 6585 5 head without an end", longLine + strings.Repeat("A", 300), Limits{Head: 200},
			"431: head over the limit at byte 200 (RFC 6585 section 5)",
		},
		{
			"RFC 6585 5 head over the limit behind an empty line", "\r\n" + longLine + "Host:\r\n\r\n",
			Limits{Head: 109},
			"431: head over the limit at byte 111 (RFC 6585 section 5)",
		},
		{"RFC 6585 5 fields at the limit", get("A: b", "C: d"), Limits{Fields: 3}, ""},
		{
			"RFC 6585 5 fields over the limit", get("A: b", "C: d"), Limits{Fields: 2},
			"431: more fields than the limit at byte 31 (RFC 6585 section 5)",
		},
		{
			"RFC 6585 5 fields over the cap", manyFields, Limits{},
			fmt.Sprintf("431: more fields than the limit at byte %d (RFC 6585 section 5)", 25+253*5),
		},
		{
			"RFC 6585 5 no limit beyond the cap", manyFields, Limits{Fields: 1000},
			fmt.Sprintf("431: more fields than the limit at byte %d (RFC 6585 section 5)", 25+253*5),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, behind := range []string{"", strings.Repeat("z", 500), "\r\n\r\n"} {
				got := checkSplits(t, []byte(c.head+behind), &c.lim)
				if c.want == "" {
					if got.result != Complete {
						t.Fatalf("result %d, error %s", got.result, got.err.Error())
					}
				} else if got.result != Invalid || got.err.Error() != c.want {
					t.Errorf("result %d\ngot  %s\nwant %s", got.result, got.err.Error(), c.want)
				}
			}
		})
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	var req Request
	heads := [][]byte{[]byte(wrkHead), []byte(browserHead)}
	for _, c := range refusedHeads {
		heads = append(heads, []byte(c.head))
	}
	parse := func() {
		for _, head := range heads {
			Parse(head, 0, &testLimits, &req)
			Parse(head[:len(head)/2], len(head)/4, &testLimits, &req)
		}
	}
	parse()
	if n := testing.AllocsPerRun(100, parse); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHostRFC9110Section7_2(t *testing.T) {
	for host, bad := range map[string]int{
		"": -1, "h": -1, "h.": -1, "a.b.c": -1, "a.b.c.:80": -1, "a_b.example": -1, "127.0.0.1:8080": -1, "h:": -1,
		"h:65535": -1, "h:00080": -1,
		"!$&'()*+,;=": -1, "-._~": -1, "[::1]": -1, "[::1]:": -1, "[::ffff:1.2.3.4]:80": -1,
		"[v1.a:b]": -1, "[VfF.-]": -1,
		"h:65536": 6, "h:99999999999999999999": 6, "h:-1": 2, "h:80:80": 4, "h:8a": 3, "a b": 1, "a/b": 1, "a@b": 1,
		"a?": 1, "a#": 1,
		":": 0, ":80": 0, ".": 0, "..": 0, ".:80": 0, ".a": 0, "a..b": 2, "a..": 2, "a.b..:80": 4,
		"a%20b": 1, "%c3%A4": 0, "%65xample.org": 0, "a%2": 1, "a%zz": 1, "%": 0, "ä": 0, "a\"b": 1, "a<b": 1,
		"a\\b":   1,
		"[::1]x": 5, "a[::1]": 1,
		"[": 0, "[]": 0, "[::1": 0, "[1.2.3.4]": 0, "[v.a]": 0, "[v1.]": 0, "[v1a]": 0, "[v1.a/]": 0, "[w1.a]": 0,
		"[::1%25eth0]": 0, "[::1%eth0]": 0,
	} {
		if got := badAuthority([]byte(host)); got != bad {
			t.Errorf("%q: %d, want %d", host, got, bad)
		}
	}
}

func TestIPv6AgreesWithNetip(t *testing.T) {
	groups := []string{
		"",
		"0",
		"1:",
		":",
		"::",
		"ab12",
		"12345",
		"1.2.3.4",
		"256.1.1.1",
		"01.2.3.4",
		"1.2.3",
		"g",
		"1:2:3",
		"f:f:f:f:",
	}
	check := func(s string) {
		addr, err := netip.ParseAddr(s)
		want := err == nil && addr.Is6() && addr.Zone() == ""
		if got := validIPv6([]byte(s)); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
	for _, a := range groups {
		for _, b := range groups {
			for _, c := range groups {
				for _, d := range groups {
					check(a + b + c + d)
				}
			}
		}
	}
}
