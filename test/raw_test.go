package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// fate is what happens to the connection after the last answer.
type fate int

const (
	stays fate = iota
	closes
	either // no rule says
)

// rawCase is bytes sent to the server and what must come back.
type rawCase struct {
	name   string // the rule and where it comes from
	in     string
	want   []int // the statuses, in order
	fate   fate
	why    string               // a part of the last answer's body or, with a "Name: " in front, of a field
	method string               // of the last request; "": GET
	also   func(a answer) error // checks the last answer further
}

// marker stands in bad input wherever a byte string fits: no answer may repeat it.
const marker = "zqxjk"

const ok11 = "GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n"

func head(line string, fields ...string) string {
	return line + "\r\n" + strings.Join(append(fields, "", ""), "\r\n")
}

// lineOf is a request line of so many bytes, without its CRLF.
func lineOf(size int) string {
	const start, end = "GET /hello.txt?", " HTTP/1.1"
	return start + strings.Repeat("a", size-len(start)-len(end)) + end
}

func fields(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("X-%d: %s", i, marker)
	}
	return all
}

const (
	line = "GET /hello.txt HTTP/1.1"
	host = "Host: x"
	te   = "Transfer-Encoding: chunked"

	never = "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT"
)

// strictness has an entry for every rule under that heading, some with several.
var strictness = []rawCase{
	{name: "LF without CR after the request line, RFC 9112 2.2", in: "GET / HTTP/1.1\nHost: x\r\n\r\n",
		want: []int{400}, fate: closes, why: "400: LF without CR at byte 14 (RFC 9112 section 2.2; with nc use -C)"},
	{name: "LF without CR after a field, RFC 9112 2.2", in: "GET / HTTP/1.1\r\nHost: " + marker + "\n\r\n",
		want: []int{400}, fate: closes, why: "LF without CR"},
	{name: "LF without CR at the end of the head, RFC 9112 2.2", in: "GET / HTTP/1.1\r\nHost: x\r\n\n",
		want: []int{400}, fate: closes, why: "LF without CR"},
	{name: "CR without LF in the request line, RFC 9112 2.2", in: head("GET /\r"+marker+" HTTP/1.1", host),
		want: []int{400}, fate: closes, why: "CR without LF"},
	{name: "CR without LF in a value, RFC 9112 2.2", in: head(line, host, "A: b\r"+marker), want: []int{400},
		fate: closes, why: "CR without LF"},
	{name: "space before the colon, RFC 9112 5.1", in: head(line, "Host : "+marker), want: []int{400}, fate: closes,
		why: "before the colon"},
	{name: "tab before the colon, RFC 9112 5.1", in: head(line, host, "A\t: "+marker), want: []int{400}, fate: closes},
	{name: "folded field line, RFC 9112 5.2", in: head(line, host, "A: b", " "+marker), want: []int{400}, fate: closes,
		why: "folded"},
	{name: "folded by a tab, RFC 9112 5.2", in: head(line, host, "A: b", "\t"+marker), want: []int{400}, fate: closes,
		why: "folded"},
	{name: "white space before the first field, RFC 9112 2.2", in: head(line, " "+host), want: []int{400}, fate: closes,
		why: "white space"},
	{name: "empty field name, RFC 9110 5.1", in: head(line, host, ": "+marker), want: []int{400}, fate: closes,
		why: "empty field name"},
	{name: "field name that is no token, RFC 9110 5.1", in: head(line, host, "A("+marker+": b"), want: []int{400},
		fate: closes, why: "field name"},
	{name: "field name with a byte above 7F, RFC 9110 5.1", in: head(line, host, "A\xe4: "+marker), want: []int{400},
		fate: closes, why: "field name"},
	{name: "field line without a colon, RFC 9112 5", in: head(line, host, marker), want: []int{400}, fate: closes,
		why: "colon"},
	{name: "NUL in a value, RFC 9110 5.5", in: head(line, host, "A: b\x00"+marker), want: []int{400}, fate: closes,
		why: "control character"},
	{name: "control character in a value, RFC 9110 5.5", in: head(line, host, "A: b\x01"+marker), want: []int{400},
		fate: closes, why: "control character"},
	{name: "DEL in a value, RFC 9110 5.5", in: head(line, host, "A: b\x7f"+marker), want: []int{400}, fate: closes,
		why: "control character"},
	{name: "tab in a value is fine, RFC 9110 5.5", in: head(line, host, "A: b\tc"), want: []int{200}},
	{name: "bytes 80 to FF in a value are fine, RFC 9110 5.5", in: head(line, host, "A: \x80\xe4\xff"),
		want: []int{200}},
	{name: "an empty value is fine, RFC 9110 5.5", in: head(line, host, "A:"), want: []int{200}},

	{name: "two spaces before the target, RFC 9112 3", in: head("GET  /hello.txt HTTP/1.1", host), want: []int{400},
		fate: closes, why: "space"},
	{name: "two spaces before the version, RFC 9112 3", in: head("GET /hello.txt  HTTP/1.1", host), want: []int{400},
		fate: closes, why: "space"},
	{name: "space after the version, RFC 9112 3", in: head("GET /hello.txt HTTP/1.1 ", host), want: []int{400},
		fate: closes},
	{name: "tab for a space, RFC 9112 3", in: head("GET\t/hello.txt HTTP/1.1", host), want: []int{400}, fate: closes},
	{name: "no space at all, RFC 9112 3", in: head("GET/hello.txt", host), want: []int{400}, fate: closes},
	{name: "no version (HTTP/0.9), RFC 9112 3", in: "GET /" + marker + "\r\n", want: []int{400}, fate: closes,
		why: "without a version"},
	{name: "space within the target, RFC 9112 3.2", in: head("GET /a "+marker+" HTTP/1.1", host), want: []int{400},
		fate: closes},
	{name: "control character in the target, RFC 9112 3.2", in: head("GET /"+marker+"\x01 HTTP/1.1", host),
		want: []int{400}, fate: closes, why: "control character in the request target"},
	{name: "DEL in the target, RFC 9112 3.2", in: head("GET /"+marker+"\x7f HTTP/1.1", host), want: []int{400},
		fate: closes, why: "request target"},
	{name: "fragment in the target, RFC 9112 3.2", in: head("GET /hello.txt#"+marker+" HTTP/1.1", host),
		want: []int{400}, fate: closes, why: "fragment"},
	{name: "other bytes in the target pass, RFC 3986 2", in: head("GET /a|b^[1]\xe4{}\"<>` HTTP/1.1", host),
		want: []int{404}, why: "404"},
	{name: "target that is no path, RFC 9112 3.2", in: head("GET "+marker+" HTTP/1.1", host), want: []int{400},
		fate: closes},

	{name: "no Host in 1.1, RFC 9112 3.2", in: head(line), want: []int{400}, fate: closes, why: "no Host"},
	{name: "no Host with an absolute target, RFC 9112 3.2", in: head("GET http://" + marker + "/hello.txt HTTP/1.1"),
		want: []int{400}, fate: closes, why: "no Host"},
	{name: "no Host in 1.0 is fine, RFC 9112 3.2", in: head("GET /hello.txt HTTP/1.0"), want: []int{200}, fate: closes},
	{name: "two Hosts, RFC 9112 3.2", in: head(line, host, host), want: []int{400}, fate: closes, why: "second Host"},
	{name: "two Hosts in 1.0, RFC 9112 3.2", in: head("GET /hello.txt HTTP/1.0", host, "Host: "+marker),
		want: []int{400}, fate: closes, why: "second Host"},
	{name: "Host with a path, RFC 3986 3.2.2", in: head(line, "Host: x/"+marker), want: []int{400}, fate: closes,
		why: "bad host"},
	{name: "Host with user information, RFC 9110 7.2", in: head(line, "Host: me@"+marker), want: []int{400},
		fate: closes, why: "bad host"},
	{name: "Host with a space, RFC 3986 3.2.2", in: head(line, "Host: x "+marker), want: []int{400}, fate: closes,
		why: "bad host"},
	{name: "Host with a bad port, RFC 3986 3.2.3", in: head(line, "Host: x:"+marker), want: []int{400}, fate: closes,
		why: "bad host"},
	{name: "Host with an open bracket, RFC 3986 3.2.2", in: head(line, "Host: [::1"), want: []int{400}, fate: closes,
		why: "bad host"},
	{name: "Host with a bad escape, RFC 3986 3.2.2", in: head(line, "Host: x%zz"), want: []int{400}, fate: closes,
		why: "bad host"},
	{name: "Host of a dot, RFC 1035 2.3.1", in: head(line, "Host: ."), want: []int{400}, fate: closes, why: "bad host"},
	{name: "Host with an empty label, RFC 1035 2.3.1", in: head(line, "Host: a.."+marker), want: []int{400},
		fate: closes, why: "bad host"},
	{name: "Host of a port alone, RFC 9110 4.2.1", in: head(line, "Host: :8080"), want: []int{400}, fate: closes,
		why: "bad host"},
	{name: "Host with percent-encoding", in: head(line, "Host: %65xample.org"), want: []int{400}, fate: closes,
		why: "bad host"},
	{name: "absolute target with an empty label, RFC 1035 2.3.1", in: head("GET http://a..b/hello.txt HTTP/1.1", host),
		want: []int{400}, fate: closes, why: "host"},
	{name: "Host with a dot at its end is fine", in: head(line, "Host: example.org.:80"), want: []int{200}},
	{name: "Host with an underscore and a port is fine", in: head(line, "Host: a_b.example:8080"), want: []int{200}},
	{name: "Host that is an IPv6 address is fine, RFC 3986 3.2.2", in: head(line, "Host: [::1]:80"), want: []int{200}},
	{name: "empty Host is the default site, RFC 9110 7.2", in: head(line, "Host:"), want: []int{200}},
	{name: "in absolute form the target's host wins, RFC 9112 3.2.2", in: head("GET http://other/hello.txt HTTP/1.1",
		host), want: []int{200}},
	{name: "absolute target with a bad host, RFC 3986 3.2.2", in: head("GET http://"+marker+"^/hello.txt HTTP/1.1",
		host), want: []int{400}, fate: closes, why: "host"},

	{name: "Content-Length with a sign, RFC 9110 8.6", in: head(line, host, "Content-Length: +1"), want: []int{400},
		fate: closes, why: "Content-Length"},
	{name: "negative Content-Length, RFC 9110 8.6", in: head(line, host, "Content-Length: -1"), want: []int{400},
		fate: closes, why: "Content-Length"},
	{name: "hexadecimal Content-Length, RFC 9110 8.6", in: head(line, host, "Content-Length: 0x1"), want: []int{400},
		fate: closes, why: "Content-Length"},
	{name: "empty Content-Length, RFC 9110 8.6", in: head(line, host, "Content-Length:"), want: []int{400},
		fate: closes, why: "Content-Length"},
	{name: "Content-Length as a list, RFC 9110 8.6", in: head(line, host, "Content-Length: 5, 5"), want: []int{400},
		fate: closes, why: "Content-Length"},
	{name: "Content-Length that overflows, RFC 9110 8.6", in: head(line, host, "Content-Length: 18446744073709551616"),
		want: []int{400}, fate: closes, why: "overflows"},
	{name: "two Content-Lengths, RFC 9112 6.3", in: head(line, host, "Content-Length: 5", "Content-Length: 5"),
		want: []int{400}, fate: closes, why: "second Content-Length"},
	{name: "Content-Length with Transfer-Encoding, RFC 9112 6.3", in: head(line, host, "Content-Length: 5", te),
		want: []int{400}, fate: closes, why: "Content-Length with Transfer-Encoding"},
	{name: "Transfer-Encoding with Content-Length, RFC 9112 6.3", in: head(line, host, te, "Content-Length: 5"),
		want: []int{400}, fate: closes, why: "Content-Length with Transfer-Encoding"},
	{name: "chunked twice, RFC 9112 6.1", in: head(line, host, te+", chunked"), want: []int{400}, fate: closes,
		why: "chunked twice"},
	{name: "chunked in two fields, RFC 9112 6.1", in: head(line, host, te, te), want: []int{400}, fate: closes,
		why: "chunked twice"},
	{name: "chunked not last, RFC 9112 6.3", in: head(line, host, te+", gzip"), want: []int{400}, fate: closes,
		why: "not the last"},
	{name: "Transfer-Encoding in 1.0, RFC 9112 6.1", in: head("GET /hello.txt HTTP/1.0", host, te), want: []int{400},
		fate: closes, why: "HTTP/1.0"},
	{name: "unknown transfer coding, RFC 9112 6.1", in: head(line, host, "Transfer-Encoding: "+marker+", chunked"),
		want: []int{501}, fate: closes, why: "unknown transfer coding"},
	{name: "chunk size with forty leading zeros, RFC 9112 7.1", in: head(line, host, te) + strings.Repeat("0", 40) +
		"1\r\na\r\n0\r\n\r\n", want: []int{200}, fate: stays, why: hello},
	{name: "chunk size with leading zeros without end, RFC 9112 7.1", in: head(line, host, te) +
		strings.Repeat("0", 200), want: []int{400}, fate: closes, why: "128 digits"},
	{name: "chunk size that is no number, RFC 9112 7.1", in: head(line, host, te) + marker + "\r\n", want: []int{400},
		fate: closes, why: "chunk size"},
	{name: "LF without CR after a chunk size, RFC 9112 7.1", in: head(line, host, te) + "1\na\r\n0\r\n\r\n",
		want: []int{400}, fate: closes, why: "LF without CR"},
	{name: "LF without CR after chunk data, RFC 9112 7.1", in: head(line, host, te) + "1\r\na\n0\r\n\r\n",
		want: []int{400}, fate: closes, why: ""},
	{name: "LF without CR in an extension, RFC 9112 7.1.1", in: head(line, host, te) + "1;a=b\na\r\n0\r\n\r\n",
		want: []int{400}, fate: closes, why: "LF without CR"},
	{name: "LF without CR in a trailer, RFC 9112 7.1.2", in: head(line, host, te) + "0\r\nA: b\n\r\n", want: []int{400},
		fate: closes, why: "LF without CR"},
	{name: "LF without CR after the last chunk, RFC 9112 7.1", in: head(line, host, te) + "0\r\n\n", want: []int{400},
		fate: closes, why: "LF without CR"},
	{name: "chunk data longer than its size, RFC 9112 7.1", in: head(line, host, te) + "1\r\na" + marker +
		"\r\n0\r\n\r\n", want: []int{400}, fate: closes, why: "longer than its size"},

	{name: "HTTP/2.0, RFC 9110 15.6.6", in: head("GET /hello.txt HTTP/2.0", host), want: []int{505}, fate: closes,
		why: "version"},
	{name: "the HTTP/2 preface, RFC 9113 3.4", in: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: []int{505}, fate: closes,
		why: "version"},
	{name: "HTTP/0.9 by its name, RFC 9110 15.6.6", in: head("GET /hello.txt HTTP/0.9", host), want: []int{505},
		fate: closes, why: "version"},
	{name: "HTTP/1.2 is served as 1.1, RFC 9110 2.5", in: head("GET /hello.txt HTTP/1.2", host), want: []int{200}},
	{name: "version in lower case, RFC 9112 2.3", in: head("GET /hello.txt http/1.1", host), want: []int{400},
		fate: closes, why: "version"},
	{name: "version of two digits, RFC 9112 2.3", in: head("GET /hello.txt HTTP/1.10", host), want: []int{400},
		fate: closes, why: "version"},
	{name: "unknown method, RFC 9110 9.1", in: head("FETCH /hello.txt HTTP/1.1", host), want: []int{501}, fate: either,
		why: "unknown method"},
	{name: "methods are case-sensitive, RFC 9110 9.1", in: head("get /hello.txt HTTP/1.1", host), want: []int{501},
		fate: either, why: "unknown method"},
	{name: "method that is no token, RFC 9110 9.1", in: head("G(T /hello.txt HTTP/1.1", host), want: []int{400},
		fate: closes, why: "method"},
	{name: "known method that a file does not take, RFC 9110 15.5.6", in: head("DELETE /hello.txt HTTP/1.1", host),
		want: []int{405}, why: "Allow: GET"},
	{name: "POST with a body, RFC 9110 15.5.6", in: head("POST /hello.txt HTTP/1.1", host, "Content-Length: 5") +
		marker, want: []int{405}, why: "Allow: GET"},
	{name: "TLS on a plain port, RFC 9112 3", in: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", want: []int{400},
		fate: closes, why: "TLS"},
	{name: "one empty line before a request is skipped, RFC 9112 2.2", in: "\r\n" + ok11, want: []int{200}},
	{name: "two empty lines before a request, RFC 9112 2.2", in: "\r\n\r\n" + ok11, want: []int{400}, fate: closes,
		why: "empty line"},
	{name: "HEAD ignores Range, RFC 9110 14.2", in: head("HEAD /hello.txt HTTP/1.1", host, "Range: bytes=1-2"),
		want: []int{200}, method: "HEAD", also: func(a answer) error {
			if a.length != int64(len(hello)) || a.header.Get("Content-Range") != "" {
				return fmt.Errorf("Content-Length %d, Content-Range %q", a.length, a.header.Get("Content-Range"))
			}
			return nil
		}},
	{name: "two Ranges are ignored, RFC 9110 14.2", in: head(line, host, "Range: bytes=0-1", "Range: bytes=2-3"),
		want: []int{200}, fate: stays, why: hello},
	{name: "two Ranges of HEAD are ignored, RFC 9110 14.2", in: head("HEAD /hello.txt HTTP/1.1", host,
		"Range: bytes=0-1", "Range: bytes=2-3"), want: []int{200}, method: "HEAD", fate: stays},
	{name: "two If-Modified-Since are ignored, RFC 9110 13.1.3", in: head(line, host, never, never), want: []int{200},
		fate: stays, why: hello},
	{name: "two If-Unmodified-Since are ignored, RFC 9110 13.1.4", in: head(line, host, "If-Unmodified-Since: Thu, "+
		"01 Jan 1970 00:00:00 GMT", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"), want: []int{200},
		fate: stays, why: hello},
	{name: "two If-Range are no condition that holds, RFC 9110 13.1.5", in: head(line, host, "Range: bytes=0-1",
		"If-Range: \"a\"", "If-Range: \"a\""), want: []int{200}, fate: stays, why: hello},
	{name: "If-Match on two lines is one list, RFC 9110 5.3", in: head(line, host, "If-Match: \"a\"", "If-Match: *"),
		want: []int{412}, fate: stays},
	{name: "two Authorizations, RFC 9110 5.3", in: head(line, host, "Authorization: "+marker, "Authorization: "+marker),
		want: []int{400}, fate: closes, why: "twice"},
	{name: "an Expect other than 100-continue, RFC 9110 10.1.1", in: head(line, host, "Expect: "+marker),
		want: []int{417}, fate: either, why: "417"},
	{name: "a body of a GET is thrown away, RFC 9110 9.3.1", in: head(line, host, "Content-Length: 5") + marker,
		want: []int{200}},
	{name: "chunks with extensions and trailers, RFC 9112 7.1", in: head(line, host, te) + "5;a;b=c;d=\"e\\\"f\"\r\n" +
		marker + "\r\n000\r\nTrailer: x\r\n\r\n", want: []int{200}},
	{name: "OPTIONS *, RFC 9110 9.3.7", in: head("OPTIONS * HTTP/1.1", host), want: []int{204}, fate: stays,
		why: "Allow: GET", method: "OPTIONS"},
}

// paths is what the last paragraph of that heading says.
var paths = []rawCase{
	{name: "NUL, RFC 3986 7.3", in: request("/" + marker + "%00"), want: []int{400}, fate: either, why: "NUL"},
	{name: "bad escape, RFC 3986 2.1", in: request("/" + marker + "%zz"), want: []int{400}, fate: either,
		why: "percent-encoding"},
	{name: "cut escape, RFC 3986 2.1", in: request("/" + marker + "%4"), want: []int{400}, fate: either,
		why: "percent-encoding"},
	{name: "above the root, RFC 3986 5.2.4", in: request("/../hello.txt"), want: []int{400}, fate: either,
		why: "above the root"},
	{name: "above the root, encoded", in: request("/a/%2e%2e/%2E%2e/hello.txt"), want: []int{400}, fate: either,
		why: "above the root"},
	{name: "above the root by encoded slashes", in: request("/..%2f..%2fetc%2fpasswd"), want: []int{400}, fate: either,
		why: "above the root"},
	{name: "dot segments within the root, RFC 3986 5.2.4", in: request("/sub/../hello.txt"), want: []int{200}},
	{name: "decoded once: %252e is a file's name", in: request("/%252e%252e/hello.txt"), want: []int{404}},
	{name: "decoded once: %25 is a percent sign", in: request("/100%25.txt"), want: []int{200}},
	{name: "an encoded slash is a slash", in: request("/sub%2Ffile.txt"), want: []int{200}},
	{name: "hidden name", in: request("/.git/config"), want: []int{404}},
	{name: "hidden name, encoded", in: request("/%2egit/config"), want: []int{404}},
	{name: ".well-known is not hidden, RFC 8615", in: request("/.well-known/x"), want: []int{200}},
	{name: "link beneath the root, relative", in: request("/inside"), want: []int{200}},
	{name: "link beneath the root, absolute", in: request("/absolute"), want: []int{200}},
	{name: "link that leaves the root", in: request("/outside"), want: []int{404}},
	{name: "a FIFO is not served", in: request("/fifo"), want: []int{404}},
	{name: "a file is no folder", in: request("/hello.txt/"), want: []int{404}},
	{name: "a folder's redirect", in: request("/sub?q"), want: []int{301}, why: "Location: /sub/?q"},
	{name: "a folder's redirect names no host", in: request("//sub"), want: []int{301}, why: "Location: /sub/"},
	{name: "a folder's redirect names no host, encoded", in: request("/%2f/sub"), want: []int{301},
		why: "Location: /sub/"},
}

// limits are the rows of docs/http.md's table of limits that have no clock.
var limits = []rawCase{
	{name: "request line of 8 KiB and a byte, RFC 9112 3", in: head(lineOf(8193), host), want: []int{414}, fate: closes,
		why: "request line over the limit"},
	{name: "request line of 8 KiB", in: head(lineOf(8192), host), want: []int{200}},
	{name: "request line without an end, RFC 9112 3", in: "GET /" + strings.Repeat("a", 9000), want: []int{414},
		fate: closes, why: "request line over the limit"},
	{name: "method over 8 KiB, RFC 9112 3", in: strings.Repeat("A", 9000), want: []int{501}, fate: closes,
		why: "unknown method"},
	{name: "head over 32 KiB, RFC 6585 5", in: head(line, host, "A: "+strings.Repeat("a", 33000)), want: []int{431},
		fate: closes, why: "head over the limit"},
	{name: "head without an end, RFC 6585 5", in: line + "\r\nA: " + strings.Repeat("a", 33000), want: []int{431},
		fate: closes, why: "head over the limit"},
	{name: "head of 30 KiB", in: head(line, host, "A: "+strings.Repeat("a", 30000)), want: []int{200}},
	{name: "101 fields, RFC 6585 5", in: head(line, append(fields(100), host)...), want: []int{431}, fate: closes,
		why: "more fields than the limit"},
	{name: "100 fields", in: head(line, append(fields(99), host)...), want: []int{200}},
	{name: "body over 64 KiB, RFC 9110 15.5.14", in: head(line, host, "Content-Length: 65537"), want: []int{413},
		fate: closes, why: "body over the limit"},
	{name: "body of 64 KiB", in: head(line, host, "Content-Length: 65536") + strings.Repeat("a", 65536),
		want: []int{200}},
	{name: "chunk over 64 KiB, RFC 9110 15.5.14", in: head(line, host, te) + "10001\r\n", want: []int{413},
		fate: closes, why: "body over the limit"},
	{name: "chunks over 64 KiB, RFC 9110 15.5.14", in: head(line, host, te) + "8000\r\n" + strings.Repeat("a", 0x8000) +
		"\r\n8001\r\n", want: []int{413}, fate: closes, why: "body over the limit"},
	{name: "more than 256 ranges get the whole file, RFC 9110 14.2", in: request("/hello.txt", "Range: bytes="+
		strings.Repeat("0-1,", 256)+"0-1"), want: []int{200}},
}

const hello = "hello, world\n"

// rawSite is what the raw requests ask for.
func rawSite(t *testing.T) string {
	t.Helper()
	parent := t.TempDir()
	root := filepath.Join(parent, "site")
	for _, name := range []string{"hello.txt", "index.html", "sub/file.txt", "sub/index.html", ".git/config",
		".well-known/x", "100%.txt"} {
		write(t, root, name, []byte(hello))
	}
	write(t, parent, "secret", []byte("secret"))
	for link, target := range map[string]string{"inside": "sub/file.txt", "absolute": filepath.Join(root, "hello.txt"),
		"outside": "../secret"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestRawBytes sends each case alone, behind two good requests, and cut at
// several places or byte by byte; afterwards the server still answers and holds no more than before.
func TestRawBytes(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v, rawSite(t), "--listing", "off")
		idle := s.warm(t, "/", "/hello.txt", "/sub/", "/sub", "/sub/file.txt", "/.well-known/x", "/100%25.txt",
			"/inside", "/absolute", "/outside", "/fifo", "/missing")
		for group, cases := range map[string][]rawCase{"strictness": strictness, "paths": paths, "limits": limits} {
			for _, c := range cases {
				t.Run(group+"/"+c.name, func(t *testing.T) {
					s.play(t, c, 0, []string{c.in})
					s.play(t, c, 2, []string{strings.Repeat(ok11, 2) + c.in})
					for _, pieces := range cuts(c.in) {
						s.play(t, c, 0, pieces)
					}
					if got := s.get(t, "/hello.txt"); got.status != 200 || string(got.body) != hello {
						t.Errorf("afterwards: %d %q", got.status, got.body)
					}
					s.waitDescriptors(t, idle)
				})
			}
		}
		s.checkGoroutines(t)
	})
}

