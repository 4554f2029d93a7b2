//go:build unix

package reactor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/sendfile"
	"github.com/evhttpd/evhttpd/workers"
)

// The tests run on every backend of poller.Backends() with every trigger that
// it can do. This file holds what they stand on: a counted poller, a handler
// whose answers are chosen by the path, servers and clients.

func TestMain(m *testing.M) {
	if os.Getenv(starvedEnv) != "" {
		os.Exit(serveStarved())
	}
	goleak.VerifyTestMain(m)
}

const patience = testkit.Patience

var (
	must            = testkit.Must
	openDescriptors = testkit.Descriptors
)

// variant is one backend with one trigger.
type variant struct {
	backend poller.Backend
	trigger poller.Trigger
}

// variants lists every backend with every trigger that it has.
func variants() (all []variant) {
	for _, b := range poller.Backends() {
		for _, trigger := range []poller.Trigger{poller.Level, poller.Edge} {
			if b.Triggers&trigger != 0 {
				all = append(all, variant{b, trigger})
			}
		}
	}
	return all
}

// eachVariant runs test on the variants chosen for it, and checks that it leaves no descriptor open.
func eachVariant(t *testing.T, test func(t *testing.T, v variant)) {
	for _, v := range testkit.Chosen(t, variants()) {
		t.Run(v.backend.Name+"/"+v.trigger.String(), func(t *testing.T) {
			before := openDescriptors()
			t.Cleanup(func() { // the last to run
				if after := openDescriptors(); after != before {
					t.Errorf("%d descriptors are open, %d were before", after, before)
				}
			})
			test(t, v)
		})
	}
}

// nap is how long a wait lasts at most, which spares the tests most of poller.WaitMax.
const nap = 100 * time.Millisecond

// restless reports whether a backend looks on and on by design.
func restless(b poller.Backend) bool { return b.Name == "spin" }

// counted is a poller that counts its calls and can be made to fail.
type counted struct {
	poller.Poller
	restless                       bool
	adds, modifies, removes, wakes atomic.Int64
	waits                          atomic.Int64 // that returned
	slept                          atomic.Int64 // that lasted until their time was up
	asleep                         atomic.Bool  // in one that may block
	fail                           atomic.Pointer[error]
	failAdds, failModifies         atomic.Int64 // that many fail, for want of memory
}

func (c *counted) Add(fd int, token poller.Token, want poller.Interest, flags poller.Flags) error {
	c.adds.Add(1)
	if c.failAdds.Add(-1) >= 0 {
		return unix.ENOMEM
	}
	return c.Poller.Add(fd, token, want, flags)
}

func (c *counted) Modify(fd int, token poller.Token, want poller.Interest) error {
	c.modifies.Add(1)
	if c.failModifies.Add(-1) >= 0 {
		return unix.ENOMEM
	}
	return c.Poller.Modify(fd, token, want)
}

func (c *counted) Remove(fd int) error {
	c.removes.Add(1)
	return c.Poller.Remove(fd)
}

func (c *counted) Wake() error {
	c.wakes.Add(1)
	return c.Poller.Wake()
}

func (c *counted) Wait(events []poller.Event, timeout time.Duration) (int, error) {
	if err := c.fail.Load(); err != nil {
		return 0, *err
	}
	timeout = min(timeout, nap)
	c.asleep.Store(timeout != 0)
	start := time.Now()
	n, err := c.Poller.Wait(events, timeout)
	c.asleep.Store(false)
	// A short wait ends before a wake-up that is on its way: it is not counted.
	if n == 0 && timeout > poller.ShortWait && time.Since(start) >= timeout {
		c.slept.Add(1)
	}
	c.waits.Add(1)
	return n, err
}

// count replaces a backend's pollers by counted ones, which it appends to made.
func count(b poller.Backend, made *[]*counted) poller.Backend {
	open := b.Open
	b.Open = func(o poller.Options) (poller.Poller, error) {
		p, err := open(o)
		if err != nil {
			return nil, err
		}
		c := &counted{Poller: p, restless: restless(b)}
		*made = append(*made, c)
		return c, nil
	}
	return b
}

