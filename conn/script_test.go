package conn

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/http1"
	"github.com/evhttpd/evhttpd/sendfile"
)

// fault is what one call of a scripted Transport does instead of its work.
type fault uint8

const (
	noFault fault = iota
	short         // one byte
	again         // ErrAgain, once
	reset         // ECONNRESET, from then on
	numFaults
)

func (f fault) String() string { return [...]string{"whole", "short", "again", "reset"}[f] }

// hangup is what the peer has ended, as Hangup tells it.
type hangup int

const (
	noHangup hangup = iota
	halfClosed
	resetByPeer
)

// script is a Transport whose peer sends the given chunks and takes everything.
type script struct {
	tb    testing.TB
	input [][]byte // one Recv gives no more than one
	eof   bool     // the peer half-closes behind the last
	fault func(call int) fault
	room  int            // bytes that the peer takes before ErrAgain; -1: no limit
	cold  map[int64]bool // parts of files, by their offset, that are not resident

	out        []byte
	calls      int
	sends      int // Send calls that took something
	sendfiles  int
	more       []bool // of each Send
	dead       bool
	hangup     hangup
	starved    bool // the last Recv found nothing, and nothing will come
	shut       bool // CloseWrite was called
	recvAfter  int  // bytes received after CloseWrite
	unacked    int
	unackedAsk int
}

func newScript(tb testing.TB, input ...string) *script {
	t := &script{tb: tb, room: -1, unacked: -1}
	for _, s := range input {
		t.input = append(t.input, []byte(s))
	}
	return t
}

// next is the fault of this call.
func (t *script) next() fault {
	call := t.calls
	t.calls++
	if t.dead {
		return reset
	}
	if t.fault == nil {
		return noFault
	}
	f := t.fault(call)
	t.dead = f == reset
	return f
}

func (t *script) Recv(p []byte) (int, error) {
	t.starved = false
	if len(p) == 0 {
		t.tb.Fatal("Recv into no room")
	}
	f := t.next()
	switch f {
	case again:
		return 0, ErrAgain
	case reset:
		return 0, syscall.ECONNRESET
	}
	for len(t.input) > 0 && len(t.input[0]) == 0 {
		t.input = t.input[1:]
	}
	if len(t.input) == 0 {
		if t.eof {
			return 0, io.EOF
		}
		t.starved = true
		return 0, ErrAgain
	}
	if f == short {
		p = p[:1]
	}
	n := copy(p, t.input[0])
	t.input[0] = t.input[0][n:]
	if t.shut {
		t.recvAfter += n
	}
	return n, nil
}

// take is how many of n bytes the peer takes now.
func (t *script) take(n int) (int, error) {
	switch t.next() {
	case again:
		return 0, ErrAgain
	case reset:
		return 0, syscall.ECONNRESET
	case short:
		n = 1
	}
	if t.room >= 0 {
		n = min(n, t.room)
		t.room -= n
	}
	if n == 0 {
		return 0, ErrAgain
	}
	return n, nil
}

func (t *script) Send(head, body []byte, more bool) (int, error) {
	if len(head)+len(body) == 0 {
		t.tb.Fatal("Send of nothing")
	}
	if t.shut {
		t.tb.Fatal("Send after CloseWrite")
	}
	n, err := t.take(len(head) + len(body))
	if err != nil {
		return 0, err
	}
	t.sends++
	t.more = append(t.more, more)
	t.out = append(t.out, head[:min(n, len(head))]...)
	t.out = append(t.out, body[:n-min(n, len(head))]...)
	return n, nil
}

func (t *script) SendFile(f *sendfile.File, offset, count int64) (int64, error) {
	if count <= 0 {
		t.tb.Fatal("SendFile of", count)
	}
	n, err := t.take(int(count))
	if err != nil {
		return 0, err
	}
	p := make([]byte, n)
	n, err = syscall.Pread(f.FD(), p, offset)
	if err != nil {
		t.tb.Fatal(err)
	}
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	t.sendfiles++
	t.out = append(t.out, p[:n]...)
	return int64(n), nil
}

func (t *script) Resident(_ *sendfile.File, offset, _ int64) bool { return !t.cold[offset] }

