package conn

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/sendfile"
)

// connSizeMax is what a connection may cost here. An idle connection is to
// take 400 bytes in all; its slot in a loop adds some 60 of its own, the poller
// and the Go runtime's rounding and growth of the slabs get the rest. It is far
// below that now, and a field is not to be added without looking at this.
const connSizeMax = 112

func TestSizeOfConn(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > connSizeMax {
		t.Errorf("a Conn has %d bytes, want at most %d: what few connections need belongs into pending", size,
			connSizeMax)
	}
}

// Whatever it has done before, an idle connection holds no memory.
func TestIdleConnectionHoldsNoBuffer(t *testing.T) {
	for i := range scenarios {
		s := &scenarios[i]
		r := s.play(t, []string{s.send}, nil)
		if phase, _ := r.c.Phase(); phase == PhaseIdle {
			if r.c.in != nil || r.c.out != nil || r.c.pending != nil || len(r.live) != 0 {
				t.Errorf("%s: an idle connection holds memory", s.name)
			}
		}
		r.release()
	}
	r := newRig(t, testConfig())
	r.start(newScript(t))
	r.run()
	if r.c.in != nil || r.c.out != nil || r.c.pending != nil || len(r.live) != 0 {
		t.Error("a new connection holds memory")
	}
	r.release()
}

// A half-sent head costs little more than itself.
func TestPartialHeadHoldsASmallBuffer(t *testing.T) {
	r := newRig(t, testConfig())
	r.start(newScript(t, "GET /a HTTP/1.1\r\n"))
	r.run()
	if n := cap(r.c.in.b); n > classLow {
		t.Error("a head of a few bytes takes", n)
	}
	r.release()
}

// nullLog takes lines as an AccessLog does that has room.
type nullLog struct{ line []byte }

func (g *nullLog) Log(a *Access, _, _ int64) {
	g.line = append(g.line[:0], a.Req.Target.In(a.Buf)...)
}

func (g *nullLog) Begin(dst []byte, a *Access) ([]byte, int) {
	dst = append(dst, a.Req.Target.In(a.Buf)...)
	return dst, len(dst)
}

func (g *nullLog) End(line []byte, _ int, _, _ int64) { g.line = append(g.line[:0], line...) }
func (g *nullLog) Tick(int64) int64                   { return 0 }

// large answers with a file.
type large struct {
	head []byte
	file *sendfile.File
	size int64
}

func (h *large) Serve(_ *http1.Request, _ []byte, out *Output) {
	out.Head(200, h.head)
	out.File(h.file, 0, h.size)
}

// missing answers 404.
type missing struct{}

func (missing) Serve(_ *http1.Request, _ []byte, out *Output) {
	out.Fail(404, "", "no such file (RFC 9110 section 15.5.5)")
}

// Nothing is allocated for a request in steady state.
func TestAllocations(t *testing.T) {
	file := sendfile.New(-1, sendfile.InMemory, func(int) {})
	defer file.Release()
	// In one turn, and in several, so that the queue is moved out of the scratch between.
	big := &large{head: []byte("Content-Length: 4194304\r\n"), file: file, size: 4 << 20}
	for _, tt := range []struct {
		name    string
		handler Handler
		input   []string
		retries bool // every second call of the transport has to wait
	}{
		{name: "keep-alive", handler: newSmall(), input: []string{benchRequest}},
		{name: "pipelined", handler: newSmall(), input: []string{strings.Repeat(benchRequest, 16)}},
		{name: "many pipelined", handler: newSmall(), input: []string{strings.Repeat(benchRequest, 300)}},
		{name: "file", handler: big, input: []string{benchRequest}},
		{name: "files", handler: big, input: []string{strings.Repeat(benchRequest, 3)}, retries: true},
		{name: "404", handler: missing{}, input: []string{benchRequest}},
		{name: "a head in two parts", handler: newSmall(), input: []string{benchRequest[:20], benchRequest[20:]}},
		{name: "short sends", handler: newSmall(), input: []string{benchRequest}, retries: true},
		{name: "a body", handler: newSmall(), input: []string{post("", "Content-Length: 5"), "he", "llo"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWorkspace(benchConfig(), tt.handler, &nullLog{})
			w.Clock = clock.Time{Mono: 1, Wall: 1_700_000_000e9}
			tr := &partTransport{retries: tt.retries}
			inputs := make([][]byte, len(tt.input))
			for i := range tt.input {
				inputs[i] = []byte(tt.input[i])
			}
			var c Conn
			c.Start(w, Addr{}, false)
			answer := func() {
				w.Clock.Mono += int64(time.Millisecond)
				tr.left = inputs
				for want := WantYield; want != WantRead || len(tr.left) > 0; {
					if want = c.Step(tr, w); want == WantClose {
						t.Fatal("closed")
					}
				}
			}
			for range 10 {
				answer()
			}
			if n := testing.AllocsPerRun(200, answer); n != 0 && !testkit.Race {
				t.Errorf("%v allocations", n)
			}
			c.Release(w)
		})
	}
}

// partTransport gives one part a Recv and, with retries, takes half of what it is given every
// other time and nothing in between.
type partTransport struct {
	nullTransport
	left    [][]byte
	retries bool
	calls   int
}

func (t *partTransport) Recv(p []byte) (int, error) {
	if len(t.left) == 0 {
		return 0, ErrAgain
	}
	n := copy(p, t.left[0])
	if n < len(t.left[0]) {
		return 0, bytes.ErrTooLarge
	}
	t.left = t.left[1:]
	return n, nil
}

func (t *partTransport) Send(head, body []byte, more bool) (int, error) {
	n, err := t.SendFile(nil, 0, int64(len(head)+len(body)))
	return int(n), err
}

func (t *partTransport) SendFile(_ *sendfile.File, _, count int64) (int64, error) {
	t.calls++
	switch {
	case t.retries && t.calls%2 == 0:
		return 0, ErrAgain
	case t.retries:
		return (count + 1) / 2, nil
	}
	return count, nil
}
