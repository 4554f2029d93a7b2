package ring

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
	"github.com/evhttpd/evhttpd/reactor"
	"github.com/evhttpd/evhttpd/sendfile"
	"github.com/evhttpd/evhttpd/uring"
	"github.com/evhttpd/evhttpd/workers"
)

// ringPatience is how long a test waits for what must happen.
const ringPatience = 20 * time.Second

// ringServer is a server of one io_uring loop.
type ringServer struct {
	*reactor.Reactor
	t        *testing.T
	ring     *ring // only for use by the loop itself: see look
	addr     string
	listener int
	served   atomic.Int64
	medium   atomic.Int64 // of them, /medium
	file     *sendfile.File
	looks    chan func(*ring)
	stop     sync.Once
	ended    model.Ended
}

var (
	ringSmall = bytes.Repeat([]byte("small"), 200)
	ringHuge  = bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	// ringMedium is about as long as a send that is left to the ring may be, with its head.
	ringMedium = ringHuge[:sendMax-512]
)

type ringResult struct{}

func (ringResult) Retain()  {}
func (ringResult) Release() {}

type ringJob struct{}

func (ringJob) Key() any                    { return nil }
func (ringJob) Class() conn.JobClass        { return conn.JobFile }
func (ringJob) Run(conn.Demand) conn.Result { return ringResult{} }

// ringSource gives its bytes by the thousand.
type ringSource struct{ left []byte }

func (s *ringSource) Next(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1000)], s.left)
	s.left = s.left[n:]
	return n, nil
}

func (*ringSource) Close()    {}
func (*ringSource) Size() int { return 0 }

// Serve answers by the path: /small, /medium (as long as a send of the ring may be, copied), /huge
// (by reference), /file, /source (the same), /defer (small, after a job),
// and /look, which lets the test look at the loop's own state.
func (s *ringServer) Serve(req *http1.Request, buf []byte, out *conn.Output) {
	s.served.Add(1)
	answer := func(body []byte) {
		out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", len(body)))
		out.Bytes(body)
	}
	switch path := string(req.Path.In(buf)); path {
	case "/medium":
		s.medium.Add(1)
		answer(ringMedium)
	case "/huge":
		out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", len(ringHuge)))
		out.Shared(ringHuge)
	case "/file":
		out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", len(ringHuge)))
		out.File(s.file, 0, int64(len(ringHuge)))
	case "/source":
		out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", len(ringMedium)))
		out.Source(&ringSource{left: ringMedium})
	case "/defer":
		if out.Result() == nil {
			out.Defer(ringJob{})
			return
		}
		answer(ringSmall)
	case "/look":
		(<-s.looks)(s.ring)
		answer(ringSmall)
	default:
		answer(ringSmall)
	}
}

// startRing starts a server. The options change what it is made with.
func startRing(t *testing.T, change ...func(*reactor.Options)) *ringServer {
	t.Helper()
	return startRingOf(t, recvBuffers, change...)
}