// testConfig has every timeout so long that none fires by itself.
func testConfig() *conn.Config {
	const long = 10 * time.Minute
	return &conn.Config{
		Limits: http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
		Output: 256 << 10, TurnRequests: 32, TurnBytes: 256 << 10,
		FirstByte: long, Head: long, Body: long, Send: long, KeepAlive: long, Deferred: long,
	}
}

// answers is a handler of which the path chooses the answer:
//
//	/small     a few bytes
//	/huge      bytes by reference, more than socket buffers take
//	/file      the same out of a file
//	/cold      the same; the file is one that has to be read first
//	/defer/K   what the job of key K finds (answers.job)
//	/each/K    the same, without joining
//	/source    a Source that never has anything
type answers struct {
	served   atomic.Int64 // calls of Serve
	file     *sendfile.File
	cold     *sendfile.File
	job      func(path string) conn.Result
	onServe  func(path string, out *conn.Output)
	sources  atomic.Int64 // open ones
	source   func(p []byte) (int, error)
	lastWake atomic.Pointer[func()]
}

var huge = make([]byte, 32<<20)

func (a *answers) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	a.served.Add(1)
	target := req.Path.In(buf)
	if a.onServe == nil && string(target) == "/small" { // allocates nothing
		out.Head(200, smallHead)
		out.Bytes(smallBody)
		return
	}
	path := string(target)
	if a.onServe != nil {
		a.onServe(path, out)
	}
	head := func(length int) {
		out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", length))
	}
	switch {
	case path == "/small":
		out.Head(200, smallHead)
		out.Bytes(smallBody)
	case path == "/huge":
		head(len(huge))
		out.Shared(huge)
	case path == "/file":
		head(len(huge))
		out.File(a.file, 0, int64(len(huge)))
	case path == "/cold":
		head(len(huge))
		out.File(a.cold, 0, int64(len(huge)))
	case path == "/source":
		head(1 << 20)
		w, token := out.Waker()
		wake := func() { w.Wake(token) }
		a.lastWake.Store(&wake)
		a.sources.Add(1)
		out.Source(&source{a})
	case out.Result() != nil:
		body := out.Result().(*found).body
		head(len(body))
		out.Bytes([]byte(body))
	case len(path) > 7 && path[:7] == "/defer/":
		out.Defer(&job{a, path, path})
	case len(path) > 6 && path[:6] == "/each/":
		out.Defer(&job{a, path, nil})
	default:
		out.Fail(404, "", "no such path")
	}
}

var (
	smallHead = []byte("Content-Length: 3\r\n")
	smallBody = []byte("ok\n")
)

type job struct {
	answers *answers
	path    string
	key     any
}

func (j *job) Key() any                    { return j.key }
func (j *job) Class() conn.JobClass        { return conn.JobFile }
func (j *job) Run(conn.Demand) conn.Result { return j.answers.job(j.path) }

// found is a result that knows whether it was released by all.
type found struct {
	body string
	refs atomic.Int64
}

func find(body string) *found {
	f := &found{body: body}
	f.refs.Store(1)
	return f
}

func (f *found) Retain()  { f.refs.Add(1) }
func (f *found) Release() { f.refs.Add(-1) }

type source struct{ answers *answers }

func (*source) Size() int { return 0 }

func (s *source) Next(p []byte) (int, error) {
	if s.answers.source != nil {
		return s.answers.source(p)
	}
	return 0, conn.ErrAgain
}

func (s *source) Close() { s.answers.sources.Add(-1) }

// server is a reactor that serves answers.
type server struct {
	*Reactor
	t        testing.TB
	answers  *answers
	pollers  []*counted
	opts     Options
	network  string
	addr     string
	fds      []int
	warnings sync.Map // what: number
	ended    chan model.Ended
}

// option changes a server before it is started.
type option func(s *server)

func withConfig(f func(c *conn.Config)) option { return func(s *server) { f(s.opts.Config) } }
func withAnswers(f func(a *answers)) option    { return func(s *server) { f(s.answers) } }
func withOptions(f func(o *Options)) option    { return func(s *server) { f(&s.opts) } }

// overUnix serves a Unix socket.
func overUnix(s *server) { s.network = "unix" }

