package attacks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// kind is one kind of attack.
type kind struct {
	name string
	does string // what it does, for the table in docs/reliability.md
	// sign is the metric by which the server names the attack: it grows meanwhile, or is a gauge above 0. "": the
	// kernel keeps the attack from the server.
	sign string
	// at many attack at a time, each again after every. They are few and slow enough that two CPUs serve them
	// and the server.
	at    int
	every time.Duration
	// holds says that they hold connections: more of them hold more.
	holds bool
	// round attacks once, until the connection has ended or the attack is over.
	round func(a *attacker)
	// enough says what is missing in what the attack was answered, by status; nil: it need not be answered.
	enough func(answered map[int]int) error
}

// attacker is one attack under way.
type attacker struct {
	kind
	ctx    context.Context
	server *server
	number int // of the kind: the third part of its addresses
	next   atomic.Uint32
	rounds atomic.Int64

	mu       sync.Mutex
	answered map[int]int // by status
	wrong    error
}

func newAttacker(ctx context.Context, s *server, number int) *attacker {
	return &attacker{kind: kinds[number], ctx: ctx, server: s, number: number, answered: make(map[int]int)}
}

// run attacks until the context ends and all connections are closed. scale multiplies those that hold connections.
func (a *attacker) run(scale int) {
	var all sync.WaitGroup
	at := a.at
	if a.holds {
		at *= scale
	}
	for i := range at {
		all.Go(func() {
			// Their beginnings are spread over a period, so that there is no burst.
			a.sleep(a.every * time.Duration(i) / time.Duration(at))
			for a.ctx.Err() == nil {
				a.round(a)
				a.rounds.Add(1)
				a.sleep(a.every)
			}
		})
	}
	all.Wait()
}

// err is what was wrong with the answers to the attack.
func (a *attacker) err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wrong
}

// missing is what the attack has not been answered yet; nil: it has been answered enough.
func (a *attacker) missing() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.enough == nil {
		return nil
	}
	return a.enough(a.answered)
}

// some: there was an answer.
func some(answered map[int]int) error {
	if len(answered) == 0 {
		return errors.New("no answer at all")
	}
	return nil
}

func (a *attacker) fail(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wrong == nil {
		a.wrong = fmt.Errorf(format, args...)
	}
}

// sleep waits; it reports whether the attack still goes on.
func (a *attacker) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-a.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// wire is a connection of an attacker. It is reset when the attack is over.
type wire struct {
	*net.TCPConn
	a    *attacker
	in   *bufio.Reader
	stop func() bool
	// failed is the error of the last Read.
	failed error
}

// dial connects from one of 200 addresses of the kind, or of another network; nil if that fails, or the attack is over.
func (a *attacker) dial(network ...string) *wire {
	return a.dialTo(a.server.addr, append(network, attackersNet)[0], 0)
}

// dialSlow is dial with a window that a few KiB fill.
func (a *attacker) dialSlow() *wire { return a.dialTo(a.server.addr, attackersNet, 4096) }

func (a *attacker) dialTo(addr, network string, window int) *wire {
	from := fmt.Sprintf(network, a.number+1, 1+a.next.Add(1)%200)
	d := dialerFrom(from)
	if window > 0 {
		d.Control = func(network, address string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, window)
			})
			return errors.Join(err, failed, reuseAddr(network, address, c))
		}
	}
	c, err := d.DialContext(a.ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	w := &wire{TCPConn: c.(*net.TCPConn), a: a}
	_ = w.SetDeadline(time.Now().Add(testkit.Patience))
	w.stop = context.AfterFunc(a.ctx, w.reset)
	return w
}

// reset closes the connection without a FIN.
func (w *wire) reset() {
	_ = w.SetLinger(0)
	w.Close()
}

// end closes the connection in order.
func (w *wire) end() {
	w.stop()
	w.Close()
}

