package guard

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/clock"
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
func (w *wire) Hangup() (half, all bool)                             { return false, false }
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
	local *conn.Workspace
	log   diary
	addr  conn.Addr
	jobs  int                        // run so far
	run   func(conn.Job) conn.Result // instead of Run; nil: it is run in place
}

// step is a part of a handler, as Guard.Check.
type step func(req *http1.Request, buf []byte, out *conn.Output) (r Refusal, done bool)

func (s step) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	switch r, done := s(req, buf, out); {
	case r.Status != 0:
		out.Fail(r.Status, r.Fields, r.Reason)
	case !done:
		out.Head(200, inHead)
		out.Bytes(inBody)
	}
}

var inHead, inBody = []byte("Content-Length: 2\r\n"), []byte("in")

func newDoor(t testing.TB, s step) *door {
	cfg := &conn.Config{
		Server: "evhttpd",
		Limits: http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
		Output: 256 << 10, TurnRequests: 1 << 30, TurnBytes: 1 << 60,
		FirstByte: time.Minute, Head: time.Minute, Body: time.Minute, Send: time.Minute, KeepAlive: time.Minute,
		Deferred: time.Minute,
	}
	d := &door{t: t, addr: peer("192.0.2.1")}
	d.local = conn.NewWorkspace(cfg, s, &d.log)
	d.local.Clock = clock.Time{Mono: 1e12, Wall: time.Now().UnixNano()}
	return d
}

func peer(ip string) conn.Addr { return conn.AddrFrom(netip.AddrPortFrom(address(ip), 4711)) }

// advance lets time pass on the loop's clock.
func (d *door) advance(by time.Duration) { d.local.Clock.Mono += int64(by) }

// ask has one request answered. The fields end with CRLF each.
func (d *door) ask(method, fields string) *http.Response {
	d.t.Helper()
	return parse(d.t, method, d.send(method+" / HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n"))
}

func parse(t testing.TB, method, raw string) *http.Response {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no response: %v in %.200q", err, raw)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("body: %v in %.200q", err, raw)
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
				run = func(j conn.Job) conn.Result { return j.Run(wanted{}) }
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
	answer, end := d.again(raw)
	defer end()
	return testing.AllocsPerRun(100, answer)
}

// measure answers one request over and over.
func (d *door) measure(b *testing.B, raw string) {
	b.Helper()
	answer, end := d.again(raw)
	defer end()
	b.ReportAllocs()
	for b.Loop() {
		answer()
	}
}

// again has the same request answered on one connection each time that answer is called, without a job.
func (d *door) again(raw string) (answer, end func()) {
	d.t.Helper()
	d.send(raw)
	w, c, in := &wire{}, &conn.Conn{}, []byte(raw)
	c.Start(d.local, d.addr, false)
	answer = func() {
		w.in, w.out = in, w.out[:0]
		if want := c.Step(w, d.local); want != conn.WantRead {
			d.t.Fatalf("Step wants %d", want)
		}
	}
	return answer, func() { c.Release(d.local) }
}

// A file is read once, whatever number of realms has it.
func TestAFileIsReadOnce(t *testing.T) {
	file := t.TempDir() + "/htpasswd"
	if err := os.WriteFile(file, []byte("alice:"+hashOf(t, "secret")), 0o600); err != nil {
		t.Fatal(err)
	}
	files := NewPasswordFiles(NewVerifier(1, 8), nil)
	a, err := files.Realm(&Auth{"A", file})
	b, again := files.Realm(&Auth{"B", file})
	if err != nil || again != nil || a.passwords != b.passwords {
		t.Errorf("one file is read twice: %v, %v", err, again)
	}
}

// Address, then preflight, then password, each with the fields for other origins.
func TestOrderOfQuestions(t *testing.T) {
	file := t.TempDir() + "/htpasswd"
	if err := os.WriteFile(file, []byte("alice:"+hashOf(t, "secret")), 0o600); err != nil {
		t.Fatal(err)
	}
	realm, err := NewPasswordFiles(NewVerifier(1, 8), nil).Realm(&Auth{"x", file})
	if err != nil {
		t.Fatal(err)
	}
	origins, err := NewOrigins(&CORS{Origins: []string{"https://a"}, Methods: []string{"GET"}, Credentials: true})
	if err != nil {
		t.Fatal(err)
	}
	g := &Guard{Networks: NewNetworks(prefixes(t, "192.0.2.1/32"), nil), Origins: origins, Realm: realm}
	d := newDoor(t, g.Check)
	const origin = "Origin: https://a\r\n"
	const preflight = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n"
	for _, c := range []struct {
		client, method, fields string
		status                 int
	}{
		{"192.0.2.2", "GET", origin + basicField("alice:secret"), 403},
		{"192.0.2.2", "OPTIONS", origin + preflight, 403},
		{"::ffff:192.0.2.1", "OPTIONS", origin + preflight, 204},
		{"192.0.2.1", "OPTIONS", origin, 401}, // no preflight
		{"192.0.2.1", "GET", origin, 401},
		{"192.0.2.1", "GET", origin + basicField("alice:secret"), 200},
		{"192.0.2.1", "OPTIONS", preflight, 401},
	} {
		d.addr = peer(c.client)
		r := d.ask(c.method, c.fields)
		allowed := r.Header.Get("Access-Control-Allow-Origin") == "https://a"
		if r.StatusCode != c.status || allowed != strings.Contains(c.fields, "Origin") ||
			r.Header.Get("Vary") != "Origin" {
			t.Errorf("%+v: %d, %q", c, r.StatusCode, told(r))
		}
	}
	d.addr = conn.Addr{} // a Unix socket's peer is in no network
	if r := d.ask("GET", basicField("alice:secret")); r.StatusCode != 403 {
		t.Errorf("at a Unix socket: %d", r.StatusCode)
	}
}

// wanted is the Demand of a job that somebody waits for.
type wanted struct{}

func (wanted) Wanted() bool { return true }