// startRingOf starts a server whose ring has that many buffers to receive into.
func startRingOf(t *testing.T, buffers int, change ...func(*reactor.Options)) *ringServer {
	t.Helper()
	if err := Probe(); err != nil {
		t.Skip(err)
	}
	before := ringDescriptors()
	t.Cleanup(func() {
		if after := ringDescriptors(); after != before {
			t.Errorf("%d descriptors are open, %d were before", after, before)
		}
	})
	s := &ringServer{t: t, looks: make(chan func(*ring), 1)}
	path := filepath.Join(t.TempDir(), "huge")
	noErr(t, os.WriteFile(path, ringHuge, 0o600))
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	noErr(t, err)
	s.file = sendfile.New(fd, sendfile.InMemory, nil)
	t.Cleanup(s.file.Release)
	pool := workers.NewPool(2)
	t.Cleanup(pool.Close)
	const long = 10 * time.Minute
	o := reactor.Options{
		Backend: poller.Backend{Name: "io_uring", Open: func(poller.Options) (_ poller.Poller, err error) {
			s.ring, err = newRing(sizes[0], buffers)
			return s.ring, err
		}},
		Options: model.Options{
			Config: &conn.Config{
				Limits: http1.Limits{RequestLine: 8 << 10, Head: 32 << 10, Fields: 100, Body: 64 << 10},
				Output: 256 << 10, TurnRequests: 32, TurnBytes: 256 << 10,
				FirstByte: long, Head: long, Body: long, Send: long, KeepAlive: long, Deferred: long,
			},
			NewHandler: func() conn.Handler { return s },
			Pool:       pool,
			Warn:       func(what string, err error) { t.Logf("warning: %s: %v", what, err) },
		},
	}
	for _, f := range change {
		f(&o)
	}
	s.Reactor, err = reactor.New(1, o)
	noErr(t, err)
	s.listen()
	noErr(t, s.Reactor.Serve([][]model.Listener{{{FD: s.listener}}}))
	t.Cleanup(func() { s.end(0) })
	return s
}

// listen opens the listener.
func (s *ringServer) listen() {
	s.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	noErr(s.t, err)
	noErr(s.t, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	noErr(s.t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	noErr(s.t, unix.Listen(fd, 1024))
	sa, err := unix.Getsockname(fd)
	noErr(s.t, err)
	s.listener, s.addr = fd, fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	s.t.Cleanup(func() { unix.Close(fd) })
}

// narrow gives new connections a small send buffer, so that what a client does
// not read is soon stuck.
func (s *ringServer) narrow() {
	s.t.Helper()
	noErr(s.t, unix.SetsockoptInt(s.listener, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10))
}

// end drains and returns what that cut off; the first call counts.
func (s *ringServer) end(grace time.Duration) model.Ended {
	s.stop.Do(func() {
		s.Drain(grace)
		s.ended = s.Wait()
		if s.ended.Err != nil {
			s.t.Errorf("the loop failed: %v", s.ended.Err)
		}
	})
	return s.ended
}

// look has the loop run f between two requests of its own connection.
func (s *ringServer) look(f func(*ring)) {
	s.t.Helper()
	done := make(chan struct{})
	s.looks <- func(r *ring) { f(r); close(done) }
	c := s.dial(0)
	defer c.Close()
	c.send("/look", true)
	c.expect(200)
	<-done
}

// until looks until the condition holds.
func (s *ringServer) until(what string, condition func(*ring) bool) {
	s.t.Helper()
	testkit.Until(s.t, "waited in vain: "+what, func() (holds bool) {
		s.look(func(r *ring) { holds = condition(r) })
		return holds
	})
}

type ringClient struct {
	*net.TCPConn
	t *testing.T
	r *bufio.Reader
}

// dial connects; room is the receive buffer, 0 the default.
func (s *ringServer) dial(room int) *ringClient {
	s.t.Helper()
	d := net.Dialer{}
	if room > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, room) })
		}
	}
	c, err := d.Dial("tcp", s.addr)
	noErr(s.t, err)
	noErr(s.t, c.SetDeadline(time.Now().Add(2*ringPatience)))
	s.t.Cleanup(func() { c.Close() })
	return &ringClient{c.(*net.TCPConn), s.t, bufio.NewReader(c)}
}

func ringRequest(path string, last bool) string {
	text := "GET " + path + " HTTP/1.1\r\nHost: h\r\n"
	if last {
		text += "Connection: close\r\n"
	}
	return text + "\r\n"
}

func (c *ringClient) send(path string, last bool) *ringClient {
	c.t.Helper()
	_, err := io.WriteString(c, ringRequest(path, last))
	noErr(c.t, err)
	return c
}

