//go:build darwin || dragonfly || freebsd || linux

package iomodel_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/iomodel"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/sendfile"
	"github.com/evhttpd/evhttpd/workers"
)

// The tests in owned_test.go run on each model that gives a connection a thread
// or a goroutine. This file holds what they stand on: a handler whose
// answers are chosen by the path, servers and clients.

const patience = testkit.Patience

var (
	must        = testkit.Must
	eventually  = testkit.Eventually
	descriptors = testkit.Descriptors
)

// eachOwned runs test on each of these models, and checks that it leaves no
// descriptor and no goroutine behind.
func eachOwned(t *testing.T, test func(t *testing.T, m iomodel.Model)) {
	for _, m := range iomodel.Models() {
		switch m.Name {
		case "blocking", "goroutine", "netpoll":
			t.Run(m.Name, func(t *testing.T) {
				start(t, m).stop(0) // what a process has one of, it has now: netpoll's pollers
				before, others := descriptors(), goleak.IgnoreCurrent()
				t.Cleanup(func() { // the last to run
					goleak.VerifyNone(t, others)
					eventually(t, func() error {
						if after := descriptors(); after != before {
							return fmt.Errorf("%d descriptors are open, %d were before", after, before)
						}
						return nil
					})
				})
				test(t, m)
			})
		}
	}
}

// body is what the file holds and /shared answers: at each offset something else.
var body = func() []byte {
	p := make([]byte, 16<<20)
	state := uint32(1)
	for i := range p {
		state = state*1664525 + 1013904223
		p[i] = byte(state >> 24)
	}
	return p
}()

// answers is a handler of which the path chooses the answer:
//
//	/small        a few bytes
//	/shared       body, by reference
//	/file         body, out of a file
//	/range/A/N    N bytes of it from A
//	/defer        what a job finds
//	/source       what comes out of answers.source
type answers struct {
	t      testing.TB
	file   *sendfile.File
	jobs   atomic.Int64                      // that ran
	result atomic.Pointer[func() string]     // of a job; nil: "done"
	asks   atomic.Pointer[func(conn.Demand)] // called by a job; nil: it does not ask
	source chan []byte
	open   atomic.Int64 // sources
	alone  atomic.Int64 // requests that came so
}

func (a *answers) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	if out.Alone() {
		a.alone.Add(1)
	}
	path := string(req.Path.In(buf))
	head := func(length int) {
		out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", length))
	}
	switch part := strings.Split(path, "/"); part[1] {
	case "small":
		head(3)
		out.Bytes([]byte("ok\n"))
	case "shared":
		head(len(body))
		out.Shared(body)
	case "file":
		head(len(body))
		out.File(a.file, 0, int64(len(body)))
	case "range":
		from, _ := strconv.Atoi(part[2])
		n, _ := strconv.Atoi(part[3])
		head(n)
		out.File(a.file, int64(from), int64(n))
	case "defer":
		if r, ok := out.Result().(found); ok {
			head(len(r))
			out.Bytes([]byte(r))
		} else {
			out.Defer(&job{a})
		}
	case "source":
		head(1 << 20)
		w, token := out.Waker()
		a.open.Add(1)
		out.Source(newSource(a, w, token))
	default:
		out.Fail(404, "", "no such path")
	}
}

type found string

func (found) Retain()  {}
func (found) Release() {}

type job struct{ answers *answers }

func (*job) Key() any             { return nil }
func (*job) Class() conn.JobClass { return conn.JobFile }

func (j *job) Run(d conn.Demand) conn.Result {
	j.answers.jobs.Add(1)
	if f := j.answers.asks.Load(); f != nil {
		(*f)(d)
	}
	if f := j.answers.result.Load(); f != nil {
		return found((*f)())
	}
	return found("done")
}

// source gives what comes out of answers.source, whose producer wakes its connection.
type source struct {
	answers *answers
	mu      sync.Mutex
	rest    []byte
	ended   bool
	closed  chan struct{}
}

func newSource(a *answers, w conn.Waker, token uint64) *source {
	s := &source{answers: a, closed: make(chan struct{})}
	go func() {
		for {
			select {
			case p, ok := <-a.source:
				s.mu.Lock()
				s.rest, s.ended = append(s.rest, p...), !ok
				s.mu.Unlock()
				w.Wake(token)
				if !ok {
					return
				}
			case <-s.closed:
				return
			}
		}
	}()
	return s
}

func (*source) Size() int { return 0 }

func (s *source) Next(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	switch {
	case n > 0:
		return n, nil
	case s.ended:
		return 0, io.EOF
	default:
		return 0, conn.ErrAgain
	}
}

func (s *source) Close() {
	close(s.closed)
	s.answers.open.Add(-1)
}