// prepare makes a server of that many loops, with one listener, which is not started.
func prepare(t testing.TB, v variant, loops int, options ...option) *server {
	t.Helper()
	s := &server{t: t, network: "tcp", answers: new(answers), ended: make(chan model.Ended, 1)}
	s.answers.file = hugeFile(t, sendfile.InMemory)
	s.answers.cold = hugeFile(t, sendfile.NoProbe)
	pool := workers.NewPool(4)
	t.Cleanup(pool.Close)
	s.opts = Options{
		Backend: count(v.backend, &s.pollers), Trigger: v.trigger,
		Options: model.Options{
			Config: testConfig(), Pool: pool,
			NewHandler: func() conn.Handler { return s.answers },
			Warn: func(what string, err error) {
				s.warnings.Store(what, err)
			},
		},
	}
	for _, o := range options {
		o(s)
	}
	s.listen()
	var err error
	s.Reactor, err = New(loops, s.opts)
	must(t, err)
	return s
}

// listen opens the server's first listener, or another for its port.
func (s *server) listen() {
	s.t.Helper()
	var fd int
	if s.network == "unix" {
		s.addr = filepath.Join(s.t.TempDir(), "s")
		fd = listenOn(s.t, unix.AF_UNIX, &unix.SockaddrUnix{Name: s.addr})
	} else {
		at := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
		if s.addr != "" {
			_, port, err := net.SplitHostPort(s.addr)
			must(s.t, err)
			fmt.Sscan(port, &at.Port)
		}
		fd = listenOn(s.t, unix.AF_INET, at)
		sa, err := unix.Getsockname(fd)
		must(s.t, err)
		s.addr = fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	}
	s.fds = append(s.fds, fd)
	s.t.Cleanup(func() { must(s.t, unix.Close(fd)) })
}

// listenOn opens a listener the way the daemon does.
func listenOn(t testing.TB, family int, at unix.Sockaddr) int {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	must(t, err)
	unix.CloseOnExec(fd)
	must(t, unix.SetNonblock(fd, true))
	if family == unix.AF_INET {
		tuneListener(t, fd)
	}
	must(t, unix.Bind(fd, at))
	must(t, unix.Listen(fd, 1024))
	return fd
}

// start runs a server of one loop until the test ends.
func start(t testing.TB, v variant, options ...option) *server {
	t.Helper()
	s := prepare(t, v, 1, options...)
	s.serve([][]model.Listener{{{FD: s.fds[0]}}})
	return s
}

// serve starts the loops and sees to their end.
func (s *server) serve(listeners [][]model.Listener) {
	s.t.Helper()
	must(s.t, s.Serve(listeners))
	go func() { s.ended <- s.Wait() }()
	s.t.Cleanup(func() {
		s.Drain(0)
		s.end()
		if n := s.Open(); n != 0 {
			s.t.Errorf("%d connections are counted after the end", n)
		}
		if n := s.answers.sources.Load(); n != 0 {
			s.t.Errorf("%d sources are open after the end", n)
		}
	})
}

// end waits for the end of the reactor.
func (s *server) end() model.Ended {
	s.t.Helper()
	select {
	case e := <-s.ended:
		s.ended <- e
		return e
	case <-time.After(patience):
		s.t.Fatal("the loops do not end")
		return model.Ended{}
	}
}

// hugeFile returns a file with as many bytes as huge, which is closed when the test ends.
func hugeFile(t testing.TB, flags sendfile.Flags) *sendfile.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "huge")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, int64(len(huge))))
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	closed := make(chan struct{})
	f := sendfile.New(fd, flags, func(fd int) {
		unix.Close(fd)
		close(closed)
	})
	t.Cleanup(func() {
		f.Release()
		select {
		case <-closed:
		case <-time.After(patience):
			t.Error("a reference to a file is left")
		}
	})
	return f
}

// on has a loop call do and waits for it.
func (s *server) on(loop int, do func(l *Loop)) {
	s.t.Helper()
	done := make(chan struct{})
	if !s.loops[loop].post(func(l *Loop) { do(l); close(done) }) {
		s.t.Fatal("the loop has ended")
	}
	s.await("the loop takes a message", done)
}

