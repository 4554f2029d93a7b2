//go:build unix

package poller

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tokenA uses all of a token's bits but one.
const tokenA, tokenB = Token(0xfedc_ba98_7654_3210), Token(2<<32 | 7)

func TestAddReportsWhatIsReadyAlready(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		send(t, peers, "x")
		s.add(t, ours, tokenA, Readable|Writable, 0)
		s.expect(t, tokenA, Readable|Writable)
	})
}

func TestOnlyWhatWasAskedForIsReported(t *testing.T) {
	for _, want := range []Interest{Readable, Writable, Readable | Writable} {
		t.Run(readyString(want), func(t *testing.T) {
			eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
				send(t, peers, "x")
				s.add(t, ours, tokenA, want, 0)
				if got := s.expect(t, tokenA, want); got != want {
					t.Errorf("got %s, want %s", readyString(got), readyString(want))
				}
			})
		})
	}
}

func TestBothDirectionsAreOneEvent(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		ours, peers := unixPair(t)
		send(t, peers, "x")
		s.add(t, ours, tokenA, Readable|Writable, 0)
		if got := s.take(t, patience); len(got) != 1 || got[tokenA] != Readable|Writable {
			t.Errorf("got %v, want one event of %#x, readable and writable", got, tokenA)
		}
	})
}

func TestLevelRepeatsAndEdgeDoesNot(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable, 0)
		s.expectNone(t, tokenA)
		send(t, peers, "x")
		s.expect(t, tokenA, Readable)
		for range 3 {
			if s.trigger == Edge {
				s.expectNone(t, tokenA)
			} else {
				s.expect(t, tokenA, Readable)
			}
		}
		receive(t, ours)
		s.expectNone(t, tokenA)
	})
}

func TestNewDataIsReported(t *testing.T) {
	for _, drain := range []bool{true, false} {
		t.Run(fmt.Sprintf("drained=%t", drain), func(t *testing.T) {
			eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
				s.add(t, ours, tokenA, Readable|Writable, 0)
				for range 3 {
					send(t, peers, "x")
					s.expect(t, tokenA, Readable)
					if drain {
						receive(t, ours)
					}
				}
			})
		})
	}
}

func TestRoomToWriteIsReported(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable|Writable, 0)
		s.expect(t, tokenA, Writable)
		sent := fill(t, ours)
		received := inBackground(t, func() {
			readAll(t, peers, sent)
		})
		s.expect(t, tokenA, Writable)
		received()
	})
}

func TestModifyReplacesInterestAndToken(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable, 0)
		must(t, s.Modify(ours, tokenB, Writable))
		send(t, peers, "x")
		if got := s.expect(t, tokenB, Writable); got != Writable {
			t.Errorf("got %s, want writable alone", readyString(got))
		}
		s.expectNone(t, tokenA)
		must(t, s.Modify(ours, tokenA, Readable))
		if got := s.expect(t, tokenA, Readable); got != Readable {
			t.Errorf("got %s, want readable alone", readyString(got))
		}
		s.expectNone(t, tokenB)
	})
}

func TestModifyRearms(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable|Writable, 0)
		send(t, peers, "x")
		s.expect(t, tokenA, Readable|Writable)
		for range 3 {
			must(t, s.Modify(ours, tokenA, Readable|Writable))
			s.expect(t, tokenA, Readable|Writable)
		}
	})
}

func TestInterestZeroIsSilentUntilModified(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, 0, 0)
		send(t, peers, "x")
		s.expectNone(t, tokenA)
		must(t, s.Modify(ours, tokenA, Readable))
		s.expect(t, tokenA, Readable)
		must(t, s.Modify(ours, tokenA, 0))
		send(t, peers, "y")
		s.expectNone(t, tokenA)
		must(t, s.Remove(ours))
	})
}

func TestForceLevelRepeatsWhateverTheTrigger(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		l := tcpListener(t)
		must(t, unix.SetNonblock(l, true))
		s.add(t, l, tokenA, Readable, ForceLevel)
		tcpDial(t, l)
		tcpDial(t, l)
		for range 2 {
			s.expect(t, tokenA, Readable)
			s.expect(t, tokenA, Readable)
			fd, _, err := unix.Accept(l)
			must(t, err)
			adopt(t, fd)
		}
		s.expectNone(t, tokenA)

		// The flag belongs to the registration, not to the number.
		must(t, s.Remove(l))
		ours, peers := unixPair(t)
		s.add(t, ours, tokenB, Readable, 0)
		send(t, peers, "x")
		s.expect(t, tokenB, Readable)
		if s.trigger == Edge {
			s.expectNone(t, tokenB)
		}
		must(t, s.Remove(ours))
		s.add(t, ours, tokenB, Readable, ForceLevel)
		must(t, s.Remove(ours))
		s.add(t, ours, tokenB, Readable, 0)
		must(t, s.Modify(ours, tokenB, Readable))
		s.expect(t, tokenB, Readable)
		if s.trigger == Edge {
			s.expectNone(t, tokenB)
		}
	})
}

