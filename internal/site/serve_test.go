package site

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/static"
	"github.com/evhttpd/evhttpd/sendfile"
)

// script is a transport whose peer has sent everything at once and takes everything.
type script struct {
	in    []byte
	out   bytes.Buffer
	quiet bool // what is sent is not kept
}

func (s *script) Recv(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, conn.ErrAgain
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Send(head, body []byte, _ bool) (int, error) {
	if !s.quiet {
		s.out.Write(head)
		s.out.Write(body)
	}
	return len(head) + len(body), nil
}

func (s *script) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	n, err := io.Copy(&s.out, io.NewSectionReader(os.NewFile(uintptr(f.FD()), ""), offset, count))
	return n, err
}

func (s *script) Resident(*sendfile.File, int64, int64) bool { return true }
func (s *script) CloseWrite() error                          { return nil }
func (s *script) Hangup() (half, all bool)                   { return false, false }
func (s *script) Unacked() int                               { return 0 }

// loop drives a router's handler as an IO model does, with a clock of its own.
type loop struct {
	t     testing.TB
	local *conn.Workspace
	addr  conn.Addr // of the client
	user  []byte    // of the last line of the access log
	jobs  int       // run so far
}

// Log implements conn.AccessLog.
func (l *loop) Log(a *conn.Access, _, _ int64)           { l.user = append(l.user[:0], a.User...) }
func (l *loop) Begin([]byte, *conn.Access) ([]byte, int) { panic("no answer of a test is long") }
func (l *loop) End([]byte, int, int64, int64)            {}
func (l *loop) Tick(int64) int64                         { return 0 }

// settled is how far the clocks of tests are ahead, so that files made a moment ago count as old.
const settled = time.Hour

func newLoop(t testing.TB, h conn.Handler) *loop {
	cfg := &conn.Config{
		Server:       "evhttpd",
		Limits:       http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
		Output:       256 << 10,
		TurnRequests: 1 << 30, TurnBytes: 1 << 60,
		FirstByte: time.Minute, Head: time.Minute, Body: time.Minute, Send: time.Minute,
		KeepAlive: time.Minute, Deferred: time.Minute,
	}
	l := &loop{t: t}
	l.local = conn.NewWorkspace(cfg, h, l)
	l.local.Clock = clock.Time{Mono: 1e12, Wall: time.Now().Add(settled).UnixNano()}
	return l
}

// send has the raw requests answered and returns what came back. Deferred jobs run in place.
func (l *loop) send(raw string) string {
	l.t.Helper()
	peer := &script{in: []byte(raw)}
	var c conn.Conn
	c.Start(l.local, l.addr, false)
	for {
		switch want := c.Step(peer, l.local); want {
		case conn.WantDeferred:
			job, ticket, _ := c.TakeJob()
			l.jobs++
			if !c.Resume(ticket, job.Run(wanted{}), nil) {
				l.t.Fatal("the connection does not wait for the job's result")
			}
		case conn.WantYield:
		case conn.WantRead, conn.WantClose:
			c.Release(l.local)
			return peer.out.String()
		default:
			l.t.Fatalf("Step wants %d", want)
		}
	}
}

// answer is one answer with its whole body.
type answer struct {
	*http.Response
	body string
}

// request has one request answered: method, target and host, then fields with CRLF each.
func (l *loop) request(method, target, host, fields string) answer {
	l.t.Helper()
	raw := l.send(method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n")
	r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		l.t.Fatalf("no answer: %v in %.200q", err, raw)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		l.t.Fatalf("body: %v in %.200q", err, raw)
	}
	return answer{r, string(body)}
}

func (l *loop) get(target string) answer {
	l.t.Helper()
	return l.request("GET", target, "a", "")
}

func (l *loop) want(target string, status int, body string) {
	l.t.Helper()
	if r := l.get(target); r.StatusCode != status || body != "" && r.body != body {
		l.t.Errorf("%s: %d %.80q, want %d %.80q", target, r.StatusCode, r.body, status, body)
	}
}

func write(t testing.TB, name, contents string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
}

// options are those of a site as it is without a word about it.
func options(root string) Site {
	return Site{Hosts: []string{"*"}, Root: root, Index: []string{"index.html"}, Hide: []string{".*", "!.well-known"}}
}

// ahead is the wall clock of tests.
func ahead() time.Time { return time.Now().Add(settled) }

func open(t testing.TB, sites ...Site) *Router {
	t.Helper()
	r, err := New(Options{Sites: sites, Valid: time.Second, Now: ahead,
		Cache: static.NewCache(static.Limits{Memory: 64 << 20, File: 64 << 10, Descriptors: 100})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// both runs a test with the handler of a loop, and with one of many threads.
func both(t *testing.T, r *Router, test func(t *testing.T, l *loop)) {
	t.Run("loop", func(t *testing.T) { test(t, newLoop(t, r.Handler())) })
	t.Run("thread", func(t *testing.T) { test(t, newLoop(t, r.ThreadHandler())) })
}

const navigates = "Accept: text/html,*/*;q=0.8\r\n"

// to points to a value.
func to[T any](v T) *T { return &v }

// wanted is the Demand of a job that somebody waits for.
type wanted struct{}

func (wanted) Wanted() bool { return true }
