package sink

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// given are the kinds of descriptors that a process is started with and whose reader may stand still.
var given = []struct {
	name string
	open func(t *testing.T) (writer, reader int)
}{
	{"pipe", func(t *testing.T) (int, int) {
		var p [2]int
		must(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
		return p[1], p[0]
	}},
	{"socket", func(t *testing.T) (int, int) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		return p[0], p[1]
	}},
	{"terminal", func(t *testing.T) (int, int) {
		reader, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		must(t, err)
		must(t, unix.IoctlSetPointerInt(reader, unix.TIOCSPTLCK, 0))
		number, err := unix.IoctlGetInt(reader, unix.TIOCGPTN)
		must(t, err)
		writer, err := unix.Open(fmt.Sprintf("/dev/pts/%d", number), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		must(t, err)
		return writer, reader
	}},
}

// TestNothingWaitsForAReader: a descriptor that others share takes what it has room for, and the rest waits until
// it is abandoned. Its O_NONBLOCK stays as it was. What cannot be opened anew is written to with a flag of each
// write, or after poll(2).
func TestNothingWaitsForAReader(t *testing.T) {
	for _, g := range given {
		for _, how := range []string{"as it is", "each write says so", "poll"} {
			t.Run(g.name+", "+how, func(t *testing.T) {
				w, r := g.open(t)
				defer unix.Close(w)
				defer unix.Close(r)
				f := Inherited(w)
				defer f.Close()
				if want := map[bool]way{true: socket}[g.name == "socket"]; f.way != want ||
					f.Terminal() != (g.name == "terminal") {
					t.Errorf("%+v", f)
				}
				if how != "as it is" {
					f = &File{fd: w, way: map[bool]way{true: polled, false: nowait}[how == "poll"],
						terminal: f.terminal}
				}
				line := []byte(strings.Repeat("x", 99) + "\n")
				abandoned := make(chan struct{})
				done := make(chan int)
				go func() {
					lost, err := 0, error(nil)
					for lines := 0; err == nil && lines < 100_000; lines++ {
						lost, err = f.WriteLines(line, abandoned)
					}
					if err != ErrAbandoned {
						t.Errorf("it ended by %v", err)
					}
					done <- lost
				}()
				full := func() bool { // and who writes waits for room
					n, err := unix.Poll([]unix.PollFd{{Fd: int32(w), Events: unix.POLLOUT}}, 20)
					return n == 0 && err == nil
				}
				for !full() {
				}
				close(abandoned)
				select {
				case lost := <-done:
					if lost != 1 {
						t.Errorf("%d lines are lost with the last", lost)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("it waits still")
				}
				if flags, err := unix.FcntlInt(uintptr(w), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
					t.Errorf("flags %#x, %v", flags, err)
				}
			})
		}
	}
}

// TestAReaderThatHasGone is an error, and no signal.
func TestAReaderThatHasGone(t *testing.T) {
	for _, g := range given[:2] {
		w, r := g.open(t)
		before := Inherited(w)
		must(t, unix.Close(r))
		for _, f := range []*File{before, Inherited(w)} {
			if lost, err := f.WriteLines([]byte("line\nline\n"), nil); lost != 2 || err != unix.EPIPE {
				t.Errorf("%s: %d lost, %v", g.name, lost, err)
			}
			must(t, f.Close())
		}
		unix.Close(w)
	}
}

// TestBoundedWaitsNoLongerThanItMay, and loses nothing to a reader that reads.
func TestBoundedWaitsNoLongerThanItMay(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	long := bytes.Repeat([]byte("x\n"), 1<<20)
	f := Inherited(int(w.Fd()))
	n, err := Bounded{To: f, Grace: time.Millisecond}.Write(long)
	if n != len(long) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	read := make(chan int)
	go func() {
		all := make([]byte, 3<<20)
		n := 0
		for err := error(nil); err == nil; {
			var m int
			m, err = r.Read(all[n:])
			n += m
		}
		read <- n
	}()
	Bounded{To: f, Grace: time.Minute}.Write(long)
	must(t, f.Close())
	must(t, w.Close())
	if n := <-read; n <= len(long) || n >= 2*len(long) {
		t.Errorf("%d bytes came of twice %d", n, len(long))
	}
}
