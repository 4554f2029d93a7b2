//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package poller

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// eachBench runs bench on every backend and trigger.
func eachBench(b *testing.B, bench func(b *testing.B, s *subject)) {
	for _, backend := range Backends() {
		for _, trigger := range []Trigger{Level, Edge} {
			if backend.Triggers&trigger != 0 {
				b.Run(backend.Name+"/"+trigger.String(), func(b *testing.B) { bench(b, open(b, backend, trigger)) })
			}
		}
	}
}

// BenchmarkWait is a byte sent, the wait that reports it, and its receipt,
// beside idle descriptors.
func BenchmarkWait(b *testing.B) {
	eachBench(b, func(b *testing.B, s *subject) {
		for _, idle := range []int{10, 100, 1000, 10000} {
			if s.backend.MaxFD != 0 && idle+descriptorsSpare > s.backend.MaxFD {
				continue
			}
			b.Run(fmt.Sprintf("idle=%d", idle), func(b *testing.B) { benchmarkWait(b, s, idle) })
		}
	})
}

func benchmarkWait(b *testing.B, s *subject, idle int) {
	for i := range idle {
		fd := idleDescriptor(b)
		s.add(b, fd, Token(i), Readable, 0)
		b.Cleanup(func() { must(b, s.Remove(fd)) })
	}
	ours, peers := unixPair(b)
	s.add(b, ours, tokenA, Readable, 0)
	defer func() { must(b, s.Remove(ours)) }()
	octet := []byte{0}
	for b.Loop() {
		if _, err := unix.Write(peers, octet); err != nil {
			b.Fatal(err)
		}
		if n, err := s.Wait(s.events, 0); n != 1 || err != nil {
			b.Fatal(n, err)
		}
		if _, err := unix.Read(ours, octet); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWaitNothing is the look that finds nothing.
func BenchmarkWaitNothing(b *testing.B) {
	eachBench(b, func(b *testing.B, s *subject) {
		for b.Loop() {
			if n, err := s.Wait(s.events, 0); n != 0 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkWake is a wake that reaches the kernel, and the wait that it ends.
func BenchmarkWake(b *testing.B) {
	eachBench(b, func(b *testing.B, s *subject) {
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
	eachBench(b, func(b *testing.B, s *subject) {
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