func (s *server) await(what string, done <-chan struct{}) {
	s.t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		s.t.Fatal("waited in vain: " + what)
	}
}

// until waits until the condition holds; it is evaluated on the first loop.
func (s *server) until(what string, condition func(l *Loop) bool) {
	s.t.Helper()
	testkit.Until(s.t, "waited in vain: "+what, func() (holds bool) {
		s.on(0, func(l *Loop) { holds = condition(l) })
		return holds
	})
}

// wants waits until the only connection is in that state and all its events are handled.
func (s *server) wants(want conn.Want, phase conn.Phase) {
	s.t.Helper()
	s.until(fmt.Sprintf("want %d in phase %d", want, phase), func(l *Loop) bool {
		ok := false
		l.slab.each(func(s *slot) { ok = s.want == want && s.phase == phase })
		return ok && l.slab.live == 1
	})
}

// deferred waits until n connections wait for deferred work.
func (s *server) deferred(n int) {
	s.t.Helper()
	s.until("jobs are waited for", func(l *Loop) bool {
		found := 0
		l.slab.each(func(s *slot) {
			if s.want == conn.WantDeferred {
				found++
			}
		})
		return found == n
	})
}

// age makes all timers older, which is faster than to wait.
func age(l *Loop, by time.Duration) {
	l.slab.each(func(s *slot) { s.since -= int64(by) })
}

// empty waits until there are no connections.
func (s *server) empty() {
	s.t.Helper()
	s.until("all connections end", func(l *Loop) bool { return l.slab.live == 0 })
}

// client is a peer of the server.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (s *server) dial() *client {
	s.t.Helper()
	c, err := net.Dial(s.network, s.addr)
	must(s.t, err)
	must(s.t, c.SetDeadline(time.Now().Add(2*patience)))
	s.t.Cleanup(func() { c.Close() })
	return &client{Conn: c, t: s.t, r: bufio.NewReader(c)}
}

// fileClient is the client behind a connected descriptor, which it takes over.
func fileClient(t testing.TB, fd int) *client {
	t.Helper()
	f := os.NewFile(uintptr(fd), "peer")
	c, err := net.FileConn(f)
	must(t, err)
	must(t, f.Close())
	must(t, c.SetDeadline(time.Now().Add(2*patience)))
	t.Cleanup(func() { c.Close() })
	return &client{Conn: c, t: t, r: bufio.NewReader(c)}
}

func (c *client) send(text string) *client {
	c.t.Helper()
	_, err := io.WriteString(c, text)
	must(c.t, err)
	return c
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }

func getClose(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
}

// answer is one response as a client sees it.
type answer struct {
	status int
	close  bool
	fields http.Header
	body   int64
	text   string // the first bytes of the body
}

// read reads one response.
func (c *client) read() (answer, error) {
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text := make([]byte, 512)
	n, err := io.ReadFull(resp.Body, text)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF ||
		err == io.ErrUnexpectedEOF && int64(n) < resp.ContentLength {
		return answer{}, err
	}
	rest, err := io.Copy(io.Discard, resp.Body)
	return answer{resp.StatusCode, resp.Close, resp.Header, int64(n) + rest, string(text[:n])}, err
}

// expect reads one response and checks its status.
func (c *client) expect(status int) answer {
	c.t.Helper()
	a, err := c.read()
	must(c.t, err)
	if a.status != status {
		c.t.Fatalf("the status is %d (%q), not %d", a.status, a.text, status)
	}
	return a
}

// expectEnd reads the end of the stream: in order, or with a reset.
func (c *client) expectEnd(resetToo bool) {
	c.t.Helper()
	b, err := c.r.ReadByte()
	if err == io.EOF || resetToo && errors.Is(err, unix.ECONNRESET) {
		return
	}
	c.t.Fatalf("read %q, %v instead of the end of the stream", b, err)
}

// closeWrite sends the end of our side.
func (c *client) closeWrite() {
	c.t.Helper()
	must(c.t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
}

// reset breaks the connection: a TCP peer gets a RST.
func (c *client) reset() {
	c.t.Helper()
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		must(c.t, tcp.SetLinger(0))
	}
	must(c.t, c.Conn.Close())
}