func (t *script) CloseWrite() error {
	switch t.next() {
	case again:
		return ErrAgain
	case reset:
		return syscall.ENOTCONN
	}
	if t.shut {
		t.tb.Fatal("CloseWrite twice")
	}
	t.shut = true
	return nil
}

func (t *script) Unacked() int { t.unackedAsk++; return t.unacked }

func (t *script) Hangup() (half, all bool) { return t.hangup != noHangup, t.hangup == resetByPeer }

// ledger is an AccessLog that keeps its lines.
type ledger struct {
	tb    testing.TB
	lines []string
	open  int // lines that were begun and not ended
}

func (g *ledger) text(a *Access) string {
	target := "-"
	if a.Req != nil {
		target = string(a.Req.Target.In(a.Buf))
	}
	return fmt.Sprintf("%s %d", target, a.Status)
}

func (g *ledger) Log(a *Access, bytes, took int64) {
	if took < 0 {
		g.tb.Error("took", took)
	}
	g.lines = append(g.lines, fmt.Sprintf("%s %d", g.text(a), bytes))
}

func (g *ledger) Begin(dst []byte, a *Access) ([]byte, int) {
	g.open++
	dst = append(dst, g.text(a)...)
	return dst, len(dst)
}

func (g *ledger) End(line []byte, mark int, bytes, took int64) {
	g.open--
	if mark != len(line) || took < 0 {
		g.tb.Errorf("End of %q with mark %d, took %d", line, mark, took)
	}
	g.lines = append(g.lines, fmt.Sprintf("%s %d", line, bytes))
}

func (g *ledger) Tick(int64) int64 { return 0 }

// counted is a Result whose references are counted.
type counted struct{ refs, made int }

func (r *counted) Retain()  { r.refs++ }
func (r *counted) Release() { r.refs-- }

// countedJob makes a reference of its rig's result.
type countedJob struct{ r *counted }

func (j *countedJob) Key() any          { return nil }
func (j *countedJob) Class() JobClass   { return JobFile }
func (j *countedJob) Run(Demand) Result { j.r.refs++; j.r.made++; return j.r }

// tap is a Source that gives its parts with ErrAgain between them.
type tap struct {
	rig    *rig
	parts  []string
	parked bool
	end    error
}

func (s *tap) Next(p []byte) (int, error) {
	if s.parked = !s.parked; s.parked {
		return 0, ErrAgain
	}
	if len(s.parts) == 0 {
		return 0, s.end
	}
	n := copy(p, s.parts[0])
	if s.parts[0] = s.parts[0][n:]; s.parts[0] == "" {
		s.parts = s.parts[1:]
	}
	return n, nil
}

func (s *tap) Close()  { s.rig.taps-- }
func (*tap) Size() int { return 1000 }

// rig is a connection with everything around it, and what it must give back.
type rig struct {
	tb      testing.TB
	l       *Workspace
	c       Conn
	t       *script
	log     *ledger
	file    *sendfile.File
	closed  int // times the file's descriptor was closed
	result  counted
	taps    int // sources not closed
	budget  Budget
	live    map[*buffer]bool
	served  int // calls of Serve
	alone   []bool
	wants   []Want
	started bool
}

const (
	fileSize = 300<<10 + 7 // two turns and an odd rest
	poison   = 0xDB
)

// fileContent counts, so that it is different at every offset that matters.
var fileContent = func() string {
	var b []byte
	for i := 0; len(b) < fileSize; i++ {
		b = append(strconv.AppendInt(b, int64(i), 10), ',')
	}
	return string(b[:fileSize])
}()

// pattern is the first n bytes of it.
func pattern(n int) string { return fileContent[:n] }

func testConfig() *Config {
	cfg := benchConfig()
	cfg.Server = "test"
	return cfg
}

func newRig(tb testing.TB, cfg *Config) *rig {
	r := &rig{tb: tb, live: make(map[*buffer]bool)}
	r.log = &ledger{tb: tb}
	r.l = NewWorkspace(cfg, r, r.log)
	r.l.Share = r.budget.Join(func() {})
	r.l.Clock = clock.Time{Mono: 1e9, Wall: 784111777e9}
	r.file = r.open()
	onBuffer = func(b *buffer, taken bool) {
		if r.live[b] == taken {
			tb.Errorf("buffer taken: %v, twice", taken)
		}
		if delete(r.live, b); taken {
			r.live[b] = true
		} else {
			fill(b.b)
		}
	}
	tb.Cleanup(func() { onBuffer = nil })
	return r
}