// server is a model that serves answers.
type server struct {
	iomodel.Server
	*answers
	addr  string
	fd    int
	opts  iomodel.Options
	warns sync.Map // what: *atomic.Int64
	log   lines
	done  func() // stops it once
	ended model.Ended
}

// option changes what a server is made with.
type option func(o *iomodel.Options)

func withConfig(f func(c *conn.Config)) option {
	return func(o *iomodel.Options) { f(o.Config) }
}

// start runs a server until the test ends, or stop.
func start(t testing.TB, m iomodel.Model, options ...option) *server {
	t.Helper()
	const long = 10 * time.Minute
	s := &server{answers: &answers{t: t, source: make(chan []byte)}}
	pool := workers.NewPool(4)
	o := iomodel.Options{
		Options: model.Options{
			Config: &conn.Config{
				Limits: http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
				Output: 256 << 10, TurnRequests: 32, TurnBytes: 256 << 10,
				FirstByte: long, Head: long, Body: long, Send: long, KeepAlive: long, Deferred: long,
			},
			NewHandler: func() conn.Handler { return s.answers },
			NewLog:     func() conn.AccessLog { return &s.log },
			Pool:       pool,
			Warn: func(what string, _ error) {
				n, _ := s.warns.LoadOrStore(what, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			},
		},
		Loops: 2, Threads: 96,
	}
	for _, option := range options {
		option(&o)
	}
	s.answers.file = bodyFile(t)
	s.listen(t)
	s.opts = o
	var err error
	s.Server, err = m.New(o)
	must(t, err)
	must(t, s.Server.Serve(lists(m, &o, s.fd)))
	var once sync.Once
	s.done = func() {
		once.Do(func() {
			s.ended = s.Wait()
			pool.Close()
			s.answers.file.Release()
			must(t, unix.Close(s.fd))
		})
	}
	t.Cleanup(func() { s.stop(0) })
	return s
}

// stop drains the server and waits for its end.
func (s *server) stop(grace time.Duration) model.Ended {
	s.Drain(grace)
	stuck := time.AfterFunc(patience, func() { panic("the server does not end") })
	defer stuck.Stop()
	s.done()
	if n := s.Open(); n != 0 {
		s.t.Errorf("%d connections are counted after the end", n)
	}
	if n := s.open.Load(); n != 0 {
		s.t.Errorf("%d sources are open after the end", n)
	}
	return s.ended
}

// warned is how often the server gave a warning that begins so.
func (s *server) warned(what string) (n int64) {
	s.warns.Range(func(k, v any) bool {
		if strings.HasPrefix(k.(string), what) {
			n += v.(*atomic.Int64).Load()
		}
		return true
	})
	return n
}

// listen opens the server's listener the way the daemon does.
func (s *server) listen(t testing.TB) {
	t.Helper()
	var err error
	s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	unix.CloseOnExec(s.fd)
	must(t, unix.SetNonblock(s.fd, true))
	must(t, unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	must(t, unix.Bind(s.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(s.fd, 1024))
	sa, err := unix.Getsockname(s.fd)
	must(t, err)
	s.addr = fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
}

// bodyFile returns a file that holds body.
func bodyFile(t testing.TB) *sendfile.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "body")
	must(t, os.WriteFile(path, body, 0o600))
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	return sendfile.New(fd, sendfile.FlagsFor(fd), nil)
}

// lines is an access log of which only the number of lines counts.
type lines struct{ n, ended atomic.Int64 }

func (l *lines) Log(*conn.Access, int64, int64)                 { l.n.Add(1) }
func (l *lines) Begin(dst []byte, _ *conn.Access) ([]byte, int) { return append(dst, 'x'), 1 }
func (l *lines) End([]byte, int, int64, int64)                  { l.n.Add(1) }
func (l *lines) Tick(int64) int64                               { l.ended.Add(1); return 0 }

// client is a connection to a server.
type client struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func (s *server) dial(t testing.TB) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return &client{c.(*net.TCPConn), t, bufio.NewReader(c)}
}

func request(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }

func (c *client) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c, text)
	must(c.t, err)
}

// answer reads one, whose status is checked.
func (c *client) answer(status int) (body []byte, last bool) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	must(c.t, err)
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	must(c.t, err)
	if r.StatusCode != status {
		c.t.Fatalf("status %d, want %d: %s", r.StatusCode, status, body)
	}
	return body, r.Close
}

// status reads an answer and returns that of it; 0: the connection was closed without one.
func (c *client) status() int {
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	return r.StatusCode
}

// get asks and reads the answer.
func (c *client) get(path string) (body []byte, last bool) {
	c.t.Helper()
	c.send(request(path))
	return c.answer(200)
}

// end checks that the server closes the connection, with nothing more said.
func (c *client) end() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("the connection is not closed: it says %q", b)
	} else if os.IsTimeout(err) {
		c.t.Fatal("the connection is not closed")
	}
}