// expect reads one answer and returns its body.
func (c *ringClient) expect(status int) []byte {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	noErr(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	noErr(c.t, err)
	if resp.StatusCode != status {
		c.t.Fatalf("the status is %d (%.200q), not %d", resp.StatusCode, body, status)
	}
	return body
}

func (c *ringClient) expectEnd() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err != io.EOF {
		c.t.Fatalf("read %q, %v instead of the end of the stream", b, err)
	}
}

// TestRingAnswers: each kind of answer arrives whole, on one connection, one
// by one and pipelined, with requests longer than the ring's buffers.
func TestRingAnswers(t *testing.T) {
	s := startRing(t)
	c := s.dial(0)
	bodies := map[string][]byte{
		"/small": ringSmall, "/medium": ringMedium, "/huge": ringHuge, "/file": ringHuge,
		"/source": ringMedium, "/defer": ringSmall,
		"/small?" + strings.Repeat("long", 1500): ringSmall,
	}
	var all strings.Builder
	var order []string
	for range 3 {
		for path, want := range bodies {
			if got := c.send(path, false).expect(200); !bytes.Equal(got, want) {
				t.Fatalf("%.20s: %d bytes, want %d", path, len(got), len(want))
			}
			all.WriteString(ringRequest(path, false))
			order = append(order, path)
		}
	}
	go func() {
		io.WriteString(c, all.String())
		c.CloseWrite()
	}()
	for _, path := range order {
		if got := c.expect(200); !bytes.Equal(got, bodies[path]) {
			t.Fatalf("%.20s: %d bytes, want %d", path, len(got), len(bodies[path]))
		}
	}
	c.expectEnd()
}

// TestRingBytewise: a request that arrives byte by byte is one request.
func TestRingBytewise(t *testing.T) {
	s := startRing(t)
	c := s.dial(0)
	for _, b := range []byte(ringRequest("/small", false)) {
		_, err := c.Write([]byte{b})
		noErr(t, err)
	}
	c.expect(200)
}

// TestRingBackpressure: a client that pipelines 100 MB without reading is held
// back by TCP: no recv is out for it and one piece of memory is all it has,
// while others are answered.
func TestRingBackpressure(t *testing.T) {
	s := startRing(t)
	s.narrow()
	greedy := s.dial(4 << 10)
	written := make(chan int, 1)
	go func() {
		const most = 100 << 20
		flood := []byte(strings.Repeat(ringRequest("/small", false), 1000))
		total := 0
		for total < most {
			n, err := greedy.Write(flood)
			total += n
			if err != nil {
				break
			}
		}
		written <- total
	}()
	s.until("the greedy one is stuck", func(r *ring) bool {
		stuck := false
		r.eachLink(func(k *connection) { stuck = stuck || (k.send.rest || k.send.polling) && !k.recv.out })
		return stuck
	})
	other := s.dial(0)
	for range 1000 {
		other.send("/small", false).expect(200)
	}
	served := s.served.Load()
	s.look(func(r *ring) {
		r.eachLink(func(k *connection) {
			if (k.send.rest || k.send.polling) && (k.recv.out || k.buffer >= 0) {
				t.Error("a recv is out for the one that does not read")
			}
		})
		if n := len(r.out.chunks); n > 1 {
			t.Errorf("%d chunks of memory for one connection", n)
		}
	})
	other.send("/small", false).expect(200)
	if n := s.served.Load() - served; n != 2 {
		t.Errorf("%d requests were answered, 2 are the others'", n)
	}
	noErr(t, greedy.SetReadBuffer(1<<20))
	greedy.Close()
	if n := <-written; n >= 100<<20 {
		t.Errorf("all %d bytes were taken", n)
	}
}

// eachLink calls f for every connection.
func (r *ring) eachLink(f func(*connection)) {
	for _, k := range r.connections {
		if k.token != 0 {
			f(k)
		}
	}
}