// fixture is the one file that all rigs send, removed at once but for its descriptor.
var fixture = sync.OnceValue(func() *os.File {
	f, err := os.CreateTemp("", "conn")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err == nil {
		_, err = f.WriteString(fileContent)
	}
	if err != nil {
		panic(err)
	}
	return f
})

// open makes the rig's file of the fixture's descriptor.
func (r *rig) open() *sendfile.File {
	return sendfile.New(int(fixture().Fd()), 0, func(int) { r.closed++ })
}

var poisoned = bytes.Repeat([]byte{poison}, 128<<10)

// fill overwrites all that b has room for.
func fill(b []byte) {
	for b = b[:cap(b)]; len(b) > 0; {
		b = b[copy(b, poisoned):]
	}
}

// step steps the connection and poisons all that it must not keep.
func (r *rig) step() Want {
	want := r.c.Step(r.t, r.l)
	r.after(want)
	return want
}

func (r *rig) expire() Want {
	want := r.c.Expire(r.t, r.l)
	r.after(want)
	return want
}

func (r *rig) after(want Want) {
	r.wants = append(r.wants, want)
	fill(r.l.in)
	fill(r.l.out.arena)
	fill(r.l.out.line)
	fill(r.l.out.scratch)
	if phase, _ := r.c.Phase(); phase >= NumPhases {
		r.tb.Fatal("no phase after a step that wants", want)
	}
	r.checkHeld()
	if !r.l.out.empty() || r.l.out.chunk != nil {
		r.tb.Fatal("the loop's queue is not empty after a step that wants", want)
	}
}

// checkHeld checks that what is counted is what the connection holds.
func (r *rig) checkHeld() {
	r.l.Tell()
	if held, _ := r.c.Held(); r.budget.Used() != held {
		r.tb.Fatalf("%d bytes are counted, and the connection holds %d", r.budget.Used(), held)
	}
	if used := r.l.Share.told.Load(); used != r.budget.Used() {
		r.tb.Fatalf("%d bytes of the share, and %d of the budget", used, r.budget.Used())
	}
}

// start makes the rig's connection one that begins with that transport.
func (r *rig) start(t *script) {
	r.t, r.started = t, true
	r.c.Start(r.l, Addr{}, false)
}

// run drives the connection until it closes or its peer has nothing more to
// say, and returns what it wants then.
func (r *rig) run() Want {
	for range 1 << 20 {
		want := r.step()
		switch want {
		case WantClose:
			r.release()
			return want
		case WantDeferred:
			r.work()
		case WantRead:
			if r.t.starved {
				return want
			}
		case WantWrite:
			if r.t.room == 0 {
				return want
			}
		}
	}
	r.tb.Fatal("the connection does not come to rest")
	return WantClose
}

// work runs the job that the connection waits for.
func (r *rig) work() {
	job, ticket, _ := r.c.TakeJob()
	if !r.c.Resume(ticket, job.Run(nil), nil) {
		r.tb.Fatal("the result of the job was not wanted")
	}
}

// release ends the connection, unless that was done, and checks that nothing is held any more.
func (r *rig) release() {
	if r.started {
		r.c.Release(r.l)
		r.started = false
	}
	if r.file == nil {
		return
	}
	if len(r.live) != 0 {
		r.tb.Errorf("%d buffers not given back", len(r.live))
	}
	if r.result.refs != 0 {
		r.tb.Errorf("%d references to results left of %d", r.result.refs, r.result.made)
	}
	if r.taps != 0 {
		r.tb.Errorf("%d sources left", r.taps)
	}
	if r.log.open != 0 {
		r.tb.Errorf("%d access lines begun and not ended", r.log.open)
	}
	if r.c.pending != nil || r.c.in != nil || r.c.out != nil {
		r.tb.Error("a released connection holds memory")
	}
	if r.closed != 0 {
		r.tb.Error("the file was closed while the rig held it")
	}
	r.file.Release()
	r.file = nil
	if r.closed != 1 {
		r.tb.Error("a reference to the file is left")
	}
	onBuffer = nil
}

