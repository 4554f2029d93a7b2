package site

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// wire is a transport whose peer has sent everything at once and takes everything.
type wire struct {
	in, out []byte
}

func (w *wire) Recv(p []byte) (int, error) {
	if len(w.in) == 0 {
		return 0, conn.ErrAgain
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) Send(head, body []byte, _ bool) (int, error) {
	w.out = append(append(w.out, head...), body...)
	return len(head) + len(body), nil
}

func (w *wire) SendFile(*sendfile.File, int64, int64) (int64, error) { return 0, io.ErrUnexpectedEOF }
func (w *wire) Resident(*sendfile.File, int64, int64) bool           { return true }
func (w *wire) CloseWrite() error                                    { return nil }
func (w *wire) Unacked() int                                         { return 0 }

// diary is an access log that keeps the last line's user and reason.
type diary struct {
	user   []byte
	reason string
}

func (d *diary) Log(a *conn.Access, _, _ int64) {
	d.user, d.reason = append(d.user[:0], a.User...), a.Reason
}
func (d *diary) Begin([]byte, *conn.Access) ([]byte, int) { panic("no answer of a test is long") }
func (d *diary) End([]byte, int, int64, int64)            {}
func (d *diary) Tick(int64) int64                         { return 0 }

// door is one loop with a handler that is tested, which answers "in" to whom the step lets pass.
type door struct {
	t     testing.TB
	local *conn.Local
	log   diary
	addr  conn.Addr
	jobs  int                        // run so far
	run   func(conn.Job) conn.Result // instead of Run; nil: it is run in place
}

// step is a part of a handler: done reports whether it has answered, or put off, the request.
type step func(req *http1.Request, buf []byte, out *conn.Output) (done bool)

func (s step) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	if !s(req, buf, out) {
		out.Head(200, inHead)
		out.Bytes(inBody)
	}
}

var inHead, inBody = []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), []byte("in")

func newDoor(t testing.TB, s step) *door {
	cfg := &conn.Config{
		Limits: http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
		Output: 256 << 10, TurnRequests: 1 << 30, TurnBytes: 1 << 60,
		FirstByte: time.Minute, Head: time.Minute, Body: time.Minute, Send: time.Minute, KeepAlive: time.Minute, Deferred: time.Minute,
	}
	d := &door{t: t, addr: peer("192.0.2.1")}
	d.local = conn.NewLocal(cfg, s, &d.log)
	d.local.Clock = conn.Clock{Mono: 1e12, Wall: time.Now().UnixNano()}
	return d
}

func peer(ip string) conn.Addr { return conn.AddrFrom(netip.AddrPortFrom(address(ip), 4711)) }

// advance lets time pass on the loop's clock.
func (d *door) advance(by time.Duration) { d.local.Clock.Mono += int64(by) }

// ask has one request answered. The fields end with CRLF each.
func (d *door) ask(method, fields string) *http.Response {
	d.t.Helper()
	raw := d.send(method + " / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
	r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		d.t.Fatalf("no response: %v in %.200q", err, raw)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatalf("body: %v in %.200q", err, raw)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

// send has a connection's raw requests answered.
func (d *door) send(raw string) string {
	d.t.Helper()
	w := &wire{in: []byte(raw)}
	var c conn.Conn
	c.Start(d.local, d.addr, false)
	defer c.Release(d.local)
	for {
		switch want := c.Step(w, d.local); want {
		case conn.WantDeferred:
			job, ticket, _ := c.TakeJob()
			d.jobs++
			run := d.run
			if run == nil {
				run = conn.Job.Run
			}
			if !c.Resume(ticket, run(job), nil) {
				d.t.Fatal("the connection does not wait for the job's result")
			}
		case conn.WantYield:
		case conn.WantRead, conn.WantClose:
			return string(w.out)
		default:
			d.t.Fatalf("Step wants %d", want)
		}
	}
}

// allocations are those of one request in steady state.
func (d *door) allocations(raw string) float64 {
	d.t.Helper()
	d.send(raw)
	w := &wire{}
	var c conn.Conn
	c.Start(d.local, d.addr, false)
	defer c.Release(d.local)
	in := []byte(raw)
	return testing.AllocsPerRun(100, func() {
		w.in, w.out = in, w.out[:0]
		if want := c.Step(w, d.local); want != conn.WantRead {
			d.t.Fatalf("Step wants %d", want)
		}
	})
}