// TestRingLeaves: an answer that was the last, and for which the socket has no
// room, is sent to its end before the connection is closed.
func TestRingLeaves(t *testing.T) {
	s := startRing(t)
	s.narrow()
	c := s.dial(4 << 10)
	answers := s.stick(c)
	noErr(t, c.CloseWrite())
	s.until("it has ended but for that", func(*ring) bool { return s.Open() == 1 }) // the one that looks
	for range answers {
		if got := c.expect(200); !bytes.Equal(got, ringMedium) {
			t.Errorf("%d bytes came", len(got))
		}
	}
	c.expectEnd()
	s.until("its memory is free", func(r *ring) bool { return sendingLinks(r) == 0 && len(r.out.free) == piecesChunk })
}

func sendingLinks(r *ring) (n int) {
	r.eachLink(func(k *connection) {
		if k.send.rest {
			n++
		}
	})
	return n
}

// stick asks for /medium, one by one and without reading, until an answer of
// the ring's finds no room in the socket. It returns how many were asked for.
func (s *ringServer) stick(c *ringClient) (answers int) {
	s.t.Helper()
	c.send("/small", false).expect(200) // from here on sends are the ring's
	for stuck := false; !stuck; answers++ {
		served := s.medium.Load()
		c.send("/medium", false)
		s.until("it is served and submitted", func(r *ring) bool {
			queued := false
			r.eachLink(func(k *connection) { queued = queued || k.send.queued })
			stuck = sendingLinks(r) == 1
			return s.medium.Load() > served && !queued
		})
	}
	return answers
}

// TestRingGivesUp: a peer that takes nothing more of its last answer is cut
// off when timeouts.send is over, and the memory comes back.
func TestRingGivesUp(t *testing.T) {
	s := startRing(t, func(o *reactor.Options) { o.Config.Send = 50 * time.Millisecond })
	s.narrow()
	c := s.dial(4 << 10)
	s.stick(c)
	noErr(t, c.CloseWrite())
	s.until("it is given up", func(r *ring) bool {
		return len(r.out.free) == piecesChunk && len(r.out.orphans) == 0
	})
	if e := s.end(ringPatience); e.Cut != 0 || e.Idle != 0 {
		t.Errorf("ended with %+v", e)
	}
}

// TestRingReset: a peer that resets the connection under an answer costs nothing but that.
func TestRingReset(t *testing.T) {
	s := startRing(t)
	s.narrow()
	for _, path := range []string{"/medium", "/huge", "/file"} {
		c := s.dial(4 << 10)
		if path == "/medium" {
			s.stick(c)
		} else {
			c.send("/small", false).expect(200)
			c.send(path, false)
		}
		testkit.Until(t, "it is not served", func() bool { return s.served.Load() >= 2 })
		noErr(t, c.SetLinger(0))
		c.Close()
	}
	s.until("all are gone", func(r *ring) bool {
		return s.Open() == 1 && len(r.out.free) == len(r.out.chunks)*piecesChunk
	})
}

// TestRingIdle: idle connections end with their timer, though a recv is out for each.
func TestRingIdle(t *testing.T) {
	s := startRing(t, func(o *reactor.Options) {
		o.Config.FirstByte, o.Config.KeepAlive = 20*time.Millisecond, 20*time.Millisecond
	})
	silent, kept := s.dial(0), s.dial(0)
	kept.send("/small", false).expect(200)
	silent.expectEnd()
	kept.expectEnd()
}

// TestRingConnections: beyond the limit the oldest idle connection makes room.
func TestRingConnections(t *testing.T) {
	s := startRing(t, func(o *reactor.Options) { o.Connections = 2 })
	first, second := s.dial(0), s.dial(0)
	first.send("/small", false).expect(200)
	second.send("/small", false).expect(200)
	third := s.dial(0)
	third.send("/small", false).expect(200)
	first.expectEnd()
	second.send("/small", false).expect(200)
}