// Two pollers share a listener; one connection must reach one of them at least.
func TestExclusiveReportsToOneOfThePollers(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		other := open(t, s.backend, s.trigger)
		l := tcpListener(t)
		must(t, unix.SetNonblock(l, true))
		s.add(t, l, tokenA, Readable, Exclusive|ForceLevel)
		other.add(t, l, tokenA, Readable, Exclusive|ForceLevel)
		tcpDial(t, l)
		for deadline := time.Now().Add(patience); ; {
			if s.take(t, time.Millisecond)[tokenA]|other.take(t, time.Millisecond)[tokenA] == Readable {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("no poller was told of the connection")
			}
		}
		must(t, s.Remove(l))
		must(t, other.Remove(l))
	})
}

func TestHangupWithDataStillToRead(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable, 0)
		send(t, peers, "last words")
		closeNow(t, peers)
		s.expect(t, tokenA, Readable|Hangup)
		if data, ended := receive(t, ours); data != "last words" || !ended {
			t.Errorf("read %q, end of stream %t", data, ended)
		}
	})
}

func TestHalfCloseLeavesTheOtherDirection(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable|Writable, 0)
		send(t, peers, "request")
		must(t, unix.Shutdown(peers, unix.SHUT_WR))
		s.expect(t, tokenA, Readable|Writable|Hangup)
		if data, ended := receive(t, ours); data != "request" || !ended {
			t.Errorf("read %q, end of stream %t", data, ended)
		}
		send(t, ours, "answer")
		s.add(t, peers, tokenB, Readable, 0)
		s.expect(t, tokenB, Readable)
		if data, _ := receive(t, peers); data != "answer" {
			t.Errorf("the peer read %q", data)
		}
	})
}

// After the end of the stream was read, a level-triggered connection asks for
// Writable alone, and must not be told of the hangup for ever.
func TestWritableAloneIsSilentAboutAHalfClose(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable, 0)
		must(t, unix.Shutdown(peers, unix.SHUT_WR))
		s.expect(t, tokenA, Readable|Hangup)
		fill(t, ours)
		must(t, s.Modify(ours, tokenA, Writable))
		// Over TCP room may have come since: that alone may be said.
		if got := s.take(t, 0)[tokenA]; got&^Writable != 0 {
			t.Errorf("got %s, want writable at most", readyString(got))
		}
	})
}

func TestResetSetsAllBits(t *testing.T) {
	for _, want := range []Interest{Readable, Readable | Writable} {
		t.Run(readyString(want), func(t *testing.T) {
			each(t, func(t *testing.T, s *subject) {
				ours, peers := tcpPair(t)
				s.add(t, ours, tokenA, want, 0)
				if want&Writable != 0 {
					s.expect(t, tokenA, Writable)
				}
				must(t, unix.SetsockoptLinger(peers, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
				closeNow(t, peers) // sends RST
				s.expect(t, tokenA, Readable|Writable|Hangup)
				if _, err := unix.Read(ours, make([]byte, 1)); err != unix.ECONNRESET {
					t.Errorf("read: %v, want %v", err, unix.ECONNRESET)
				}
			})
		})
	}
}

func TestRemoveForgets(t *testing.T) {
	eachStream(t, func(t *testing.T, s *subject, ours, peers int) {
		s.add(t, ours, tokenA, Readable|Writable, 0)
		send(t, peers, "x")
		must(t, s.Remove(ours)) // with an event due
		s.expectNone(t, tokenA)
		s.add(t, ours, tokenB, Readable, 0)
		s.expect(t, tokenB, Readable)
		must(t, s.Remove(ours))

		// A duplicate keeps the open file alive; Remove is what ends the reports.
		duplicate, err := unix.Dup(ours)
		must(t, err)
		adopted(t, duplicate)
		closeNow(t, ours)
		send(t, peers, "y")
		if got := s.take(t, 0); len(got) != 0 {
			t.Errorf("events after Remove and close: %v", got)
		}
	})
}

// The owner handles A's event by closing B and opening C, which gets B's number and
// slot. B's event, in the same batch, must be recognisable, and the next
// batch must speak of C alone.
func TestTokenOfAReusedDescriptorIsStale(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		a, peerOfA := unixPair(t)
		b, peerOfB := unixPair(t)
		const slotA, slotB = 1, 2
		generations := map[uint32]uint32{slotA: 1, slotB: 1}
		token := func(slot uint32) Token { return Token(generations[slot])<<32 | Token(slot) }
		s.add(t, a, token(slotA), Readable, 0)
		s.add(t, b, token(slotB), Readable, 0)
		send(t, peerOfA, "a")
		send(t, peerOfB, "b")
		got := s.take(t, patience)
		if len(got) != 2 {
			t.Fatalf("got %v, want both in one batch", got)
		}
		stale := token(slotB)

		must(t, s.Remove(b))
		closeNow(t, b)
		generations[slotB]++
		c, peerOfC := unixPair(t)
		if c != b && peerOfC == b {
			c, peerOfC = peerOfC, c
		}
		if c != b {
			t.Fatalf("the new descriptors are %d and %d, the test wants %d reused", c, peerOfC, b)
		}
		s.add(t, c, token(slotB), Readable, 0)

		for reported := range got {
			slot := uint32(reported)
			if fresh := reported == token(slot); fresh == (slot == slotB) {
				t.Errorf("token %#x of the batch: fresh is %t", reported, fresh)
			}
		}
		receive(t, a)
		s.expectNone(t, token(slotB)) // C has nothing to read
		send(t, peerOfC, "c")
		if got := s.take(t, patience); got[token(slotB)] != Readable || got[stale] != 0 {
			t.Errorf("got %v, want %#x readable and nothing of %#x", got, token(slotB), stale)
		}
	})
}

