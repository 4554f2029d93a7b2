//go:build unix

package poller

import (
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// The conformance suite runs on every backend of Backends() with every trigger
// that it can do: a new backend is tested by being in the list. This file
// holds what the tests stand on.

func TestMain(m *testing.M) {
	raiseDescriptorLimit()
	goleak.VerifyTestMain(m)
}

const patience = testkit.Patience

var (
	must            = testkit.Must
	openDescriptors = testkit.Descriptors
)

// scanMax bounds the look for open descriptors.
const scanMax = 4096

// descriptorsSpare is how many of a backend's MaxFD the test process may need
// for other things.
const descriptorsSpare = 64

// traits are what the suite must know of a backend, to hold it to all that
// its kernel interface can do.
type traits struct {
	// noHangups: a hangup or an error is not told from data, and is reported
	// in the directions that were asked for.
	noHangups bool
	// hints: descriptors are reported whether they are ready or not, and Wait
	// never blocks. The suite then asks poll(2), as an owner tries the call.
	hints bool
	// thread: all calls but Wake must come from one thread.
	thread bool
	// signals: what can be added is what supports O_ASYNC.
	signals bool
}

func traitsOf(b Backend) traits {
	switch b.Name {
	case "select":
		return traits{noHangups: true}
	case "poll":
		return traits{noHangups: pollRDHUP == 0}
	case "spin":
		return traits{noHangups: true, hints: true}
	case "sigio":
		return traits{thread: true, signals: true}
	}
	return traits{}
}

// subject is one backend with one trigger, and the events of its last wait.
type subject struct {
	Poller
	backend Backend
	trigger Trigger
	traits  traits
	events  []Event
	known   map[Token]known // what is registered, if the traits call for it
}

// known is one registration.
type known struct {
	fd   int
	want Interest
}

// Add implements Poller.
func (s *subject) Add(fd int, token Token, want Interest, flags Flags) error {
	err := s.Poller.Add(fd, token, want, flags)
	if err == nil && s.traits.noHangups {
		s.known[token] = known{fd, want}
	}
	return err
}

// Modify implements Poller.
func (s *subject) Modify(fd int, token Token, want Interest) error {
	err := s.Poller.Modify(fd, token, want)
	if err == nil && s.traits.noHangups {
		s.forget(fd)
		s.known[token] = known{fd, want}
	}
	return err
}

// Remove implements Poller.
func (s *subject) Remove(fd int) error {
	err := s.Poller.Remove(fd)
	if err == nil && s.traits.noHangups {
		s.forget(fd)
	}
	return err
}

func (s *subject) forget(fd int) {
	for token, k := range s.known {
		if k.fd == fd {
			delete(s.known, token)
		}
	}
}

// expressible is the part of ready that the backend can report for token.
func (s *subject) expressible(token Token, ready Ready) Ready {
	if s.traits.noHangups {
		return ready & s.known[token].want
	}
	return ready
}

// each runs test on every backend and trigger, and checks that it leaves no descriptor open.
func each(t *testing.T, test func(t *testing.T, s *subject)) {
	if len(Backends()) == 0 {
		t.Fatal("this platform has no backend")
	}
	for _, b := range Backends() {
		for _, trigger := range []Trigger{Level, Edge} {
			if b.Triggers&trigger == 0 {
				continue
			}
			t.Run(b.Name+"/"+trigger.String(), func(t *testing.T) {
				before := openDescriptors()
				t.Cleanup(func() { // the last to run
					if after := openDescriptors(); after != before {
						t.Errorf("%d descriptors are open below %d, %d were before", after, scanMax, before)
					}
				})
				test(t, open(t, b, trigger))
			})
		}
	}
}

func open(t testing.TB, b Backend, trigger Trigger) *subject {
	t.Helper()
	p, err := b.Open(Options{Trigger: trigger})
	must(t, err)
	if traitsOf(b).thread {
		p = onThread(t, p)
	}
	t.Cleanup(func() { must(t, p.Close()) })
	return newSubject(p, b, trigger)
}

func newSubject(p Poller, b Backend, trigger Trigger) *subject {
	return &subject{Poller: p, backend: b, trigger: trigger, traits: traitsOf(b),
		events: make([]Event, batchMax), known: make(map[Token]known)}
}

// wakerOf reaches the waker that each backend embeds.
func (s *subject) wakerOf() *waker {
	p := s.Poller
	if on, is := p.(*threaded); is {
		p = on.Poller
	}
	return p.(interface{ self() *waker }).self()
}

func (w *waker) self() *waker { return w }

// inGap has do called in that gap of the waker's protocol.
func (s *subject) inGap(name string, do func()) {
	w := s.wakerOf()
	others := w.hook
	w.hook = func(gap string) {
		if gap == name {
			do()
		} else if others != nil {
			others(gap)
		}
	}
}

// take waits and returns what was reported, by token. It asks again, of a backend that
// gives hints until one is true, until the time is up or a wake came.
func (s *subject) take(t testing.TB, timeout time.Duration) map[Token]Ready {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; {
		wakePending, start := s.wakerOf().pending.Load(), time.Now()
		n, err := s.Wait(s.events, timeout)
		must(t, err)
		got := make(map[Token]Ready, n)
		for _, e := range s.events[:n] {
			if _, twice := got[e.Token]; twice {
				t.Fatalf("token %#x is in two events of one batch", e.Token)
			}
			got[e.Token] = e.Ready
		}
		if !s.traits.hints {
			if n > 0 || time.Since(start) < bounded(timeout) || timeout >= 0 && !time.Now().Before(deadline) {
				return got
			}
			continue
		}
		s.dropFalse(t, got)
		woken := wakePending && !s.wakerOf().pending.Load()
		if len(got) != 0 || woken || timeout >= 0 && !time.Now().Before(deadline) {
			return got
		}
	}
}

// dropFalse takes out what poll(2) does not confirm.
func (s *subject) dropFalse(t testing.TB, got map[Token]Ready) {
	t.Helper()
	for token, ready := range got {
		fds := []unix.PollFd{{Fd: int32(s.known[token].fd), Events: unix.POLLIN | unix.POLLOUT}}
		_, err := unix.Poll(fds, 0)
		for err == unix.EINTR {
			_, err = unix.Poll(fds, 0)
		}
		must(t, err)
		if ready &= pollReady(fds[0].Revents); ready == 0 {
			delete(got, token)
		} else {
			got[token] = ready
		}
	}
}

// expect waits until all of want that the backend can tell was reported for
// token, in one event or, where the network takes its time, in several. It returns all that was reported.
func (s *subject) expect(t testing.TB, token Token, want Ready) (got Ready) {
	t.Helper()
	want = s.expressible(token, want)
	for deadline := time.Now().Add(patience); got&want != want; {
		if time.Now().After(deadline) {
			t.Fatalf("token %#x: got %s, want %s", token, readyString(got), readyString(want))
		}
		got |= s.take(t, 100*time.Millisecond)[token]
	}
	return got
}

// expectNone looks once, without waiting.
func (s *subject) expectNone(t testing.TB, token Token) {
	t.Helper()
	if got, reported := s.take(t, 0)[token]; reported {
		t.Fatalf("token %#x: got %s, want no event", token, readyString(got))
	}
}

func (s *subject) add(t testing.TB, fd int, token Token, want Interest, flags Flags) {
	t.Helper()
	must(t, s.Add(fd, token, want, flags))
}

func readyString(r Ready) string {
	out := ""
	for bit, name := range map[Ready]string{Readable: "readable ", Writable: "writable ", Hangup: "hangup ",
		Urgent: "urgent "} {
		if r&bit != 0 {
			out += name
		}
	}
	if out == "" {
		return "nothing"
	}
	return out[:len(out)-1]
}

// stream is a kind of connected socket.
type stream struct {
	name string
	make func(t testing.TB) (ours, peers int)
}

var streams = []stream{{"unix", unixPair}, {"tcp", tcpPair}}

// eachStream runs test on every backend, trigger and kind of socket.
func eachStream(t *testing.T, test func(t *testing.T, s *subject, ours, peers int)) {
	for _, kind := range streams {
		t.Run(kind.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *subject) {
				ours, peers := kind.make(t)
				test(t, s, ours, peers)
			})
		})
	}
}