// TestRingManyAtOnce: more connections than there are buffers, and more
// requests than the ring takes at a time, are all answered, again and again.
func TestRingManyAtOnce(t *testing.T) {
	for _, buffers := range []int{1, recvBuffers} {
		t.Run(fmt.Sprint(buffers), func(t *testing.T) {
			s := startRingOf(t, buffers)
			var clients []*ringClient
			for range 3 * recvBuffers {
				clients = append(clients, s.dial(0))
			}
			for range 3 {
				blocked, release := make(chan struct{}), make(chan struct{})
				s.looks <- func(*ring) { close(blocked); <-release }
				looker := s.dial(0).send("/look", true)
				<-blocked
				for _, c := range clients {
					c.send("/small", false)
				}
				close(release)
				for _, c := range clients {
					c.expect(200)
				}
				looker.expect(200)
			}
		})
	}
}

// TestRingKeeps: what arrives for a connection that does not read just then
// is kept, and not in one of the ring's buffers.
func TestRingKeeps(t *testing.T) {
	s := startRing(t)
	c := s.dial(0)
	c.send("/small", false).expect(200)
	s.look(func(r *ring) { r.eachLink(func(k *connection) { k.recv.wanted = false }) })
	for range 2 {
		if got := c.send("/small", false).expect(200); !bytes.Equal(got, ringSmall) {
			t.Errorf("%d bytes came", len(got))
		}
	}
	s.look(func(r *ring) {
		r.eachLink(func(k *connection) {
			if k.buffer >= 0 {
				t.Error("a connection that waits holds a buffer")
			}
		})
	})
}

// TestRingDrain: what waits to be accepted is accepted and answered when the server drains.
func TestRingDrain(t *testing.T) {
	s := startRing(t)
	kept := s.dial(0)
	kept.send("/small", false).expect(200)
	blocked, release := make(chan struct{}), make(chan struct{})
	s.looks <- func(*ring) { close(blocked); <-release }
	looker := s.dial(0).send("/look", false)
	<-blocked
	var waiting []*ringClient
	for range 200 {
		waiting = append(waiting, s.dial(0).send("/small", false))
	}
	ended := make(chan model.Ended)
	go func() { ended <- s.end(ringPatience) }()
	close(release)
	for _, c := range append(waiting, looker) {
		c.expect(200)
	}
	for _, c := range waiting {
		c.Close()
	}
	looker.Close()
	kept.Close()
	if e := <-ended; e != (model.Ended{}) {
		t.Errorf("ended with %+v", e)
	}
}

// TestRingOutOfDescriptors: while there are none, who comes first is answered, and the
// others when there are again.
func TestRingOutOfDescriptors(t *testing.T) {
	s := startRing(t)
	var sockets []int
	for range 4 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		noErr(t, err)
		sockets = append(sockets, fd)
	}
	var fillers []int
	var limit unix.Rlimit
	noErr(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	low := limit
	low.Cur = 1024
	noErr(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	defer func() { noErr(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }()
	for {
		fd, err := unix.FcntlInt(uintptr(sockets[0]), unix.F_DUPFD_CLOEXEC, 0)
		if err == unix.EMFILE {
			break
		}
		noErr(t, err)
		fillers = append(fillers, fd)
	}
	var port int
	fmt.Sscanf(s.addr, "127.0.0.1:%d", &port)
	request := []byte(ringRequest("/small", true))
	for _, fd := range sockets {
		noErr(t, unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}))
		_, err := unix.Write(fd, request)
		noErr(t, err)
	}
	first := make([]byte, 64)
	// The reserve is given up for a 503, unless the kernel had a descriptor in hand: an accept
	// takes one before it looks for a connection, and gives it back if there is none.
	n, err := unix.Read(sockets[0], first)
	noErr(t, err)
	if !strings.HasPrefix(string(first[:n]), "HTTP/1.1 503 ") &&
		!strings.HasPrefix(string(first[:n]), "HTTP/1.1 200 ") {
		t.Errorf("without a descriptor the answer is %.40q", first[:n])
	}
	for _, fd := range fillers {
		unix.Close(fd)
	}
	for _, fd := range sockets[1:] {
		n, err := unix.Read(fd, first)
		noErr(t, err)
		if !strings.HasPrefix(string(first[:n]), "HTTP/1.1 200 ") &&
			!strings.HasPrefix(string(first[:n]), "HTTP/1.1 503 ") {
			t.Errorf("the answer is %.40q", first[:n])
		}
	}
	for _, fd := range sockets {
		unix.Close(fd)
	}
	s.dial(0).send("/small", false).expect(200)
}

