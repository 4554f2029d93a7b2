package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// hidden is a request that stands where one of two servers that disagree about a
// body's length would find one. Nobody is to answer it.
const hidden = "GET /secret.txt HTTP/1.1\r\nHost: x\r\n\r\n"

// framings are heads about whose body's end two readers could disagree, with a hidden request behind them (RFC 9112
// section 11.2). Each is refused, and the connection is closed after that one answer.
var framings = []struct {
	name, fields, body string
	status             int
}{
	{"both, length first", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400},
	{"both, coding first", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n", 400},
	{"both, the length is 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400},
	{"two lengths that differ", "Content-Length: 0\r\nContent-Length: 38\r\n", "", 400},
	{"two lengths in one field", "Content-Length: 0, 38\r\n", "", 400},
	{"lengths, one of them empty", "Content-Length: 0,\r\n", "", 400},
	{"a length with a plus", "Content-Length: +0\r\n", "", 400},
	{"a length with an inner space", "Content-Length: 3 8\r\n", "", 400},
	{"a length with an underscore", "Content-Length: 3_8\r\n", "", 400},
	{"a length with an exponent", "Content-Length: 0e1\r\n", "", 400},
	{"a length with a point", "Content-Length: 0.0\r\n", "", 400},
	{"a length in other digits", "Content-Length: \xd9\xa3\xd9\xa8\r\n", "", 400},
	{"a length with a vertical tab", "Content-Length: \v38\r\n", "", 400},
	{"a length with a NUL", "Content-Length: 38\x00\r\n", "", 400},
	{"a length behind a space in its name", "Content-Length : 38\r\n", "", 400},
	{"a length on a folded line", "Content-Length:\r\n 38\r\n", "", 400},
	{"a length behind a bare CR", "A: b\rContent-Length: 38\r\n", "", 400},
	{"a length behind a bare LF", "A: b\nContent-Length: 38\r\n", "", 400},
	{"a length of 2^64", "Content-Length: 18446744073709551616\r\n", "", 400},
	{"a length of 2^64 and 38", "Content-Length: 18446744073709551654\r\n", "", 400},
	{"a coding behind a vertical tab", "Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n", 400},
	{"a coding behind a space in its name", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n", 400},
	{"a coding on a folded line", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n", 400},
	{"a coding that only begins like one", "Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n", 501},
	{"a coding that only ends like one", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", 501},
	{"a coding in quotes", "Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n", 400},
	{"identity, which is none any more", "Transfer-Encoding: identity\r\n", "0\r\n\r\n", 501},
	{"identity beside a length", "Transfer-Encoding: identity\r\nContent-Length: 38\r\n", "", 501},
	{"chunked and identity", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n", 400},
	{"chunked and identity in two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n",
		400},
	{"chunked with a parameter", "Transfer-Encoding: chunked;q=0.5\r\n", "0\r\n\r\n", 400},
	{"an empty coding", "Transfer-Encoding:\r\n", "0\r\n\r\n", 400},
	{"an empty coding beside a length", "Transfer-Encoding: \r\nContent-Length: 38\r\n", "", 400},
	{"a chunk's size with a sign", "Transfer-Encoding: chunked\r\n", "+0\r\n\r\n", 400},
	{"a chunk's size with 0x", "Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n", 400},
	{"a chunk's size behind a space", "Transfer-Encoding: chunked\r\n", " 0\r\n\r\n", 400},
	{"a chunk's size with an underscore", "Transfer-Encoding: chunked\r\n", "0_0\r\n\r\n", 400},
	{"a chunk's size that wraps", "Transfer-Encoding: chunked\r\n", "10000000000000000\r\n", 400},
	{"an empty chunk's size", "Transfer-Encoding: chunked\r\n", "\r\n\r\n", 400},
	{"a chunk's line that ends in LF", "Transfer-Encoding: chunked\r\n", "0\n\r\n", 400},
	{"a chunk's extension with a bare CR", "Transfer-Encoding: chunked\r\n", "0;a\rb\r\n\r\n", 400},
	{"a chunk's extension with an LF", "Transfer-Encoding: chunked\r\n", "0;a\n\r\n\r\n", 400},
	{"chunk data without its end", "Transfer-Encoding: chunked\r\n", "1\r\naX0\r\n\r\n", 400},
	{"a trailer that is folded", "Transfer-Encoding: chunked\r\n", "0\r\nA: b\r\n c\r\n\r\n", 400},
	{"a trailer without a colon", "Transfer-Encoding: chunked\r\n", "0\r\nabc\r\n\r\n", 400},
}

// TestConflictingFraming: there is one answer, a refusal, and none to the hidden request, sent in one piece or cut
// in two.
func TestConflictingFraming(t *testing.T) {
	twoVariants(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "hello.txt", []byte(hello))
		write(t, root, "secret.txt", []byte("the hidden request was answered"))
		s := start(t, v, root)
		for _, c := range framings {
			for _, method := range []string{"GET", "POST"} {
				first := method + " /hello.txt HTTP/1.1\r\nHost: x\r\n" + c.fields + "\r\n"
				for _, pieces := range [][]string{{first + c.body + hidden}, {first, c.body + hidden},
					{first + c.body, hidden}} {
					got, err := parseAnswers(s.sendPieces(t, pieces))
					if err != nil || len(got) != 1 || got[0].status != c.status || !got[0].close {
						t.Errorf("%s, %s in %d pieces: %d answers, %v: %+v, want one of %d that closes", c.name, method,
							len(pieces), len(got), err, got, c.status)
					}
				}
			}
		}
	})
}

// sendPieces sends the pieces on a connection of their own, and returns all that comes back.
func (s *server) sendPieces(t *testing.T, pieces []string) []byte {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	send(c, pieces)
	_ = c.CloseWrite() // which fails where the server has closed already
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(got), err)
	}
	return got
}

// oversized are requests that are too large in one respect, and the status that each of them gets.
var oversized = []struct {
	name, in string
	status   int
}{
	{"method", strings.Repeat("M", 100_000) + " / HTTP/1.1\r\nHost: x\r\n\r\n", 501},
	{"target", head("GET /"+strings.Repeat("a/", 50_000)+" HTTP/1.1", host), 414},
	{"query", head("GET /?"+strings.Repeat("a=b&", 25_000)+" HTTP/1.1", host), 414},
	{"host of an absolute target", head("GET http://"+strings.Repeat("a.", 50_000)+"/ HTTP/1.1", host), 414},
	{"version", head("GET / HTTP/1."+strings.Repeat("1", 100_000), host), 414},
	{"Host", head(line, "Host: "+strings.Repeat("a", 100_000)), 431},
	{"field name", head(line, host, strings.Repeat("A", 100_000)+": b"), 431},
	{"field value", head(line, host, "A: "+strings.Repeat("b", 100_000)), 431},
	{"fields in number", head(line, append(fields(5_000), host)...), 431},
	{"empty fields in number", line + "\r\n" + host + "\r\n" + strings.Repeat("A:\r\n", 20_000) + "\r\n", 431},
	{"Range", head(line, host, "Range: bytes="+strings.Repeat("0-0,", 25_000)+"1-1"), 431},
	{"Accept-Encoding", head(line, host, "Accept-Encoding: "+strings.Repeat("gzip;q=0.001,", 10_000)), 431},
	{"If-None-Match", head(line, host, "If-None-Match: "+strings.Repeat(`"a",`, 25_000)), 431},
	{"Cookie", head(line, host, "Cookie: "+strings.Repeat("a=b; ", 20_000)), 431},
	{"length of a body that does not come", head(line, host, "Content-Length: 9223372036854775807"), 413},
	{"body", head("POST / HTTP/1.1", host, "Content-Length: 10000000") + strings.Repeat("b", 100_000), 413},
	{"chunk that does not come", head(line, host, te) + "7fffffffffffffff\r\n", 413},
	{"chunks in number", head("POST / HTTP/1.1", host, te) + strings.Repeat("1\r\na\r\n", 70_000), 413},
	{"chunk extensions", head(line, host, te) + strings.Repeat("1;"+strings.Repeat("a", 4000)+"\r\nb\r\n", 30), 413},
	{"trailers", head(line, host, te) + "0\r\n" + strings.Repeat("A: b\r\n", 20_000), 431},
	{"empty lines in number", strings.Repeat("\r\n", 50_000), 400},
}

// TestOversizedLeavesNothing floods the server with what is too large, whole and cut short, and
// looks at what it holds afterwards: descriptors, goroutines and memory are where they were.
func TestOversizedLeavesNothing(t *testing.T) {
	twoVariants(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "hello.txt", []byte(hello))
		write(t, root, "index.html", []byte(hello))
		c := startControlled(t, v, root, "", "--loops", "2")
		c.warm(t, "/", "/hello.txt")
		for _, o := range oversized {
			if status := c.firstStatus(t, o.in); status != o.status {
				t.Errorf("%s: %d, want %d", o.name, status, o.status)
			}
		}
		before := c.atRest(t)
		const rounds, abandoned = 3, 100
		for range rounds {
			for _, o := range oversized {
				c.firstStatus(t, o.in)
			}
			var held []net.Conn
			for i := range abandoned { // heads and bodies that never end
				conn := c.dial(t)
				part := oversized[i%len(oversized)].in
				_, err := io.WriteString(conn, part[:min(len(part)/2, 7000)])
				must(t, err)
				held = append(held, conn)
			}
			for _, conn := range held {
				conn.Close()
			}
		}
		// The control plane's own connections come and go: a few more are no leak, of so many requests.
		const few = 4
		eventually(t, func() error {
			after := c.atRest(t)
			if after.descriptors > before.descriptors+few || after.goroutines > before.goroutines+few ||
				after.heap > before.heap+1<<20 {
				return fmt.Errorf("before %+v, after %+v", before, after)
			}
			return nil
		})
		if got := c.server.get(t, "/hello.txt"); got.status != 200 || string(got.body) != hello {
			t.Errorf("afterwards: %d %q", got.status, got.body)
		}
	})
}