// Serve answers by the path's first segment.
func (r *rig) Serve(req *http1.Request, buf []byte, out *Output) {
	r.served++
	r.alone = append(r.alone, out.Alone())
	path := string(req.Path.In(buf))
	kind, arg, _ := strings.Cut(path[1:], "/")
	n, _ := strconv.Atoi(arg)
	switch kind {
	case "shared":
		r.head(out, n)
		out.Shared([]byte(pattern(n)))
	case "file":
		r.head(out, len(fileContent))
		out.File(r.file, 0, int64(len(fileContent)))
	case "parts": // what a multipart answer is made of
		r.head(out, 4+100+4+200)
		out.Bytes([]byte("one:"))
		out.File(r.file, 1000, 100)
		out.Shared([]byte("two:"))
		out.File(r.file, 5000, 200)
	case "slices": // the same, of very many parts
		r.head(out, 2*n)
		for i := range n {
			out.Bytes([]byte{'-'})
			out.File(r.file, int64(3*i), 1)
		}
	case "long": // the file is shorter than what was announced
		r.head(out, len(fileContent)+10)
		out.File(r.file, 0, int64(len(fileContent)+10))
	case "source", "torn":
		r.head(out, 40<<10+6)
		r.taps++
		src := &tap{rig: r, parts: []string{"abc", pattern(40 << 10)}, end: io.EOF}
		if kind == "torn" {
			src.end = syscall.EIO
		}
		out.Source(src)
		out.Bytes([]byte("end"))
	case "defer":
		if r.result.made < n {
			out.Defer(&countedJob{&r.result})
			return
		}
		if n > 0 && out.Result() != &r.result {
			r.tb.Error("no result after a job")
		}
		r.text(out, "deferred")
	case "fail":
		out.Fail(404, "X-Why: test\r\n", "no such thing")
	case "close":
		out.Close()
		r.text(out, "bye")
	case "none":
	default:
		r.text(out, string(req.Name.In(buf))+" "+string(req.Target.In(buf)))
	}
}

func (r *rig) head(out *Output, length int) {
	out.Head(200, fmt.Appendf(nil, "Content-Length: %d\r\n", length))
}

func (r *rig) text(out *Output, body string) {
	r.head(out, len(body))
	out.Bytes([]byte(body))
}

// reply is one parsed answer.
type reply struct {
	status int
	fields string
	body   string
}

// replies parses what came out. heads: the numbers of those answers that have
// no body whatever their length says.
func replies(tb testing.TB, out []byte, heads ...int) (all []reply) {
	tb.Helper()
	for len(out) > 0 {
		head, rest, ok := bytes.Cut(out, []byte("\r\n\r\n"))
		if !ok || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
			tb.Fatalf("answer %d has no whole head: %.200q", len(all), out)
		}
		rep := reply{fields: string(head) + "\r\n"}
		rep.status, _ = strconv.Atoi(string(head[9:12]))
		n := 0
		if _, length, ok := strings.Cut(rep.fields, "\r\nContent-Length: "); ok {
			n, _ = strconv.Atoi(length[:strings.Index(length, "\r\n")])
		}
		for _, i := range heads {
			if i == len(all) {
				n = 0
			}
		}
		if len(rest) < n {
			tb.Fatalf("answer %d ends at %d of %d bytes", len(all), len(rest), n)
		}
		rep.body, out = string(rest[:n]), rest[n:]
		if rep.status >= 200 && strings.Count(rep.fields, "\r\nDate: ") != 1 {
			tb.Errorf("answer %d has not one Date: %q", len(all), rep.fields)
		}
		all = append(all, rep)
	}
	return all
}

func (p reply) closes() bool { return strings.Contains(p.fields, "\r\nConnection: close\r\n") }
func (p reply) keeps() bool  { return strings.Contains(p.fields, "\r\nConnection: keep-alive\r\n") }

// sleep moves the rig's clock.
func (r *rig) sleep(d time.Duration) {
	r.l.Clock.Mono += int64(d)
	r.l.Clock.Wall += int64(d)
}
