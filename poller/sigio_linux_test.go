package poller

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// With room for a few queued signals and many descriptors that become ready at
// once, all of them are reported: the sweep finds those whose signals were lost.
func TestSigioOverflowLosesNothing(t *testing.T) {
	const room = 8
	lower(t, unix.RLIMIT_SIGPENDING, room)
	s := openHere(t, sigioBackend, Edge)
	const pairs, rounds = 300, 5
	var ours, peers [pairs]int
	for i := range pairs {
		ours[i], peers[i] = unixPair(t)
		s.add(t, ours[i], Token(i), Readable|Writable, 0)
	}
	small := make([]Event, 7)
	for seen := 0; seen < pairs; { // all are writable
		n, err := s.Wait(small, patience)
		must(t, err)
		seen += n
	}
	for round := range rounds {
		before := s.Poller.(Counter).Calls().Overflows
		for _, fd := range peers {
			send(t, fd, "x")
		}
		seen := make(map[Token]bool)
		for deadline := time.Now().Add(patience); len(seen) < pairs; {
			n, err := s.Wait(small, time.Second)
			must(t, err)
			for _, e := range small[:n] {
				seen[e.Token] = seen[e.Token] || e.Ready&Readable != 0
				receive(t, ours[e.Token])
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: %d of %d descriptors were reported", round, len(seen), pairs)
			}
		}
		if s.Poller.(Counter).Calls().Overflows == before {
			t.Errorf("round %d: no overflow: RLIMIT_SIGPENDING of %d did not bite", round, room)
		}
		for token, readable := range seen {
			if !readable {
				t.Errorf("round %d: token %d was never readable", round, token)
			}
		}
	}
	// Room to write is found by the sweep too.
	var sent [pairs]int
	for i, fd := range ours {
		sent[i] = fill(t, fd)
	}
	for i, fd := range peers {
		readAll(t, fd, sent[i])
	}
	seen := make(map[Token]bool)
	for deadline := time.Now().Add(patience); len(seen) < pairs; {
		for token, ready := range s.take(t, time.Second) {
			if ready&Writable != 0 {
				seen[token] = true
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d descriptors were writable again", len(seen), pairs)
		}
	}
}

// A loop's listeners are added by whoever starts it, and so may connections be;
// the signals go to the thread that waits.
func TestSigioIsBoundByTheFirstWait(t *testing.T) {
	p, err := sigioBackend.Open(Options{Trigger: Edge})
	must(t, err)
	s := newSubject(p, sigioBackend, Edge)
	l := tcpListener(t)
	must(t, unix.SetNonblock(l, true))
	ours, peers := unixPair(t)
	s.add(t, l, tokenA, Readable, ForceLevel)
	s.add(t, ours, tokenB, Readable, 0)
	s.Poller = onThread(t, p)
	if got := s.take(t, 0); len(got) != 0 {
		t.Errorf("events of idle descriptors: %v", got)
	}
	for range 3 {
		send(t, peers, "x")
		if got := s.take(t, patience); got[tokenB] != Readable {
			t.Errorf("got %v, want %#x readable", got, tokenB)
		}
		receive(t, ours)
	}
	tcpDial(t, l)
	s.expect(t, tokenA, Readable)
	must(t, s.Close())
}

// Waiting on another thread would hear of no signal: it is an error.
func TestSigioRefusesAnotherThread(t *testing.T) {
	s := openHere(t, sigioBackend, Edge)
	s.take(t, 0)
	inBackground(t, func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if _, err := s.Wait(s.events, time.Millisecond); err == nil ||
			!strings.Contains(err.Error(), "locked to its thread") {
			t.Errorf("got %v, want an error about the thread", err)
		}
	})()
}

// What would be silent is refused, but can be polled: with ForceLevel.
func TestSigioRefusesWhatSendsNoSignals(t *testing.T) {
	s := openHere(t, sigioBackend, Edge)
	s.take(t, 0)
	fd := newEventfd(t)
	if err := s.Add(fd, tokenA, Readable, 0); !errors.Is(err, errNoSignals) {
		t.Errorf("got %v, want %v", err, errNoSignals)
	}
	s.add(t, fd, tokenA, Readable, ForceLevel)
	send(t, fd, string(one))
	s.expect(t, tokenA, Readable)
	s.expect(t, tokenA, Readable)
}