// Nobody starves when more is ready than one call has room for.
func TestSmallBufferReachesEveryDescriptor(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		const descriptors, room = 40, 3
		for i := range descriptors {
			ours, peers := unixPair(t)
			s.add(t, ours, Token(i), Readable, 0)
			send(t, peers, "x")
		}
		seen := make(map[Token]bool)
		events := make([]Event, room)
		// A fair order needs 14 calls; twice that leaves the kernel its own.
		for range 2 * (descriptors + room - 1) / room {
			n, err := s.Wait(events, 0)
			must(t, err)
			for _, e := range events[:n] {
				seen[e.Token] = true
			}
		}
		if len(seen) != descriptors {
			t.Errorf("%d of %d descriptors were reported", len(seen), descriptors)
		}
	})
}

// A listener that is always ready does not keep others out of a batch of one,
// nor they it.
func TestAReadyListenerLeavesRoomForOthers(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		const others = 5
		l := tcpListener(t)
		must(t, unix.SetNonblock(l, true))
		s.add(t, l, tokenA, Readable, ForceLevel)
		tcpDial(t, l)
		s.expect(t, tokenA, Readable)
		for i := range others {
			ours, peers := unixPair(t)
			s.add(t, ours, Token(i), Readable, 0)
			send(t, peers, "x")
		}
		seen := make(map[Token]bool)
		event := make([]Event, 1)
		for range 3 * (others + 1) {
			n, err := s.Wait(event, 0)
			must(t, err)
			if n == 1 {
				seen[event[0].Token] = true
			}
		}
		if len(seen) != others+1 {
			t.Errorf("%d of %d descriptors were reported: %v", len(seen), others+1, seen)
		}
	})
}

// A high descriptor is watched like any other, or refused with the reason.
func TestDescriptorsBeyondFDSetsize(t *testing.T) {
	const high = 5000
	each(t, func(t *testing.T, s *subject) {
		ours, peers := unixPair(t)
		fd, err := unix.FcntlInt(uintptr(ours), unix.F_DUPFD, high)
		must(t, err)
		adopted(t, fd)
		err = s.Add(fd, tokenA, Readable, 0)
		if s.backend.MaxFD != 0 && fd >= s.backend.MaxFD {
			if !errors.Is(err, ErrSetSize) {
				t.Errorf("got %v, want %v", err, ErrSetSize)
			}
			return
		}
		must(t, err)
		low, peerOfLow := unixPair(t)
		s.add(t, low, tokenB, Readable, 0)
		for range 2 {
			send(t, peers, "x")
			send(t, peerOfLow, "y")
			s.expect(t, tokenA, Readable)
			receive(t, fd)
			receive(t, low)
		}
		must(t, s.Remove(fd))
		send(t, peerOfLow, "z")
		s.expect(t, tokenB, Readable)
	})
}