// firstStatus sends all of a request that may be refused before its end, and returns the status it got.
func (s *server) firstStatus(t *testing.T, in string) int {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		send(c, []string{in})
		_ = c.CloseWrite() // as in sendPieces
	}()
	got, err := http.ReadResponse(bufio.NewReader(c), nil)
	c.Close()
	<-sent
	if err != nil {
		t.Errorf("%.40q...: %v", in, err)
		return 0
	}
	return got.StatusCode
}

// resting is what a server without connections holds.
type resting struct {
	descriptors, goroutines int
	heap                    int64 // bytes in use after a garbage collection
}

// heapInUse finds, in the runtime's own report, the bytes that live in the heap.
var heapInUse = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// atRest waits until no client is left, and returns what the server holds then.
func (c *controlled) atRest(t *testing.T) (now resting) {
	t.Helper()
	var got map[string]float64
	eventually(t, func() (err error) {
		if got, err = c.metrics(); err != nil {
			return err
		}
		for name, value := range got {
			if strings.HasPrefix(name, "evhttpd_connections{") && value > 0 {
				return fmt.Errorf("%s is %v", name, value)
			}
		}
		return nil
	})
	now.goroutines = int(got["go_goroutines"])
	var body string
	for range 2 { // what a pool holds outlives one collection
		var err error
		_, body, err = c.ask(false, "GET", "/debug/pprof/heap?gc=1&debug=1")
		must(t, err)
	}
	m := heapInUse.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no HeapAlloc in %.500q", body)
	}
	_, err := fmt.Sscan(m[1], &now.heap)
	must(t, err)
	now.descriptors, _ = c.descriptors(t)
	return now
}