// cuts returns the input split in the ways in which it may arrive.
func cuts(in string) [][]string {
	all := [][]string{{in[:1], in[1:]}, {in[:len(in)/2], in[len(in)/2:]}, {in[:len(in)-1], in[len(in)-1:]}}
	if len(in) <= 200 {
		all = append(all, strings.Split(in, ""))
	}
	return all
}

// warm asks for each path until its file is old enough to be kept, so that what the
// server keeps open for later is open, and returns the number of its descriptors without connections.
func (s *server) warm(t *testing.T, paths ...string) int {
	t.Helper()
	c := s.dial(t)
	w := newWire(c)
	for _, path := range paths {
		eventually(t, func() error {
			if _, err := io.WriteString(c, request(path)); err != nil {
				return err
			}
			got, err := w.next("GET")
			if tag := got.header.Get("ETag"); err != nil || strings.HasPrefix(tag, "W/") {
				return fmt.Errorf("%s: ETag %q, %v", path, tag, err)
			}
			return nil
		})
	}
	open, _ := s.descriptors(t)
	c.Close()
	s.waitDescriptors(t, open-1)
	return open - 1
}

// play sends the pieces on a new connection and checks all that comes back.
// good is the number of good requests that stand in front of the case.
func (s *server) play(t *testing.T, c rawCase, good int, pieces []string) {
	t.Helper()
	conn := s.dial(t)
	defer conn.Close()
	go send(conn, pieces)
	w := newWire(conn)
	for range good {
		if a, err := w.next("GET"); err != nil || a.status != 200 {
			t.Fatalf("a good request in front got %d, %v", a.status, err)
		}
	}
	var last answer
	for i, want := range c.want {
		method := "GET"
		if i == len(c.want)-1 && c.method != "" {
			method = c.method
		}
		var err error
		if last, err = w.next(method); err != nil {
			t.Fatalf("in %d pieces: no whole answer: %v", len(pieces), err)
		}
		if last.status != want {
			t.Fatalf("in %d pieces: status %d, want %d: %s", len(pieces), last.status, want, last.body)
		}
	}
	if err := c.check(last); err != nil {
		t.Errorf("in %d pieces: %v", len(pieces), err)
	}
	switch {
	case c.fate == closes || last.close:
		if err := w.ended(); err != nil {
			t.Errorf("in %d pieces: %v", len(pieces), err)
		}
		if !last.close {
			t.Errorf("closed without saying Connection: close: %v", last.header)
		}
	default:
		if _, err := io.WriteString(conn, ok11); err != nil {
			t.Fatal(err)
		}
		if a, err := w.next("GET"); err != nil || a.status != 200 || string(a.body) != hello {
			t.Errorf("the next request on the connection: %d %q, %v", a.status, a.body, err)
		}
	}
	if c.fate == stays && last.close {
		t.Errorf("says that it closes: %v", last.header)
	}
}