func TestWaitReturnsWhenTheTimeIsUpAndNotBefore(t *testing.T) {
	timeouts := []time.Duration{0, 1, time.Microsecond, 300 * time.Microsecond, time.Millisecond,
		2500 * time.Microsecond, 20 * time.Millisecond, WaitMax + 10*time.Millisecond}
	each(t, func(t *testing.T, s *subject) {
		if s.traits.hints {
			return // it never waits: the test below is for it
		}
		ours, _ := unixPair(t)
		s.add(t, ours, tokenA, Readable, 0)
		for _, timeout := range timeouts {
			// A signal of the Go scheduler may cut a wait short: that returns
			// early by contract. One that was not cut short must come.
			whole := false
			for range 100 {
				start := time.Now()
				if got := s.take(t, timeout); len(got) != 0 {
					t.Fatalf("events %v of an idle descriptor", got)
				}
				elapsed := time.Since(start)
				if elapsed > timeout+patience {
					t.Errorf("a wait of %s took %s", timeout, elapsed)
				}
				if whole = elapsed >= timeout; whole {
					break
				}
			}
			if !whole {
				t.Errorf("each of 100 waits of %s returned early", timeout)
			}
		}
	})
}

// A backend that never waits returns at once.
func TestHintsAreGivenAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		if !s.traits.hints {
			return // it waits: the test above is for it
		}
		for _, timeout := range []time.Duration{-1, patience, 0} {
			start := time.Now()
			if n, err := s.Wait(s.events, timeout); n != 0 || err != nil || time.Since(start) >= patience {
				t.Errorf("nothing registered: got %d, %v after %s", n, err, time.Since(start))
			}
		}
		ours, _ := unixPair(t)
		s.add(t, ours, tokenA, Readable, 0)
		for range 3 {
			n, err := s.Wait(s.events, -1)
			must(t, err)
			if n != 1 || s.events[0] != (Event{tokenA, Readable}) {
				t.Errorf("got %v, want a hint of %#x", s.events[:n], tokenA)
			}
		}
	})
}

func TestAWaitIsBounded(t *testing.T) {
	for _, c := range []struct{ timeout, want time.Duration }{
		{-1, WaitMax}, {-time.Hour, WaitMax}, {0, 0}, {1, 1}, {WaitMax, WaitMax}, {WaitMax + 1, WaitMax},
	} {
		if got := bounded(c.timeout); got != c.want {
			t.Errorf("bounded(%s) is %s, want %s", c.timeout, got, c.want)
		}
	}
}

// Errors say what and where, and errors.Is finds the kernel's reason.
// TestMoreDescriptorsThanAreAllowed: the limit of descriptors may be lowered below the number of those that are
// watched. They are reported as ever, and a wait lasts as long as it is to, or until it is woken.
func TestMoreDescriptorsThanAreAllowed(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		const pairs = 40
		var ours, peers []int
		for i := range pairs {
			a, b := unixPair(t)
			ours, peers = append(ours, a), append(peers, b)
			s.add(t, a, Token(i), Readable, 0)
		}
		for len(s.take(t, 0)) > 0 { // what is asked about when it is added
		}
		var limit unix.Rlimit
		must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
		low := limit
		low.Cur = pairs / 4
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
		defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }()
		for _, peer := range peers {
			send(t, peer, "x")
		}
		reported := map[Token]Ready{}
		for end := time.Now().Add(patience); len(reported) < pairs; {
			if time.Now().After(end) {
				t.Fatalf("%d of %d are reported", len(reported), pairs)
			}
			maps.Copy(reported, s.take(t, patience))
		}
		for _, fd := range ours {
			readAll(t, fd, 1)
		}
		wait := inBackground(t, func() { must(t, s.Wake()) })
		s.take(t, patience)
		wait()
	})
}

