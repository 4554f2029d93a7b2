package http1

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"
)

// bodyOutcome is what a body came to. at is an offset in the whole body.
type bodyOutcome struct {
	n        int
	done     bool
	err      string
	received int64
}

func consume(body Body, lim *Limits, parts ...[]byte) bodyOutcome {
	var o bodyOutcome
	for _, p := range parts {
		n, done, bad := body.Consume(p, lim)
		if bad.Status != 0 {
			bad.At += o.n
			o.err = bad.Error()
		}
		o.n += n
		o.done = done
		if done || bad.Status != 0 {
			break
		}
	}
	o.received = body.Received()
	return o
}

// checkBodySplits fails if the outcome depends on how p arrives, and returns the outcome.
func checkBodySplits(t *testing.T, body Body, p []byte, lim *Limits) bodyOutcome {
	t.Helper()
	whole := consume(body, lim, p)
	var bytes [][]byte
	for k := range p {
		if got := consume(body, lim, p[:k], p[k:]); got != whole {
			t.Fatalf("%q split at %d: %+v, whole: %+v", p, k, got, whole)
		}
		bytes = append(bytes, p[k:k+1])
	}
	if len(p) > 0 {
		if got := consume(body, lim, bytes...); got != whole {
			t.Fatalf("%q byte by byte: %+v, whole: %+v", p, got, whole)
		}
	}
	return whole
}

func chunked() (b Body) {
	b.Start(&Request{Framing: ChunkedBody})
	return b
}

func lengthOf(n int64) (b Body) {
	b.Start(&Request{Framing: LengthBody, Length: n})
	return b
}

var acceptedChunks = []struct {
	name, body string
	received   int64
}{
	{"RFC 9112 7.1 no chunk", "0\r\n\r\n", 0},
	{"RFC 9112 7.1 chunks", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 6},
	{"RFC 9112 7.1 LF and CR in the data", "4\r\n\r\n\n\r\r\n0\r\n\r\n", 4},
	{"RFC 9112 7.1 hexadecimal in both cases", "aA\r\n" + strings.Repeat("x", 0xAA) + "\r\n0\r\n\r\n", 0xAA},
	{"RFC 9112 7.1 sixteen digits", "0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", 1},
	{
		"RFC 9112 7.1 leading zeros",
		strings.Repeat(
			"0",
			40,
		) + "1\r\nx\r\n" + strings.Repeat(
			"0",
			127,
		) + "a\r\n0123456789\r\n" + strings.Repeat(
			"0",
			128,
		) + "\r\n\r\n",
		11,
	},
	{"RFC 9112 7.1.1 extensions", "1;a;b=c;d=\"e\"\r\nx\r\n0;f\r\n\r\n", 1},
	{"RFC 9112 7.1.1 bad white space", "1 \t; \ta \t= \tb\t ;\tc \t;d = \"e\" ; f\r\nx\r\n0\r\n\r\n", 1},
	{"RFC 9112 7.1.1 quoted string", "1;a=\"\\\"\\\\;,= \t\x80\"\r\nx\r\n0\r\n\r\n", 1},
	{"RFC 9112 7.1.2 trailers", "0\r\nA: b\r\nC:\r\nD: \te\x80 \r\n\r\n", 0},
	{
		"RFC 9110 6.5.1 forbidden trailers are discarded",
		"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n",
		0,
	},
}

