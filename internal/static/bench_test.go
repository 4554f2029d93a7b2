package static

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
)

// again steps one connection with the same request over and over.
type again struct {
	peer script
	conn conn.Conn
	loop *loop
	raw  []byte
}

func newAgain(l *loop, raw string) *again {
	a := &again{loop: l, raw: []byte(raw)}
	a.peer.quiet = true
	a.conn.Start(l.local, l.addr, false)
	return a
}

func (a *again) step() {
	a.peer.in = a.raw
	a.loop.local.Alone = a.loop.alone
	if want := a.conn.Step(&a.peer, a.loop.local); want != conn.WantRead {
		a.loop.t.Fatalf("Step wants %d", want)
	}
}

// TestNoAllocations holds the answers of steady state to none.
func TestNoAllocations(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/small.html", strings.Repeat("x", 1024))
	write(t, dir+"/medium.html", strings.Repeat("x", 64<<10))
	write(t, dir+"/large.bin", strings.Repeat("x", 1<<20))
	write(t, dir+"/sub/index.html", "index")
	write(t, dir+"/coded.js", strings.Repeat("x", 1024))
	write(t, dir+"/coded.js.gz", strings.Repeat("y", 512))
	const end = " HTTP/1.1\r\nHost: a\r\n"
	cases := map[string]string{
		"small":       "GET /small.html" + end + "\r\n",
		"medium":      "GET /medium.html" + end + "\r\n",
		"sendfile":    "GET /large.bin" + end + "\r\n",
		"index":       "GET /sub/" + end + "\r\n",
		"HEAD":        "HEAD /small.html" + end + "\r\n",
		"404":         "GET /missing" + end + "\r\n",
		"redirect":    "GET /sub?a=b" + end + "\r\n",
		"304 by date": "GET /small.html" + end + "If-Modified-Since: Sat, 01 Jun 2024 00:00:00 GMT\r\n\r\n",
		"304 by etag": "GET /small.html" + end + "If-None-Match: *\r\n\r\n",
		"206":         "GET /small.html" + end + "Range: bytes=10-19\r\n\r\n",
		"multipart":   "GET /medium.html" + end + "Range: bytes=0-9,20-29,5000-10000\r\n\r\n",
		"coded":       "GET /coded.js" + end + "Accept-Encoding: gzip, deflate, br, zstd\r\n\r\n",
		"not coded":   "GET /small.html" + end + "Accept-Encoding: gzip, deflate, br, zstd\r\n\r\n",
		"OPTIONS":     "OPTIONS *" + end + "\r\n",
	}
	for name, raw := range cases {
		t.Run(name, func(t *testing.T) {
			l := serve(t, precompressedOptions(dir), false)
			l.send(raw)
			a := newAgain(l, raw)
			a.step()
			if n := testing.AllocsPerRun(200, a.step); n != 0 {
				t.Errorf("%v allocations a request", n)
			}
		})
	}
	t.Run("unchanged file looked at again", func(t *testing.T) {
		l := serve(t, testOptions(dir), false)
		if !l.site.root.Load().local {
			t.Skip("this file system is only looked at by the pool")
		}
		l.send(cases["small"])
		a := newAgain(l, cases["small"])
		l.alone = true
		a.step()
		if n := testing.AllocsPerRun(200, a.step); n != 0 {
			t.Errorf("%v allocations a request", n)
		}
	})
	t.Run("unchanged siblings looked at again", func(t *testing.T) {
		l := serve(t, precompressedOptions(dir), false)
		if !l.site.root.Load().local {
			t.Skip("this file system is only looked at by the pool")
		}
		l.send(cases["coded"])
		a := newAgain(l, cases["coded"])
		l.alone = true
		step := func() {
			l.advance(2 * time.Second)
			a.step()
		}
		step()
		if n := testing.AllocsPerRun(200, step); n != 0 {
			t.Errorf("%v allocations a request", n)
		}
	})
}