// unixPair is a connected pair of non-blocking Unix stream sockets.
func unixPair(t testing.TB) (ours, peers int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	return adopt(t, fds[0]), adopt(t, fds[1])
}

// tcpPair is a connection over the loopback interface.
func tcpPair(t testing.TB) (ours, peers int) {
	t.Helper()
	l := tcpListener(t)
	peers = tcpDial(t, l)
	fd, _, err := unix.Accept(l)
	must(t, err)
	closeNow(t, l)
	return adopt(t, fd), peers
}

// tcpListener is blocking, on a free loopback port.
func tcpListener(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	adopted(t, fd)
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(fd, 16))
	return fd
}

func tcpDial(t testing.TB, listener int) int {
	t.Helper()
	address, err := unix.Getsockname(listener)
	must(t, err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	adopted(t, fd)
	must(t, unix.Connect(fd, address))
	must(t, unix.SetNonblock(fd, true))
	return fd
}

// owned are the descriptors that tests opened and have not closed.
var owned = map[int]bool{}

// adopt makes fd non-blocking and has it closed with the test.
func adopt(t testing.TB, fd int) int {
	t.Helper()
	must(t, unix.SetNonblock(fd, true))
	return adopted(t, fd)
}

func adopted(t testing.TB, fd int) int {
	owned[fd] = true
	t.Cleanup(func() {
		if owned[fd] {
			closeNow(t, fd)
		}
	})
	return fd
}

// closeNow closes a descriptor before the test ends.
func closeNow(t testing.TB, fd int) {
	t.Helper()
	must(t, unix.Close(fd))
	delete(owned, fd)
}

func send(t testing.TB, fd int, data string) {
	t.Helper()
	n, err := unix.Write(fd, []byte(data))
	must(t, err)
	if n != len(data) {
		t.Fatalf("%d of %d bytes written", n, len(data))
	}
}

// receive reads what is there until the call would block or the stream ends.
func receive(t testing.TB, fd int) (data string, ended bool) {
	t.Helper()
	var buffer [4096]byte
	for {
		n, err := unix.Read(fd, buffer[:])
		switch {
		case err == unix.EAGAIN:
			return data, false
		case err == unix.EINTR:
			continue
		case err != nil:
			t.Fatal(err)
		case n == 0:
			return data, true
		}
		data += string(buffer[:n])
	}
}

// readAll reads count bytes, for a goroutine that is not the test's own.
func readAll(t testing.TB, fd, count int) {
	buffer := make([]byte, 1<<16)
	for count > 0 {
		n, err := unix.Read(fd, buffer)
		switch {
		case err == unix.EAGAIN:
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(fds, int(patience.Milliseconds())); n == 0 || err != nil && err != unix.EINTR {
				t.Errorf("%d bytes did not come: %v", count, err)
				return
			}
		case err == unix.EINTR:
		case n <= 0 || err != nil:
			t.Errorf("%d bytes did not come: read returned %d, %v", count, n, err)
			return
		default:
			count -= n
		}
	}
}

// fill writes until the socket takes no more, and returns how much it took.
func fill(t testing.TB, fd int) (n int) {
	t.Helper()
	block := make([]byte, 4096)
	for {
		written, err := unix.Write(fd, block)
		if err == unix.EAGAIN {
			return n
		}
		must(t, err)
		n += written
	}
}

// raiseDescriptorLimit makes the soft limit the hard one.
func raiseDescriptorLimit() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		// Where the hard limit is "unlimited" macOS refuses it: the test that
		// needs many descriptors says so by failing to open them.
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}

// inBackground runs f on a goroutine; wait ends the test if it does not return.
func inBackground(t testing.TB, f func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return func() {
		t.Helper()
		select {
		case <-done:
		case <-time.After(patience):
			buffer := make([]byte, 1<<16)
			t.Fatalf("no return in %s\n%s", patience, buffer[:runtime.Stack(buffer, true)])
		}
	}
}