func TestChunkedAccepts(t *testing.T) {
	for _, c := range acceptedChunks {
		t.Run(c.name, func(t *testing.T) {
			for _, behind := range []string{"", "GET / HTTP/1.1\r\n", "0\r\n\r\n", "\n"} {
				got := checkBodySplits(t, chunked(), []byte(c.body+behind), &testLimits)
				if want := (bodyOutcome{n: len(c.body), done: true, received: c.received}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			for k := range c.body {
				if got := consume(chunked(), &testLimits, []byte(c.body[:k])); got.done || got.n != k || got.err != "" {
					t.Errorf("%q: %+v", c.body[:k], got)
				}
			}
		})
	}
}

var refusedChunks = []struct{ name, body, want string }{
	{"RFC 9112 7.1 no size", "\r\nx", "400: bad chunk size at byte 0 (RFC 9112 section 7.1)"},
	{"RFC 9112 7.1 sign", "-1\r\nx", "400: bad chunk size at byte 0 (RFC 9112 section 7.1)"},
	{"RFC 9112 7.1 prefix", "0x1\r\nx", "400: bad chunk size at byte 1 (RFC 9112 section 7.1)"},
	{"RFC 9112 7.1 space before the size", " 1\r\nx", "400: bad chunk size at byte 0 (RFC 9112 section 7.1)"},
	{
		"RFC 9112 7.1 leading zeros without end",
		strings.Repeat("0", 128) + "1\r\nx",
		"400: chunk size of more than 128 digits at byte 128 (RFC 9112 section 7.1)",
	},
	{"RFC 9112 7.1 overflow", "8000000000000000\r\nx", "400: chunk size overflows at byte 15 (RFC 9112 section 7.1)"},
	{"RFC 9112 7.1 LF behind the size", "1\nx\r\n",
		"400: LF without CR at byte 1 (RFC 9112 section 2.2; with nc use -C)"},
	{"RFC 9112 7.1 CR behind the size", "1\rx\r\n", "400: CR without LF at byte 2 (RFC 9112 section 2.2)"},
	{
		"RFC 9112 7.1 LF behind an extension",
		"1;a\nx\r\n",
		"400: LF without CR at byte 3 (RFC 9112 section 2.2; with nc use -C)",
	},
	{
		"RFC 9112 7.1 LF in a quoted string",
		"1;a=\"\n\"\r\nx\r\n",
		"400: LF without CR at byte 5 (RFC 9112 section 2.2; with nc use -C)",
	},
	{"RFC 9112 7.1 CR in a quoted string", "1;a=\"\r\n\"\r\nx\r\n",
		"400: CR without LF at byte 5 (RFC 9112 section 2.2)"},
	{
		"RFC 9112 7.1 LF behind the data",
		"1\r\nx\n0\r\n",
		"400: LF without CR at byte 4 (RFC 9112 section 2.2; with nc use -C)",
	},
	{"RFC 9112 7.1 CR behind the data", "1\r\nx\r0\r\n", "400: CR without LF at byte 5 (RFC 9112 section 2.2)"},
	{
		"RFC 9112 7.1 data longer than its size",
		"1\r\nxy\r\n",
		"400: chunk data longer than its size at byte 4 (RFC 9112 section 7.1)",
	},
	{"RFC 9112 7.1 LF ends the body", "0\r\n\n", "400: LF without CR at byte 3 (RFC 9112 section 2.2; with nc use -C)"},
	{"RFC 9112 7.1 CR ends the body", "0\r\n\rx", "400: CR without LF at byte 4 (RFC 9112 section 2.2)"},
	{"RFC 9112 7.1.1 white space and no extension", "1 \r\nx", "400: CR without LF at byte 2 (RFC 9112 section 2.2)"},
	{"RFC 9112 7.1.1 no name", "1;=a\r\n", "400: bad chunk extension at byte 2 (RFC 9112 section 7.1.1)"},
	{"RFC 9112 7.1.1 two words", "1;a b\r\n", "400: bad chunk extension at byte 4 (RFC 9112 section 7.1.1)"},
	{"RFC 9112 7.1.1 two words behind the size", "1 a\r\n",
		"400: bad chunk extension at byte 2 (RFC 9112 section 7.1.1)"},
	{
		"RFC 9112 7.1.1 text behind a quoted string",
		"1;a=\"b\"c\r\n",
		"400: bad chunk extension at byte 7 (RFC 9112 section 7.1.1)",
	},
	{
		"RFC 9112 7.1.1 escaped control",
		"1;a=\"\\\x00\"\r\n",
		"400: bad chunk extension at byte 6 (RFC 9112 section 7.1.1)",
	},
	{
		"RFC 9112 7.1.2 space before the colon",
		"0\r\nA : b\r\n\r\n",
		"400: white space before the colon at byte 4 (RFC 9112 section 5.1)",
	},
	{"RFC 9112 7.1.2 no colon", "0\r\nAB\r\n\r\n", "400: field line without a colon at byte 5 (RFC 9112 section 5)"},
	{"RFC 9112 7.1.2 no name", "0\r\n: b\r\n\r\n", "400: empty field name at byte 3 (RFC 9110 section 5.1)"},
	{"RFC 9112 7.1.2 bad name", "0\r\nA(: b\r\n\r\n", "400: bad byte in a field name at byte 4 (RFC 9110 section 5.1)"},
	{
		"RFC 9112 7.1.2 bad first byte",
		"0\r\n\x00: b\r\n\r\n",
		"400: bad byte in a field name at byte 3 (RFC 9110 section 5.1)",
	},
	{"RFC 9112 7.1.2 folded line", "0\r\nA: b\r\n c\r\n\r\n",
		"400: folded field line at byte 9 (RFC 9112 section 5.2)"},
	{
		"RFC 9112 7.1.2 control in a value",
		"0\r\nA: \x7f\r\n\r\n",
		"400: control character in a field value at byte 6 (RFC 9110 section 5.5)",
	},
	{"RFC 9112 7.1.2 CR in a value", "0\r\nA: \rb\r\n\r\n", "400: CR without LF at byte 7 (RFC 9112 section 2.2)"},
	{
		"RFC 9112 7.1.2 LF in a value",
		"0\r\nA: b\n\r\n",
		"400: LF without CR at byte 7 (RFC 9112 section 2.2; with nc use -C)",
	},
}

func TestChunkedRefuses(t *testing.T) {
	for _, c := range refusedChunks {
		t.Run(c.name, func(t *testing.T) {
			for _, behind := range []string{"", "\r\n\r\n"} {
				got := checkBodySplits(t, chunked(), []byte(c.body+behind), &testLimits)
				if got.done || got.err != c.want {
					t.Errorf("done %v\ngot  %s\nwant %s", got.done, got.err, c.want)
				}
			}
		})
	}
}

func TestChunkExtensionsLimitRFC9112Section7_1_1(t *testing.T) {
	const line = "1;" // and 1,023 bytes and CR: a quarter of the limit
	chunks := strings.Repeat(line+strings.Repeat("a", 1023)+"\r\nx\r\n", 4)
	last := []byte("0;a\r\n\r\n")
	got := consume(chunked(), &testLimits, []byte(chunks), last[:1], last[1:])
	want := fmt.Sprintf("413: chunk extensions over the limit at byte %d (RFC 9112 section 7.1.1)", len(chunks)+2)
	if got.err != want {
		t.Errorf("got  %s\nwant %s", got.err, want)
	}
	if got := consume(chunked(), &testLimits, []byte(chunks), []byte("0\r\n\r\n")); !got.done {
		t.Errorf("at the limit: %+v", got)
	}
}

func TestBodyLength(t *testing.T) {
	const next = "GET / HTTP/1.1\r\n\r\n"
	for _, n := range []int64{0, 1, 5, 18} {
		got := checkBodySplits(t, lengthOf(n), []byte(next), &testLimits)
		if want := (bodyOutcome{n: int(n), done: true, received: n}); n > 0 && got != want {
			t.Errorf("length %d: got %+v, want %+v", n, got, want)
		}
	}
	var none Body
	none.Start(&Request{})
	for _, body := range []Body{none, lengthOf(0)} {
		if n, done, bad := body.Consume([]byte(next), &testLimits); n != 0 || !done || bad.Status != 0 || !body.Done() {
			t.Errorf("no body: %d bytes, done %v, %v", n, done, bad)
		}
	}
	body := lengthOf(19)
	if n, done, _ := body.Consume([]byte(next), &testLimits); n != 18 || done || body.Done() || body.Received() != 18 {
		t.Errorf("one byte is missing: %d bytes, done %v", n, done)
	}
}

func TestBodyLimits(t *testing.T) {
	const tooLarge = "413: body over the limit at byte %d (RFC 9110 section 15.5.14)"
	for _, c := range []struct {
		name string
		body Body
		p    string
		lim  Limits
		want string
	}{
		{"RFC 9110 15.5.14 length at the limit", lengthOf(5), "abcde", Limits{Body: 5}, ""},
		{"RFC 9110 15.5.14 length over the limit", lengthOf(6), "abcdef", Limits{Body: 5}, fmt.Sprintf(tooLarge, 0)},
		{
			"RFC 9110 15.5.14 largest length", lengthOf(math.MaxInt64), "abcdef", Limits{Body: math.MaxInt64 - 1},
			fmt.Sprintf(tooLarge, 0),
		},
		{"RFC 9110 15.5.14 chunks at the limit", chunked(), "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Limits{Body: 5}, ""},
		{
			"RFC 9110 15.5.14 chunks over the limit", chunked(), "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", Limits{Body: 5},
			fmt.Sprintf(tooLarge, 10),
		},
		{"RFC 9110 15.5.14 largest chunk", chunked(), "7fffffffffffffff\r\n", Limits{Body: 5},
			fmt.Sprintf(tooLarge, 17)},
		{
			"RFC 9112 7.1 chunks whose sum overflows", chunked(), "1\r\na\r\n7fffffffffffffff\r\n", Limits{},
			"400: chunk size overflows at byte 23 (RFC 9112 section 7.1)",
		},
		{"RFC 6585 5 trailers at the limit", chunked(), "0\r\nA:b\r\n\r\n", Limits{Head: 7}, ""},
		{
			"RFC 6585 5 trailers over the limit", chunked(), "0\r\nA:b\r\n\r\n", Limits{Head: 6},
			"431: head over the limit at byte 9 (RFC 6585 section 5)",
		},
		{"RFC 6585 5 trailer fields at the limit", chunked(), "0\r\nA:b\r\nA:b\r\n\r\n", Limits{Fields: 2}, ""},
		{
			"RFC 6585 5 trailer fields over the limit", chunked(), "0\r\nA:b\r\nA:b\r\n\r\n", Limits{Fields: 1},
			"431: more fields than the limit at byte 8 (RFC 6585 section 5)",
		},
		{
			"RFC 6585 5 trailer fields over the cap", chunked(), "0\r\n" + strings.Repeat("A:b\r\n", 300), Limits{},
			"431: more fields than the limit at byte 1273 (RFC 6585 section 5)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := checkBodySplits(t, c.body, []byte(c.p), &c.lim)
			if got.err != c.want || got.done != (c.want == "") {
				t.Errorf("done %v\ngot  %s\nwant %s", got.done, got.err, c.want)
			}
		})
	}
}

func TestBodyJudgesADeclaredLengthBeforeItsFirstByte(t *testing.T) {
	body := lengthOf(6)
	if n, done, bad := body.Consume(nil, &Limits{Body: 5}); n != 0 || done || bad.Status != 413 {
		t.Errorf("%d bytes, done %v, %v", n, done, bad)
	}
	if n, done, bad := body.Consume(nil, &Limits{Body: 6}); n != 0 || done || bad.Status != 0 {
		t.Errorf("%d bytes, done %v, %v", n, done, bad)
	}
}

func TestBodyIsSmallAndAllocatesNothing(t *testing.T) {
	if size := unsafe.Sizeof(Body{}); size > 40 {
		t.Errorf("a Body takes %d bytes", size)
	}
	good, bad := []byte(acceptedChunks[1].body), []byte(refusedChunks[1].body)
	consumeBoth := func() {
		body := chunked()
		body.Consume(good, &testLimits)
		body = chunked()
		body.Consume(bad, &testLimits)
	}
	if n := testing.AllocsPerRun(100, consumeBoth); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