func benchmark(b *testing.B, raw string, prepare func(*loop)) {
	dir := b.TempDir()
	write(b, dir+"/small.html", strings.Repeat("x", 1024))
	write(b, dir+"/large.bin", strings.Repeat("x", 1<<20))
	write(b, dir+"/coded.js", strings.Repeat("x", 1024))
	write(b, dir+"/coded.js.gz", strings.Repeat("y", 512))
	l := serve(b, precompressedOptions(dir), false)
	l.send(raw)
	a := newAgain(l, raw)
	prepare(l)
	a.step()
	b.ReportAllocs()
	for b.Loop() {
		a.step()
	}
}

// The requests, each with what wrk sends. Step and the parser are in the figures.
const (
	benchSmall    = "GET /small.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	benchLarge    = "GET /large.bin HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	benchMissing  = "GET /missing HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	benchCoded    = "GET /coded.js HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n"
	benchNotCoded = "GET /small.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\n\r\n"
	bench304 = "GET /small.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nIf-None-Match: \"a-b\", *\r\n\r\n"
)

func BenchmarkHit(b *testing.B)      { benchmark(b, benchSmall, func(*loop) {}) }
func BenchmarkCoded(b *testing.B)    { benchmark(b, benchCoded, func(*loop) {}) }
func BenchmarkNotCoded(b *testing.B) { benchmark(b, benchNotCoded, func(*loop) {}) }
func BenchmarkSendfile(b *testing.B) { benchmark(b, benchLarge, func(*loop) {}) }
func BenchmarkMissing(b *testing.B)  { benchmark(b, benchMissing, func(*loop) {}) }
func Benchmark304(b *testing.B)      { benchmark(b, bench304, func(*loop) {}) }

// BenchmarkLook has the file looked at for every request, as for one that comes alone.
func BenchmarkLook(b *testing.B) {
	benchmark(b, benchSmall, func(l *loop) { l.alone = true })
}

// BenchmarkRanges has Range fields made to cost: no request may take more than a millisecond.
func BenchmarkRanges(b *testing.B) {
	many := func(n int, spec func(i int) string) string {
		var v strings.Builder
		for i := range n {
			v.WriteString(spec(i))
		}
		return "GET /large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=" + v.String() + "\r\n\r\n"
	}
	overlapping := func(int) string { return "0-," }
	backwards := func(i int) string { return strconv.Itoa((1024-i)*20) + "-" + strconv.Itoa((1024-i)*20+9) + "," }
	apart := func(i int) string { return strconv.Itoa(i*20) + "-" + strconv.Itoa(i*20+9) + "," }
	for _, c := range []struct {
		name, raw string
		limit     int
	}{
		{"16", many(16, apart), 0},
		{"256", many(256, apart), 0},
		{"256 backwards", many(256, backwards), 0},
		{"1024 backwards of 1024", many(1024, backwards), 1024},
		{"overlapping 10000", many(10_000, overlapping), 0},
		{"overlapping 1024 of 1024", many(1024, overlapping), 1024},
		{"apart 1024 of 1024", many(1024, apart), 1024},
		{"empty 30000", many(30_000, func(int) string { return "," }), 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			write(b, dir+"/large.bin", strings.Repeat("x", 1<<20))
			opts := testOptions(dir)
			opts.Ranges = c.limit
			l := serve(b, opts, false)
			l.local.Config.Limits.Head = 64 << 10
			l.send(c.raw)
			a := newAgain(l, c.raw)
			a.step()
			b.ReportAllocs()
			for b.Loop() {
				a.step()
			}
		})
	}
}

// BenchmarkMany asks for 10,000 files in turn, each good for a second that
// does not pass.
func BenchmarkMany(b *testing.B) {
	dir := b.TempDir()
	l := serve(b, testOptions(dir), false)
	var all []*again
	for i := range 10000 {
		name := "/" + strings.Repeat("d", i%7) + time.Duration(i).String()
		write(b, dir+name, strings.Repeat("x", 1024))
		raw := "GET " + name + " HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
		l.send(raw)
		all = append(all, newAgain(l, raw))
	}
	i := 0
	for b.Loop() {
		all[i].step()
		if i += 7919; i >= len(all) {
			i -= len(all)
		}
	}
}
