package conn

import (
	"bytes"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// nullTransport gives the same bytes whenever it was told to, and takes everything.
type nullTransport struct {
	input []byte
	ready bool
	sends int
}

func (t *nullTransport) Recv(p []byte) (int, error) {
	if !t.ready {
		return 0, ErrAgain
	}
	t.ready = false
	return copy(p, t.input), nil
}

func (t *nullTransport) Send(head, body []byte, _ bool) (int, error) {
	t.sends++
	return len(head) + len(body), nil
}

func (t *nullTransport) SendFile(_ *sendfile.File, _, count int64) (int64, error) { return count, nil }
func (t *nullTransport) Resident(*sendfile.File, int64, int64) bool               { return true }
func (t *nullTransport) CloseWrite() error                                        { return nil }
func (t *nullTransport) Hangup() (half, all bool)                                 { return false, false }
func (t *nullTransport) Unacked() int                                             { return 0 }

// small answers like a file server does from its cache: a head that stands ready and 1 KiB.
type small struct{ head, body []byte }

func newSmall() *small {
	return &small{
		head: []byte("Content-Type: text/plain; charset=utf-8\r\n" +
			"Content-Length: 1024\r\nETag: \"18b5c7a3f2e10000-400\"\r\nLast-Modified: Sat, 01 Nov 2025 10:00:00 GMT" +
			"\r\nAccept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n"),
		body: bytes.Repeat([]byte("x"), 1024),
	}
}

func (h *small) Serve(_ *http1.Request, _ []byte, out *Output) {
	out.Head(200, h.head)
	out.Shared(h.body)
}

func benchConfig() *Config {
	return &Config{
		Server: "evhttpd",
		Limits: http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
		Output: 256 << 10, TurnRequests: 64, TurnBytes: 256 << 10,
		FirstByte: 30 * time.Second, Head: 10 * time.Second, Body: 20 * time.Second, Send: 2 * time.Minute,
		KeepAlive: 75 * time.Second, Deferred: 30 * time.Second, Lifetime: time.Hour,
	}
}

const benchRequest = "GET /1k.txt HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"

func benchmarkStep(b *testing.B, depth int) {
	w := NewWorkspace(benchConfig(), newSmall(), nil)
	w.Clock = clock.Time{Mono: 1, Wall: 1_700_000_000e9}
	t := &nullTransport{input: bytes.Repeat([]byte(benchRequest), depth)}
	var c Conn
	c.Start(w, Addr{}, false)
	b.ReportAllocs()
	for b.Loop() {
		t.ready = true
		if want := c.Step(t, w); want != WantRead {
			b.Fatal("the connection wants", want)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/request")
}

// One keep-alive request, as wrk sends it, and its answer of 1 KiB.
func BenchmarkStepKeepAlive(b *testing.B) { benchmarkStep(b, 1) }

// 16 requests that arrive and are answered together.
func BenchmarkStepPipelined16(b *testing.B) { benchmarkStep(b, 16) }