// say sends text; it reports whether that went.
func (w *wire) say(text string) bool {
	_, err := io.WriteString(w.TCPConn, text)
	return err == nil
}

func (w *wire) reader() *bufio.Reader {
	if w.in == nil {
		w.in = bufio.NewReader(w)
	}
	return w.in
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (n int, err error) {
	n, w.failed = w.TCPConn.Read(p)
	return n, w.failed
}

// drip sends text again and again, a pause apart, until the server closes the connection or the attack is over.
func (w *wire) drip(text string, pause time.Duration) {
	for w.say(text) && w.a.sleep(pause) {
	}
}

// hold keeps the connection without a word until the server closes it or the attack is over.
func (w *wire) hold() { _, _ = io.Copy(io.Discard, w.TCPConn) }

// answer reads one answer to the end; it must have one of these statuses, or be one of those that any attacker may
// get: 429 and 503. It reports whether there was one. A connection that is closed or reset instead is no mistake.
func (w *wire) answer(method string, want ...int) bool {
	got, err := http.ReadResponse(w.reader(), &http.Request{Method: method})
	if err != nil {
		if w.failed == nil {
			w.a.fail("no HTTP: %w", err)
		}
		return false
	}
	_, err = io.Copy(io.Discard, got.Body)
	got.Body.Close()
	w.a.mu.Lock()
	w.a.answered[got.StatusCode]++
	w.a.mu.Unlock()
	if !slices.Contains(append(want, 429, 503), got.StatusCode) {
		w.a.fail("answered %d, want one of %v", got.StatusCode, want)
	}
	return err == nil && !got.Close
}

// ask sends requests for these targets one after another on one connection, each with these fields.
func (a *attacker) ask(targets int, target func() string, fields func() string, want ...int) {
	w := a.dial()
	if w == nil {
		return
	}
	defer w.end()
	for range targets {
		if !w.say(get(target(), fields())) || !w.answer("GET", want...) {
			return
		}
	}
}

// asked is ask of a fixed number of requests.
func asked(target func() string, fields func() string, want ...int) func(*attacker) {
	return func(a *attacker) { a.ask(5, target, fields, want...) }
}

// sent is a round that sends what text returns, and reads one answer.
func sent(text func() string, want ...int) func(*attacker) {
	return func(a *attacker) {
		if w := a.dial(); w != nil {
			defer w.end()
			// What refuses a request may do so before its end, and sending fails then.
			w.say(text())
			w.answer("GET", want...)
		}
	}
}

// get is a request.
func get(target, fields string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: a.example\r\n" + fields + "\r\n"
}

func fixed(text string) func() string { return func() string { return text } }

// named is format with a number that is new each time.
func named(format string) func() string {
	return func() string { return fmt.Sprintf(format, rand.Uint64()) }
}

// list repeats format, which has a number in it, until it is that long.
func list(format string, length int) func() string {
	return func() string {
		var b strings.Builder
		for i := rand.IntN(1000); b.Len() < length; i++ {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
}

// field is a field that begins so, with what value returns.
func field(begin string, value func() string) func() string {
	return func() string { return begin + value() + "\r\n" }
}

// wave is attacks under way at once.
type wave struct {
	attackers []*attacker
	cancel    context.CancelFunc
	running   sync.WaitGroup
}

// attack begins those kinds of attack.
func (s *server) attack(scale int, numbers ...int) *wave {
	ctx, cancel := context.WithCancel(context.Background())
	w := &wave{cancel: cancel}
	for _, number := range numbers {
		a := newAttacker(ctx, s, number)
		w.attackers = append(w.attackers, a)
		w.running.Go(func() { a.run(scale) })
	}
	return w
}

// stop ends them and returns what was wrong with their answers.
func (w *wave) stop() (err error) {
	w.cancel()
	w.running.Wait()
	for _, a := range w.attackers {
		if wrong := a.err(); wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", a.name, wrong))
		}
	}
	return err
}
