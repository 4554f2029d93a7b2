package poller

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// newEventfd is the cheapest descriptor that can be made ready: one number each.
func newEventfd(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(t, err)
	return adopted(t, fd)
}

func init() { currentThread = unix.Gettid }

var one = binary.NativeEndian.AppendUint64(nil, 1)

// newOwnPeer is a datagram socket connected to itself: one number too, and it
// sends signals, which an eventfd does not.
func newOwnPeer(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	must(t, err)
	adopt(t, fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{})) // the kernel picks an abstract name
	address, err := unix.Getsockname(fd)
	must(t, err)
	must(t, unix.Connect(fd, address))
	return fd
}

// 10,000 descriptors: every one that is ready is reported, and no other.
func TestTenThousandDescriptors(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		if s.trigger == Edge && s.backend.Triggers&Level != 0 && !testkit.All() {
			return // the same mechanism has just run
		}
		count := 10_000
		if s.backend.MaxFD != 0 {
			count = min(count, s.backend.MaxFD-descriptorsSpare)
		}
		fds := make([]int, count)
		for i := range fds {
			if s.traits.signals {
				fds[i] = newOwnPeer(t)
			} else {
				fds[i] = newEventfd(t)
			}
			s.add(t, fds[i], Token(i), Readable, 0)
		}
		if got := s.take(t, 0); len(got) != 0 {
			t.Fatalf("%d idle descriptors were reported", len(got))
		}
		for _, step := range []int{1, 7, count - 1} { // all of them, some, the first and the last
			var buffer [8]byte
			want := 0
			for i := 0; i < count; i += step {
				send(t, fds[i], string(one))
				want++
			}
			seen := 0
			for deadline := time.Now().Add(patience); seen < want; {
				for token, ready := range s.take(t, time.Second) {
					if ready != Readable || int(token)%step != 0 {
						t.Fatalf("step %d: token %d is %s", step, token, readyString(ready))
					}
					if _, err := unix.Read(fds[token], buffer[:]); err != nil {
						t.Fatalf("step %d: token %d was reported twice, or for nothing: %v", step, token, err)
					}
					seen++
				}
				if time.Now().After(deadline) {
					t.Fatalf("step %d: %d of %d descriptors were reported", step, seen, want)
				}
			}
			if got := s.take(t, 0); len(got) != 0 {
				t.Fatalf("step %d: %d descriptors are reported with nothing to read", step, len(got))
			}
		}
		for i, fd := range fds {
			if i%2 == 0 {
				must(t, s.Remove(fd))
			}
			send(t, fd, string(one))
		}
		seen := make(map[Token]bool)
		for deadline := time.Now().Add(patience); len(seen) < count/2; {
			for token := range s.take(t, time.Second) {
				if token%2 == 0 {
					t.Fatalf("token %d was removed and is reported", token)
				}
				seen[token] = true
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of the %d that remain were reported", len(seen), count/2)
			}
		}
	})
}

// A signal to the waiting thread ends the wait with 0, nil. SIGURG is what Go
// preempts goroutines with, so every loop meets it.
func TestSignalEndsTheWaitWithoutAnError(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		if s.traits.hints {
			return // there is no wait to be interrupted
		}
		ours, _ := unixPair(t)
		s.add(t, ours, tokenA, Readable, 0)
		for _, timeout := range []time.Duration{-1, WaitMax} {
			thread := make(chan int, 1)
			returned := make(chan struct{})
			start := time.Now()
			var n int
			var err error
			wait := inBackground(t, func() {
				defer close(returned)
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				if on, is := s.Poller.(*threaded); is {
					thread <- on.thread
				} else {
					thread <- unix.Gettid()
				}
				n, err = s.Wait(s.events, timeout)
			})
			signalUntil(t, <-thread, returned)
			wait()
			if n != 0 || err != nil {
				t.Errorf("timeout %s: got %d, %v, want 0, nil", timeout, n, err)
			}
			if elapsed := time.Since(start); elapsed >= WaitMax {
				t.Errorf("timeout %s: the signal did not end the wait", timeout)
			}
		}
	})
}

// signalUntil interrupts the thread again and again, since a signal that comes
// just before the system call interrupts nothing.
func signalUntil(t *testing.T, thread int, returned <-chan struct{}) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		must(t, unix.Tgkill(unix.Getpid(), thread, unix.SIGURG))
		select {
		case <-returned:
			return
		case <-deadline:
			t.Fatalf("signals for %s did not end the wait", patience)
		case <-ticker.C:
		}
	}
}
