package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const allow = "Allow: GET, HEAD, OPTIONS"

// nothing checks that an answer has no body.
func nothing(a answer) error {
	if len(a.body) > 0 || a.header.Get("Content-Length") != "" && a.status == 204 {
		return fmt.Errorf("%d with %q, %v", a.status, a.body, a.header)
	}
	return nil
}

// explained checks that a refusal names the methods that are not refused.
func explained(a answer) error {
	if got := a.header.Get("Allow"); "Allow: "+got != allow {
		return fmt.Errorf("Allow: %s", got)
	}
	return nil
}

// methods is RFC 9110 section 9 as far as a file server goes, and what comes to
// its port in other protocols. More of it stands in strictness.
var methods = []rawCase{
	{name: "HEAD of a file, RFC 9110 9.3.2", in: head("HEAD /hello.txt HTTP/1.1", host), want: []int{200},
		method: "HEAD", fate: stays, why: "Content-Length: 13"},
	{name: "HEAD of what is missing, RFC 9110 9.3.2", in: head("HEAD /none HTTP/1.1", host), want: []int{404},
		method: "HEAD", fate: stays, why: "Content-Length: 18"},
	{name: "HEAD of a folder without its slash", in: head("HEAD /sub HTTP/1.1", host), want: []int{301}, method: "HEAD",
		fate: stays, why: "Location: /sub/"},
	{name: "HEAD in 1.0, RFC 9112 9.3", in: head("HEAD /hello.txt HTTP/1.0"), want: []int{200}, method: "HEAD",
		fate: closes, why: "Content-Length: 13"},
	{name: "OPTIONS of a path, RFC 9110 9.3.7", in: head("OPTIONS /hello.txt HTTP/1.1", host), want: []int{204},
		method: "OPTIONS", fate: stays, why: allow, also: nothing},
	{name: "OPTIONS of a server by its URL, RFC 9112 3.2.4", in: head("OPTIONS http://x HTTP/1.1", host),
		want: []int{204}, method: "OPTIONS", fate: stays, why: allow, also: nothing},
	{name: "OPTIONS * in 1.0", in: head("OPTIONS * HTTP/1.0"), want: []int{204}, method: "OPTIONS", fate: closes,
		why: allow, also: nothing},
	{name: "OPTIONS with a body, RFC 9110 9.3.7", in: head("OPTIONS * HTTP/1.1", host, "Content-Length: 5") + marker,
		want: []int{204}, method: "OPTIONS", fate: stays, also: nothing},
	{name: "GET *, RFC 9112 3.2.4", in: head("GET * HTTP/1.1", host), want: []int{400}, fate: closes,
		why: "the target * without OPTIONS"},
	{name: "PUT in chunks, RFC 9110 15.5.6", in: head("PUT /hello.txt HTTP/1.1", host, te) + "5\r\n" + marker +
		"\r\n0\r\n\r\n", want: []int{405}, method: "PUT", fate: stays, also: explained,
		why: "405: files are read with GET and HEAD (RFC 9110 section 15.5.6)"},
	{name: "PATCH, RFC 5789", in: head("PATCH /hello.txt HTTP/1.1", host), want: []int{405}, method: "PATCH",
		fate: stays, also: explained},
	{name: "PROPFIND, RFC 4918", in: head("PROPFIND / HTTP/1.1", host, "Depth: 1"), want: []int{405},
		method: "PROPFIND", fate: stays, also: explained},
	{name: "QUERY, RFC 10008", in: head("QUERY /hello.txt HTTP/1.1", host, "Content-Length: 5") + marker,
		want: []int{405}, method: "QUERY", fate: stays, also: explained},
	{name: "PUT with Expect: the answer does not wait for the body, RFC 9110 10.1.1",
		in: head("PUT /hello.txt HTTP/1.1", host, "Content-Length: 5", "Expect: 100-continue"), want: []int{405},
		method: "PUT", fate: closes, also: explained},
	{name: "POST in chunks with Expect, RFC 9110 10.1.1", in: head("POST /hello.txt HTTP/1.1", host, te,
		"Expect: 100-continue"), want: []int{405}, method: "POST", fate: closes, also: explained},
	{name: "GET with a body and Expect, RFC 9110 10.1.1", in: head(line, host, "Content-Length: 5",
		"Expect: 100-continue"), want: []int{200}, fate: closes, why: hello},
	{name: "GET with Expect and no body, RFC 9110 10.1.1", in: head(line, host, "Expect: 100-continue"),
		want: []int{200}, fate: stays, why: hello},
	{name: "POST to what is missing", in: head("POST /none HTTP/1.1", host), want: []int{405}, method: "POST",
		fate: stays, also: explained},
	{name: "TRACE, RFC 9110 9.3.8", in: head("TRACE /hello.txt HTTP/1.1", host, "Cookie: "+marker), want: []int{405},
		method: "TRACE", fate: stays, also: explained, why: "405: TRACE is not answered"},
	{name: "CONNECT, RFC 9110 9.3.6", in: head("CONNECT "+marker+":443 HTTP/1.1", "Host: "+marker+":443"),
		want: []int{405}, fate: closes, also: explained, why: "405: this is no proxy"},
	{name: "CONNECT to a path, RFC 9112 3.2.3", in: head("CONNECT /hello.txt HTTP/1.1", host), want: []int{400},
		fate: closes, why: "the target of CONNECT is not host:port"},
	{name: "an unknown method explains itself, RFC 9110 9.1", in: head("ZQXJKS /hello.txt HTTP/1.1", host),
		want: []int{501}, fate: closes, why: "501: unknown method at byte 0 (RFC 9110 section 9.1)"},
	{name: "absolute form, RFC 9112 3.2.2", in: head("GET http://x/hello.txt HTTP/1.1", host), want: []int{200},
		fate: stays, why: "Content-Length: 13"},
	{name: "absolute form of https behind a proxy", in: head("GET https://x:443/hello.txt?"+marker+" HTTP/1.1", host),
		want: []int{200}, fate: stays},
	{name: "absolute form of another protocol, RFC 9112 3.2", in: head("GET ftp://"+marker+"/hello.txt HTTP/1.1", host),
		want: []int{400}, fate: closes, why: "neither a path nor an http URL"},
	{name: "HTTP/0.9 explains itself, RFC 9112 3", in: "GET /\r\n", want: []int{400}, fate: closes,
		why: "400: request line without a version at byte 5 (RFC 9112 section 3; HTTP/0.9 is not served)"},
	{name: "the HTTP/2 preface explains itself, RFC 9113 3.4",
		in: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", want: []int{505}, fate: closes,
		why: "505: HTTP version not served: the preface of HTTP/2"},
	{name: "a TLS handshake explains itself, RFC 8446 4.1.2", in: "\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03" +
		strings.Repeat(marker, 48), want: []int{400}, fate: closes,
		why: "400: a TLS handshake, not a request at byte 0 (RFC 9112 section 3; use http:// here, not https://)"},
	{name: "an upgrade to HTTP/2 that is not taken, RFC 9110 7.8", in: head(line, host, "Connection: Upgrade, "+
		"HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), want: []int{200}, fate: stays},
	{name: "an upgrade to WebSocket that is not taken, RFC 6455 4.1", in: head(line, host, "Connection: Upgrade",
		"Upgrade: websocket", "Sec-WebSocket-Version: 13"), want: []int{200}, fate: stays},
	{name: "SSH on this port", in: "SSH-2.0-OpenSSH_9.2\r\n", want: []int{400}, fate: closes, why: "without a target"},
	{name: "SMTP on this port", in: "EHLO " + marker + "\r\n", want: []int{400}, fate: closes},
	{name: "SOCKS on this port, RFC 1928 3", in: "\x05\x01\x00", want: []int{400}, fate: closes,
		why: "not the first byte of a request"},
}

// TestMethods plays each case as TestRawBytes does.
func TestMethods(t *testing.T) {
	twoVariants(t, func(t *testing.T, v variant) {
		start(t, v, rawSite(t), "--listing", "off").playMethods(t)
	})
	// A site with rules answers no method differently.
	t.Run("rules", func(t *testing.T) {
		t.Parallel()
		serveConfig(t, `access_log: {output: "off"}
sites:
  - root: `+rawSite(t)+`
    try_files: [$path, $path.html]
    redirects: [{from: "/moved/**", to: "/$1"}]
    paths: [{match: "/**", headers: {X-Rule: all}}]
`).playMethods(t)
	})
}

// TestRefusedHead has every head that is refused, and every one over a limit, sent as HEAD:
// the answer has no body whatever part is refused (RFC 9110 section 9.3.2).
func TestRefusedHead(t *testing.T) {
	s := start(t, defaultVariant(), rawSite(t))
	for _, c := range slices.Concat(strictness, methods, limits) {
		rest, isGet := strings.CutPrefix(c.in, "GET ")
		if !isGet || c.want[0] < 400 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			c.in, c.method, c.why, c.also = "HEAD "+rest, "HEAD", "", nil
			s.play(t, c, 0, []string{c.in})
			s.play(t, c, 1, []string{ok11 + c.in})
			s.play(t, c, 0, []string{c.in[:5], c.in[5:]})
		})
	}
}

func (s *server) playMethods(t *testing.T) {
	for _, c := range methods {
		t.Run(c.name, func(t *testing.T) {
			s.play(t, c, 0, []string{c.in})
			s.play(t, c, 2, []string{strings.Repeat(ok11, 2) + c.in})
			for _, pieces := range cuts(c.in) {
				s.play(t, c, 0, pieces)
			}
		})
	}
}