func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		ours, _ := unixPair(t)
		unknown, closed := unixPair(t)
		closeNow(t, closed)
		s.add(t, ours, tokenA, Readable, 0)
		_, errNoRoom := s.Wait(nil, 0)
		for _, c := range []struct {
			name string
			err  error
			want error
			fd   int
		}{
			{"add twice", s.Add(ours, tokenA, Readable, 0), unix.EEXIST, ours},
			{"add closed", s.Add(closed, tokenA, Readable, 0), unix.EBADF, closed},
			{"add closed, interest 0", s.Add(closed, tokenA, 0, 0), unix.EBADF, closed},
			{"add -1", s.Add(-1, tokenA, Readable, 0), unix.EBADF, -1},
			{"add beyond all", s.Add(1<<30, tokenA, 0, 0), unix.EBADF, 1 << 30},
			{"add the reserved token", s.Add(unknown, ^Token(0), Readable, 0), ErrToken, unknown},
			{"modify unknown", s.Modify(unknown, tokenA, Readable), unix.ENOENT, unknown},
			{"modify to the reserved token", s.Modify(ours, ^Token(0), Readable), ErrToken, ours},
			{"remove unknown", s.Remove(unknown), unix.ENOENT, unknown},
			{"wait without room", errNoRoom, ErrNoRoom, 0},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, c.err, c.want)
			} else if c.fd != 0 && !strings.Contains(c.err.Error(), fmt.Sprintf("fd %d: ", c.fd)) {
				t.Errorf("%s: %q does not name fd %d", c.name, c.err, c.fd)
			}
		}
		// None of this did harm.
		must(t, s.Modify(ours, tokenB, Writable))
		s.expect(t, tokenB, Writable)
		must(t, s.Remove(ours))
		if err := s.Remove(ours); !errors.Is(err, unix.ENOENT) {
			t.Errorf("remove twice: got %v, want %v", err, unix.ENOENT)
		}
	})
}

func TestOpenRefusesATriggerItCannotDo(t *testing.T) {
	for _, b := range Backends() {
		for _, trigger := range []Trigger{0, Level, Edge, Level | Edge, 4} {
			if (trigger == Level || trigger == Edge) && b.Triggers&trigger != 0 {
				continue
			}
			p, err := b.Open(Options{Trigger: trigger})
			if p != nil || !errors.Is(err, ErrTrigger) {
				t.Errorf("%s with trigger %d: got %v, %v, want %v", b.Name, trigger, p, err, ErrTrigger)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	for _, b := range Backends() {
		if got, found := Lookup(b.Name); !found || got.Name != b.Name {
			t.Errorf("Lookup(%q) found %q, %t", b.Name, got.Name, found)
		}
	}
	if _, found := Lookup("none of them"); found {
		t.Error("Lookup found what is not there")
	}
}

func TestTriggerString(t *testing.T) {
	for trigger, want := range map[Trigger]string{0: "-", Level: "level", Edge: "edge",
		Level | Edge: "level, edge"} {
		if got := trigger.String(); got != want {
			t.Errorf("Trigger(%d) is %q, want %q", trigger, got, want)
		}
	}
}

// After Close everything but Wake fails, and nothing reaches a descriptor that
// got the poller's number.
func TestCallsAfterClose(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		ours, peers := unixPair(t)
		s.add(t, ours, tokenA, Readable, 0)
		must(t, s.Close())
		must(t, s.Close())
		// This one has the numbers now, and the same descriptor registered.
		heir := open(t, s.backend, s.trigger)
		heir.add(t, ours, tokenB, Readable, 0)
		must(t, s.Wake())
		if _, err := s.Wait(s.events, 0); !errors.Is(err, unix.EBADF) {
			t.Errorf("Wait: %v, want %v", err, unix.EBADF)
		}
		if err := s.Remove(ours); !errors.Is(err, unix.EBADF) {
			t.Errorf("Remove: %v, want %v", err, unix.EBADF)
		}
		send(t, peers, "x")
		heir.expect(t, tokenB, Readable)
	})
}

func TestNoAllocations(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		ours, peers := unixPair(t)
		s.add(t, ours, tokenA, Readable|Writable, ForceLevel) // tables have grown
		s.take(t, 0)
		must(t, s.Remove(ours))
		send(t, peers, "x")
		var failure error
		check := func(err error) {
			if err != nil {
				failure = err
			}
		}
		for _, c := range []struct {
			name string
			run  func()
		}{
			{"Add, Modify, Wait, Remove", func() {
				check(s.Add(ours, tokenA, Readable|Writable, 0))
				check(s.Modify(ours, tokenB, Readable|Writable))
				_, err := s.Wait(s.events, 0)
				check(err)
				check(s.Remove(ours))
			}},
			{"Add and Remove with ForceLevel", func() {
				check(s.Add(ours, tokenA, Readable, ForceLevel))
				check(s.Remove(ours))
			}},
			{"Wake and Wait", func() {
				check(s.Wake())
				_, err := s.Wait(s.events, time.Second)
				check(err)
			}},
			{"Wait that times out", func() {
				_, err := s.Wait(s.events, time.Microsecond)
				check(err)
			}},
		} {
			if n := testing.AllocsPerRun(100, c.run); n != 0 {
				t.Errorf("%s: %v allocations", c.name, n)
			}
			must(t, failure)
		}
	})
}
