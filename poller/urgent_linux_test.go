package poller

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUrgentByteHidesNothing: what is behind an urgent byte is reported, though a recv ends before it: with an edge
// trigger by the Urgent beside the event, with a level trigger by another event.
func TestUrgentByteHidesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		ours, peer := tcpPair(t)
		s.add(t, ours, tokenA, Readable|Writable, 0)
		s.expect(t, tokenA, Writable)
		send(t, peer, "ab")
		must(t, unix.Sendto(peer, []byte("!"), unix.MSG_OOB, nil))
		send(t, peer, "cd")
		var got Ready
		for end := time.Now().Add(patience); got&Readable == 0 || s.trigger == Edge && got&Urgent == 0; {
			if time.Now().After(end) {
				t.Fatal(readyString(got))
			}
			got |= s.take(t, 100*time.Millisecond)[tokenA]
		}
		if data := readOnce(t, ours); data != "ab" {
			t.Fatalf("%q is in front of the urgent byte", data)
		}
		if s.trigger == Level {
			s.expect(t, tokenA, Readable)
		}
		if data := readOnce(t, ours); data != "cd" {
			t.Errorf("%q is behind the urgent byte", data)
		}
	})
}

// readOnce reads what one call gives, when there is something.
func readOnce(t *testing.T, fd int) string {
	t.Helper()
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond))
	must(t, err)
	var buffer [16]byte
	n, err := unix.Read(fd, buffer[:])
	must(t, err)
	return string(buffer[:n])
}
