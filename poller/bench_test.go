//go:build unix

package poller

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// eachBench runs bench on every backend and trigger.
func eachBench(b *testing.B, bench func(b *testing.B, backend Backend, trigger Trigger)) {
	for _, backend := range Backends() {
		for _, trigger := range []Trigger{Level, Edge} {
			if backend.Triggers&trigger != 0 {
				b.Run(backend.Name+"/"+trigger.String(), func(b *testing.B) { bench(b, backend, trigger) })
			}
		}
	}
}

// BenchmarkWait is a byte sent, the wait that reports it, and its receipt,
// beside idle descriptors. Where every wait gives hints, each is tried.
func BenchmarkWait(b *testing.B) {
	eachBench(b, func(b *testing.B, backend Backend, trigger Trigger) {
		for _, idle := range []int{10, 100, 1000, 10000} {
			if backend.MaxFD != 0 && idle+descriptorsSpare > backend.MaxFD {
				continue
			}
			b.Run(fmt.Sprintf("idle=%d", idle), func(b *testing.B) {
				benchmarkWait(b, openHere(b, backend, trigger), idle)
			})
		}
	})
}

func benchmarkWait(b *testing.B, s *subject, idle int) {
	fds := make([]int, idle+1)
	for i := range idle {
		fds[i] = idleDescriptor(b)
		s.add(b, fds[i], Token(i), Readable, 0)
	}
	ours, peers := unixPair(b)
	fds[idle] = ours
	s.add(b, ours, Token(idle), Readable, 0)
	octet := []byte{0}
	s.take(b, 0) // what Add left to be looked at
	for b.Loop() {
		if _, err := unix.Write(peers, octet); err != nil {
			b.Fatal(err)
		}
		for received := false; !received; {
			n, err := s.Wait(s.events, 0)
			if err != nil || n != 1 && !s.traits.hints {
				b.Fatal(n, err)
			}
			for _, e := range s.events[:n] {
				_, err := unix.Read(fds[e.Token], octet)
				switch {
				case err == nil:
					received = true
				case err != unix.EAGAIN || !s.traits.hints:
					b.Fatal(err)
				}
			}
		}
	}
	b.StopTimer()
	for _, fd := range fds {
		must(b, s.Remove(fd))
	}
}

// BenchmarkWaitNothing is the look that finds nothing.
func BenchmarkWaitNothing(b *testing.B) {
	eachBench(b, func(b *testing.B, backend Backend, trigger Trigger) {
		s := openHere(b, backend, trigger)
		for b.Loop() {
			if n, err := s.Wait(s.events, 0); n != 0 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkWake is a wake that reaches the kernel, and the wait that it ends.
func BenchmarkWake(b *testing.B) {
	eachBench(b, func(b *testing.B, backend Backend, trigger Trigger) {
		s := openHere(b, backend, trigger)
		for b.Loop() {
			if err := s.Wake(); err != nil {
				b.Fatal(err)
			}
			if n, err := s.Wait(s.events, -1); n != 0 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkWakeCoalesced is a wake with another one pending.
func BenchmarkWakeCoalesced(b *testing.B) {
	eachBench(b, func(b *testing.B, backend Backend, trigger Trigger) {
		s := openHere(b, backend, trigger)
		for b.Loop() {
			if err := s.Wake(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// idleDescriptor is a datagram socket: one number, and never ready to read.
func idleDescriptor(b *testing.B) int {
	b.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	must(b, err)
	return adopt(b, fd)
}
