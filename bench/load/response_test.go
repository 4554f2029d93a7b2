package load

import (
	"strings"
	"testing"
)

// headCases are heads as a server may send them; err is nil for those taken.
var headCases = []struct {
	name   string
	text   string
	toHead bool
	want   head
	err    error
}{
	{name: "content", text: "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", want: head{status: 200, length: 12,
		announced: 12}},
	{name: "names in any case, white space around values", text: "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:\t " +
		"7 \r\n\r\n", want: head{status: 200, length: 7, announced: 7}},
	{name: "an empty reason", text: "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", want: head{status: 404}},
	{name: "RFC 9112 section 9.6 close", text: "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 0\r\n\r\n",
		want: head{status: 200, close: true}},
	{name: "RFC 9112 section 9.3 HTTP/1.0 closes", text: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		want: head{status: 200, close: true, http10: true}},
	{name: "close beats keep-alive on another line", text: "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: " +
		"keep-alive\r\nContent-Length: 0\r\n\r\n", want: head{status: 200, close: true, keep: true}},
	{name: "RFC 9112 section 9.3 HTTP/1.0 keep-alive", text: "HTTP/1.0 200 OK\r\nConnection: " +
		"keep-alive\r\nContent-Length: 0\r\n\r\n", want: head{status: 200, http10: true, keep: true}},
	{name: "close beats keep-alive", text: "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: " +
		"0\r\n\r\n", want: head{status: 200, close: true, http10: true, keep: true}},
	{name: "RFC 9112 section 6.3 HEAD has no content", text: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
		toHead: true, want: head{status: 200, announced: 9}},
	{name: "RFC 9110 section 9.3.2 HEAD without a length", text: "HTTP/1.1 200 OK\r\n\r\n", toHead: true,
		want: head{status: 200, announced: -1}},
	{name: "RFC 9110 section 8.6 304 says another's length", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: " +
		"9\r\n\r\n", want: head{status: 304, announced: 9}},
	{name: "204", text: "HTTP/1.1 204 No Content\r\n\r\n", want: head{status: 204, announced: -1}},
	{name: "a tab and bytes above 7F in a value", text: "HTTP/1.1 200 OK\r\nX: a\tb \xff\r\nContent-Length: 0\r\n\r\n",
		want: head{status: 200}},

	{name: "RFC 9112 section 6.3 no length: until the close", text: "HTTP/1.1 200 OK\r\n\r\n", want: head{status: 200,
		framing: byClose, announced: -1, close: true}},
	{name: "RFC 9112 section 6.3 chunked", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked \r\n\r\n",
		want: head{status: 200, framing: byChunks, announced: -1, coded: true}},
	{name: "RFC 9112 section 6.3 another coding: until the close",
		text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", want: head{status: 200, framing: byClose,
			announced: -1, coded: true, close: true}},
	{name: "RFC 9112 section 6.1 chunked in HTTP/1.0", text: "HTTP/1.0 200 OK\r\nConnection: " +
		"keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", want: head{status: 200, framing: byChunks, announced: -1,
		coded: true, close: true, http10: true, keep: true}},
	{name: "RFC 9112 section 6.3 HEAD of what is chunked", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n", toHead: true, want: head{status: 200, announced: -1, coded: true}},
	{name: "RFC 9110 section 15.2 an interim response", text: "HTTP/1.1 100 Continue\r\n\r\n", want: head{status: 100,
		announced: -1}},

	{name: "204 with content", text: "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n", err: errConflicting},
	{name: "another protocol", text: "HTTP/2.0 200 OK\r\n\r\n", err: errStatusLine},
	{name: "HTTP/1.2", text: "HTTP/1.2 200 OK\r\n\r\n", err: errStatusLine},
	{name: "no reason's space", text: "HTTP/1.1 200\r\n\r\n", err: errStatusLine},
	{name: "four digits", text: "HTTP/1.1 2000 OK\r\n\r\n", err: errStatusLine},
	{name: "a letter in the status", text: "HTTP/1.1 2o0 OK\r\n\r\n", err: errStatusLine},
	{name: "a status below 100", text: "HTTP/1.1 099 OK\r\n\r\n", err: errStatusLine},
	{name: "RFC 9112 section 2.2 LF without CR", text: "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", err: errLineEnd},
	{name: "RFC 9112 section 2.2 LF without CR at the end", text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
		err: errLineEnd},
	{name: "CR within a value", text: "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", err: errFieldValue},
	{name: "NUL within a value", text: "HTTP/1.1 200 OK\r\nX: a\x00bcdefghijklm\r\nContent-Length: 0\r\n\r\n",
		err: errFieldValue},
	{name: "RFC 9112 section 5.1 a space before the colon", text: "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
		err: errFieldName},
	{name: "RFC 9112 section 5.2 a folded line", text: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		err: errFieldName},
	{name: "no name", text: "HTTP/1.1 200 OK\r\n: a\r\n\r\n", err: errFieldName},
	{name: "no colon", text: "HTTP/1.1 200 OK\r\nabc\r\n\r\n", err: errFieldName},
	{name: "RFC 9110 section 8.6 a signed length", text: "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
		err: errLengthValue},
	{name: "RFC 9110 section 8.6 no digits", text: "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", err: errLengthValue},
	{name: "a length that overflows", text: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		err: errLengthValue},
	{name: "RFC 9112 section 6.3 two lengths", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " +
		"1\r\n\r\n", err: errLengthTwice},
	{name: "RFC 9112 section 6.3 chunked and a length", text: "HTTP/1.1 200 OK\r\nContent-Length: " +
		"1\r\nTransfer-Encoding: chunked\r\n\r\n", err: errCodingTwice},
	{name: "another protocol from here", text: "HTTP/1.1 101 Switching Protocols\r\n\r\n", err: errSwitching},
	{name: "a head without an end", text: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", headMax), err: errHeadTooLong},
	{name: "a head that ends too late", text: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", headMax) + "\r\n\r\n",
		err: errHeadTooLong},
}

// TestParseHead has each head parsed whole, with content behind it, and cut off at every byte.
func TestParseHead(t *testing.T) {
	for _, c := range headCases {
		t.Run(c.name, func(t *testing.T) {
			var got head
			n, err := parseHead([]byte(c.text+"content"), c.toHead, &got)
			if err != c.err {
				t.Fatalf("error %v, not %v", err, c.err)
			}
			if err == nil && (n != len(c.text) || got != c.want) {
				t.Errorf("%d bytes, %+v; want %d, %+v", n, got, len(c.text), c.want)
			}
			for cut := range min(len(c.text), 200) {
				if n, err := parseHead([]byte(c.text[:cut]), c.toHead, &got); n != 0 || err != nil && err != c.err {
					t.Fatalf("cut at %d: %d, %v", cut, n, err)
				}
			}
		})
	}
}

// TestHasControl compares the eight-at-a-time scan with the plain one, for each byte at each place.
func TestHasControl(t *testing.T) {
	for _, filler := range []string{" ", "a", "\t", "~", "\x80", "\xff"} {
		for at := range 19 {
			for c := range 256 {
				b := []byte(strings.Repeat(filler, 19))
				b[at] = byte(c)
				if got, want := hasControl(b), c < 0x20 && c != '\t' || c == 0x7f; got != want {
					t.Fatalf("%q: %v, want %v", b, got, want)
				}
			}
		}
	}
}

// TestConsumeSplitAtEveryByte has three pipelined answers of every framing come in two parts, cut anywhere.
func TestConsumeSplitAtEveryByte(t *testing.T) {
	const (
		announced = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 10\r\n\r\n0123456789"
		interim   = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
		chunked   = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"00000000000000000000000000000000000000003;a=\"b\"\r\n012\r\n7 \r\n3456789\r\n0\r\nX: y\r\nZ: \r\n\r\n"
	)
	body := []byte("0123456789")
	for _, text := range []string{announced + announced + announced, chunked + chunked + announced,
		interim + chunked + interim + interim + announced + chunked} {
		stream := []byte(text)
		for cut := range len(stream) + 1 {
			l := testLoop(t, Role{Connections: 1, Pipeline: 3, Targets: []Target{{Body: body}}})
			c := &l.connections[0]
			for range 3 {
				l.out = l.begin(c, l.now, l.out)
			}
			if !l.consume(c, stream[:cut]) || !l.consume(c, stream[cut:]) {
				t.Fatalf("%q, cut at %d: the connection ended: %q", text, cut, c.group.result.First)
			}
			if r := &c.group.result; r.Answered != 3 || r.Compared != 3 || c.flight.len != 0 {
				t.Fatalf("%q, cut at %d: %+v with %d in flight", text, cut, r.Counts, c.flight.len)
			}
			if err := l.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestChunkFraming: each is no framing of chunks, whole and byte by byte.
func TestChunkFraming(t *testing.T) {
	for text, want := range map[string]error{
		"\r\n":                              errChunkLine,
		"g\r\n":                             errChunkLine,
		";x\r\n":                            errChunkLine,
		"5\n":                               errChunkLine,
		"5\rx":                              errChunkLine,
		"5;x\n":                             errChunkLine,
		"-5\r\n":                            errChunkLine,
		"0x5\r\n":                           errChunkLine,
		"0\r\nX: y\r\n\rx":                  errChunkLine,
		"ffffffffffffffff\r\n":              errChunkLong,
		"5;" + strings.Repeat("x", headMax): errChunkLong,
		strings.Repeat("0", headMax+1):      errChunkLong,
		"0\r\n" + strings.Repeat("X: y\r\n", 8000): errChunkLong,
	} {
		var whole, single chunks
		_, err := whole.next([]byte(text))
		var parted error
		for i := 0; i < len(text) && parted == nil; i++ {
			_, parted = single.next([]byte{text[i]})
		}
		if err != want || parted != want {
			t.Errorf("%.20q: %v whole and %v byte by byte, want %v", text, err, parted, want)
		}
	}
}

// testLoop is a loop that no goroutine runs.
func testLoop(t *testing.T, r Role) *loop {
	t.Helper()
	r.Addr = loopback(9)
	o := Options{Roles: []Role{r}, Duration: 1, CheckEvery: 1}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	l, err := newLoop(&run{opts: o}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