// TestRingNoAllocation: a small request allocates nothing in steady state.
func TestRingNoAllocation(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	answer := fmt.Appendf(nil, "Content-Length: %d\r\n", len(ringSmall))
	s := startRing(t, func(o *reactor.Options) {
		o.NewHandler = func() conn.Handler {
			return handlerFunc(func(_ *http1.Request, _ []byte, out *conn.Output) {
				out.Head(200, answer)
				out.Bytes(ringSmall)
			})
		}
	})
	c := s.dial(0)
	raw, err := c.SyscallConn()
	noErr(t, err)
	var fd int
	noErr(t, raw.Control(func(n uintptr) { fd = int(n) }))
	noErr(t, unix.SetNonblock(fd, false))
	request, buf := []byte(ringRequest("/", false)), make([]byte, 4<<10)
	exchange := func() {
		if _, err := unix.Write(fd, request); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fd, buf); err != nil || n < len(ringSmall) {
			t.Fatal(n, err)
		}
	}
	for range 100 {
		exchange()
	}
	if n := testing.AllocsPerRun(500, exchange); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

type handlerFunc func(*http1.Request, []byte, *conn.Output)

func (f handlerFunc) Serve(req *http1.Request, buf []byte, out *conn.Output) { f(req, buf, out) }

// TestRingIsNoPollerOfOthers: what is no listener is refused with the reason.
func TestRingIsNoPollerOfOthers(t *testing.T) {
	p, err := (&opener{size: sizes[0]}).open(poller.Options{})
	if err != nil {
		t.Skip(err)
	}
	defer func() { noErr(t, p.Close()) }()
	if err := p.Add(0, 1<<32, poller.Readable, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Add of a connection: %v", err)
	}
	if err := p.Modify(0, 0, poller.Readable); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Modify: %v", err)
	}
	if err := p.Remove(0); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Remove of what was never added: %v", err)
	}
}

// TestRingRequestsOverflow: requests beyond what the ring holds are submitted on the way.
func TestRingRequestsOverflow(t *testing.T) {
	p, err := (&opener{size: sizes[0]}).open(poller.Options{})
	if err != nil {
		t.Skip(err)
	}
	r := p.(*ring)
	locked(t)
	_, err = r.Wait(make([]poller.Event, 1), 0)
	noErr(t, err)
	for range 3 * int(sizes[0].requests) {
		r.request(0, opCancel).PrepareNop()
	}
	_, err = r.Wait(make([]poller.Event, 1), 0)
	noErr(t, err)
	if r.ring.Pending() != 0 {
		t.Errorf("%d requests pend", r.ring.Pending())
	}
	noErr(t, r.Close())
	noErr(t, r.Close())
	noErr(t, r.Wake()) // after Close it does nothing
}

// TestProbe: the loops are offered exactly where a ring is to be had.
func TestProbe(t *testing.T) {
	if got, want := Probe(), uring.Probe(8, 16); (got == nil) != (want == nil) {
		t.Errorf("the loops say %v, the ring %v", got, want)
	}
}

func noErr(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ringDescriptors counts those below a number that no test reaches.
func ringDescriptors() (n int) {
	for fd := range 2048 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

// locked keeps the test on its thread, which a ring belongs to.
func locked(t *testing.T) {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
}