// send writes the pieces one by one; net sets TCP_NODELAY, so each leaves at once.
// The server may close before it has them all.
func send(c net.Conn, pieces []string) {
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			return
		}
	}
}

// check looks at what every answer must have and at what this case wants of it.
func (c rawCase) check(a answer) error {
	text := string(a.body)
	switch name, value, isField := strings.Cut(c.why, ": "); {
	case a.header.Get("Date") == "":
		return fmt.Errorf("no Date in %v", a.header)
	case strings.Contains(text, marker) || strings.Contains(fmt.Sprint(a.header), marker):
		return fmt.Errorf("repeats the client's bytes: %v %s", a.header, text)
	case a.status >= 400 && c.method != "HEAD" && !strings.HasPrefix(text, fmt.Sprintf("%d: ", a.status)):
		return fmt.Errorf("does not explain itself: %q", text)
	case strings.Contains(text, "secret"):
		return fmt.Errorf("leaks: %q", text)
	case isField && a.header.Get(name) != "":
		if got := a.header.Get(name); !strings.HasPrefix(got, value) {
			return fmt.Errorf("%s: %s, want %s", name, got, value)
		}
	case !strings.Contains(text, c.why):
		return fmt.Errorf("the reason is %q and not %q", text, c.why)
	}
	if c.also != nil {
		return c.also(a)
	}
	return nil
}

var (
	goroutine = regexp.MustCompile(`(?m)^goroutine \d+ .*:$`)
	// gcWorker is one of the runtime's own, of which there are as many as GOMAXPROCS.
	gcWorker = regexp.MustCompile(`(?m)^goroutine \d+ .*\[GC worker .*:$`)
)

// goroutinesMax is how many goroutines a server without connections has at most: its loops, its workers (16), and a
// few of the process itself and of Go's runtime.
const goroutinesMax = 16 + 16

// checkGoroutines ends the server with a dump of its goroutines and counts them.
func (s *server) checkGoroutines(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGQUIT)
	s.wait(t)
	dump := s.stderr.String()
	n := len(goroutine.FindAllString(dump, -1)) - len(gcWorker.FindAllString(dump, -1))
	if n <= 0 || n > goroutinesMax {
		t.Errorf("%d goroutines run after all connections are gone, at most %d were expected:\n%s", n, goroutinesMax,
			dump)
	}
}

// TestRawCaseNames keeps the names of the table apart, since a failure is looked up by them.
func TestRawCaseNames(t *testing.T) {
	var names []string
	for _, c := range slices.Concat(strictness, paths, limits) {
		names = append(names, c.name)
	}
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("two cases have the same name: %q", names)
	}
}