// Go's runtime never sees the signals, not even for a program that asks for
// all there are, and after a fork on the poller's thread.
func TestSigioSignalsStayWithThePoller(t *testing.T) {
	all := make(chan os.Signal, 64)
	signal.Notify(all)
	defer signal.Stop(all)
	s := openHere(t, sigioBackend, Edge)
	s.take(t, 0)
	must(t, testkit.Command("/bin/true").Run())
	ours, peers := unixPair(t)
	s.add(t, ours, tokenA, Readable, 0)
	for range 100 {
		send(t, peers, "x")
		s.expect(t, tokenA, Readable)
	}
	var mask unix.Sigset_t
	must(t, unix.PthreadSigmask(unix.SIG_BLOCK, nil, &mask))
	for _, blocked := range [...]int{sigioSignal, int(unix.SIGIO)} {
		if mask.Val[0]&(1<<(blocked-1)) == 0 {
			t.Errorf("signal %d is not blocked on the poller's thread", blocked)
		}
	}
	for len(all) > 0 {
		if got := <-all; got == unix.Signal(sigioSignal) || got == unix.SIGIO {
			t.Errorf("the runtime was handed %v", got)
		}
	}
}

// Close gives the thread back as it was, with nothing pending.
func TestSigioCloseRestoresTheThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, bound, after unix.Sigset_t
	must(t, unix.PthreadSigmask(unix.SIG_BLOCK, nil, &before))
	p, err := sigioBackend.Open(Options{Trigger: Edge})
	must(t, err)
	s := newSubject(p, sigioBackend, Edge)
	s.take(t, 0)
	ours, peers := unixPair(t)
	s.add(t, ours, tokenA, Readable, 0)
	send(t, peers, "x") // its signal is still queued when the poller goes
	must(t, unix.PthreadSigmask(unix.SIG_BLOCK, nil, &bound))
	must(t, s.Close())
	must(t, unix.PthreadSigmask(unix.SIG_BLOCK, nil, &after))
	if before == bound || before != after {
		t.Errorf("masks: %x before, %x while bound, %x after", before.Val[0], bound.Val[0], after.Val[0])
	}
}

// A signal that is queued when its descriptor is removed and closed meets the
// number's next holder, which has nothing to report.
func TestSigioSignalOfAReusedDescriptorIsStale(t *testing.T) {
	s := openHere(t, sigioBackend, Edge)
	s.take(t, 0)
	ours, peers := unixPair(t)
	s.add(t, ours, tokenA, Readable, 0)
	s.expectNone(t, tokenA)
	send(t, peers, "x")
	must(t, s.Remove(ours))
	closeNow(t, ours)
	heir, heirsPeers := unixPair(t)
	if heir != ours {
		t.Fatalf("descriptor %d was not reused, %d was", ours, heir)
	}
	s.add(t, heir, tokenB, Readable, 0)
	if got := s.take(t, 0); len(got) != 0 {
		t.Errorf("got %v of a signal that was its predecessor's", got)
	}
	send(t, heirsPeers, "y")
	s.expect(t, tokenB, Readable)
}

// A Unix socket whose buffer was full before it was added sends no signal when
// there is room: it must be found all the same.
func TestSigioFullBeforeAddIsReportedWritable(t *testing.T) {
	for _, kind := range streams {
		t.Run(kind.name, func(t *testing.T) {
			s := openHere(t, sigioBackend, Edge)
			ours, peers := kind.make(t)
			sent := fill(t, ours)
			s.add(t, ours, tokenA, Readable|Writable, 0)
			if got := s.take(t, 0)[tokenA]; got&Readable != 0 {
				t.Errorf("got %s of a full socket", readyString(got))
			}
			received := inBackground(t, func() { readAll(t, peers, sent) })
			s.expect(t, tokenA, Writable)
			received()
		})
	}
}
