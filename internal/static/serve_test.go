package static

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// script is a transport whose peer has sent everything at once and takes everything.
type script struct {
	in    []byte
	out   bytes.Buffer
	quiet bool // what is sent is counted, not kept
	sent  int64
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
	s.sent += int64(len(head) + len(body))
	return len(head) + len(body), nil
}

func (s *script) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	if s.quiet {
		s.sent += count
		return count, nil
	}
	n, err := io.Copy(&s.out, io.NewSectionReader(preader(f.FD()), offset, count))
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (s *script) Resident(*sendfile.File, int64, int64) bool { return true }
func (s *script) CloseWrite() error                          { return nil }
func (s *script) Hangup() (half, all bool)                   { return false, false }
func (s *script) Unacked() int                               { return 0 }

// preader reads a descriptor at an offset.
type preader int

func (fd preader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := unix.Pread(int(fd), p, offset)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// loop drives a site's handler as an IO model does, with a clock of its own.
type loop struct {
	t     testing.TB
	site  *Site
	local *conn.Workspace
	jobs  int // run so far
	addr  conn.Addr
	alone bool // each request finds the loop with nothing else to do
	woken chan struct{}
}

// Wake is the loop's part of conn.Waker.
func (l *loop) Wake(uint64) {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

func newLoop(t testing.TB, s *Site, h conn.Handler) *loop {
	cfg := &conn.Config{
		Server:       "evhttpd",
		Limits:       http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
		Output:       256 << 10,
		TurnRequests: 1 << 30, TurnBytes: 1 << 60,
		FirstByte: time.Minute, Head: time.Minute, Body: time.Minute, Send: time.Minute,
		KeepAlive: time.Minute, Deferred: time.Minute,
	}
	l := &loop{t: t, site: s, local: conn.NewWorkspace(cfg, h, nil), woken: make(chan struct{}, 1)}
	l.local.Waker = l
	l.local.Clock = clock.Time{Mono: 1e12, Wall: time.Now().UnixNano()}
	return l
}

// advance lets time pass on the loop's clock.
func (l *loop) advance(d time.Duration) {
	l.local.Clock.Mono += int64(d)
	l.local.Clock.Wall += int64(d)
}

// send has the raw requests answered and returns what came back. Deferred jobs run in place.
func (l *loop) send(raw string) string {
	l.t.Helper()
	peer := &script{in: []byte(raw)}
	l.local.Alone = l.alone
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
		case conn.WantSource:
			<-l.woken
		case conn.WantRead, conn.WantClose:
			c.Release(l.local)
			return peer.out.String()
		default:
			l.t.Fatalf("Step wants %d", want)
		}
	}
}

// response is one answer with its whole body.
type response struct {
	*http.Response
	body string
}

// request has one request answered. The fields end with CRLF each.
func (l *loop) request(method, target, fields string) response {
	l.t.Helper()
	raw := l.send(method + " " + target + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
	return parseResponse(l.t, method, raw)
}

func (l *loop) get(target string) response {
	l.t.Helper()
	return l.request("GET", target, "")
}

func parseResponse(t testing.TB, method, raw string) response {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no response: %v in %.200q", err, raw)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("body: %v in %.200q", err, raw)
	}
	if r.Header.Get("Date") == "" {
		t.Errorf("no Date in %.200q", raw)
	}
	return response{r, string(body)}
}

func (r response) want(t testing.TB, status int, body string) {
	t.Helper()
	if r.StatusCode != status || r.body != body {
		t.Errorf("got %d %.80q, want %d %.80q", r.StatusCode, r.body, status, body)
	}
}

func (r response) wantStatus(t testing.TB, status int) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("got %d %q, want %d", r.StatusCode, r.body, status)
	}
}

// longAgo is when the files of tests were last changed, as far as their mtime says.
var longAgo = time.Date(2024, 2, 29, 12, 30, 15, 123456789, time.UTC)

// settled is how far the wall clock of tests is ahead, so that files made a
// moment ago count as old.
const settled = time.Hour

// write makes a file with its directories.
func write(t testing.TB, name, contents string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
}

// symlink makes a link with its directories.
func symlink(t testing.TB, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func testLimits() Limits { return Limits{Memory: 64 << 20, File: 64 << 10, Descriptors: 4096} }

func testOptions(root string) Options {
	return Options{
		Root: root, Index: []string{"index.html"}, ViewOptions: ViewOptions{Hide: []string{".*", "!.well-known"}},
		Valid: time.Second,
		Now:   func() time.Time { return time.Now().Add(settled) },
	}
}

// serve opens a site on a cache of its own, with a loop in front.
func serve(t testing.TB, opts Options, walks bool) *loop {
	t.Helper()
	cache := NewCache(testLimits())
	s, err := newSite(opts, cache, walks || !haveOpenat2())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	l := newLoop(t, s, s.Handler(IndexMax))
	l.advance(settled)
	return l
}

// fileSystems are where the tests with real files run: a disk's and a memory's.
func fileSystems(t *testing.T, test func(t *testing.T, dir string)) {
	for _, base := range []string{os.TempDir(), "/dev/shm"} {
		t.Run(strings.Trim(base, "/"), func(t *testing.T) {
			if _, err := os.Stat(base); err != nil {
				t.Skip(err)
			}
			dir, err := os.MkdirTemp(base, "static")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			test(t, dir)
		})
	}
}

// resolvers are the two ways a path is resolved.
func resolvers(t *testing.T, test func(t *testing.T, walks bool)) {
	for name, walks := range map[string]bool{"openat2": false, "walk": true} {
		t.Run(name, func(t *testing.T) {
			if !walks && !haveOpenat2() {
				t.Skip("no openat2 here")
			}
			test(t, walks)
		})
	}
}

// descriptors returns the number of open descriptors of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(names)
}

func TestServeFile(t *testing.T) {
	fileSystems(t, func(t *testing.T, dir string) {
		resolvers(t, func(t *testing.T, walks bool) {
			write(t, dir+"/hello.txt", "hello\n")
			write(t, dir+"/empty.css", "")
			write(t, dir+"/large.bin", strings.Repeat("0123456789abcdef", 10000))
			l := serve(t, testOptions(dir), walks)
			for range 3 {
				r := l.get("/hello.txt")
				r.want(t, 200, "hello\n")
				for name, want := range map[string]string{
					"Server": "evhttpd", "Content-Type": "text/plain; charset=utf-8", "Content-Length": "6",
					"Last-Modified": "Thu, 29 Feb 2024 12:30:15 GMT", "Accept-Ranges": "bytes",
					"X-Content-Type-Options": "nosniff", "ETag": fmt.Sprintf(`"%x-6"`, longAgo.UnixNano()),
				} {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				l.get("/empty.css").want(t, 200, "")
				l.get("/large.bin").want(t, 200, strings.Repeat("0123456789abcdef", 10000))
				r = l.request("HEAD", "/large.bin", "")
				r.want(t, 200, "")
				if r.ContentLength != 160000 {
					t.Errorf("HEAD: Content-Length %d", r.ContentLength)
				}
				l.get("/missing").wantStatus(t, 404)
				l.get("/hello.txt/").wantStatus(t, 404)
				l.advance(2 * time.Second)
			}
		})
	})
}

// wanted is the Demand of a job that somebody waits for.
type wanted struct{}

func (wanted) Wanted() bool { return true }
