//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package lab

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/poller"
)

var must = testkit.Must

// eachWay runs a test with every way to wait, on a thread of its own, as sigio needs one.
func eachWay(t *testing.T, timeout time.Duration, test func(t *testing.T, way watching)) {
	s := &session{&experiment.Session{}}
	ways, err := s.watchings(timeout)
	must(t, err)
	if !ways[1].Control || ways[0].Control {
		t.Errorf("the control is not the second: %v", subjects(ways))
	}
	for _, way := range ways {
		t.Run(way.Name, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			test(t, way)
		})
	}
}

// TestWaits: whatever is written is reported, and read, by every way; and it leaves no trace on the descriptors.
func TestWaits(t *testing.T) {
	fds, err := twoWay(20)
	t.Cleanup(func() { must(t, closeAll(fds)) })
	must(t, err)
	w := &waits{s: &session{&experiment.Session{Options: experiment.Options{Duration: time.Millisecond}}}}
	eachWay(t, waitBound, func(t *testing.T, way watching) {
		random := rand.New(rand.NewPCG(1, 1))
		values, err := w.measure(way, fds, func() int { return random.IntN(len(fds)) })
		must(t, err)
		for _, key := range []string{"whole", "alone"} {
			if !(values[key] > 0) {
				t.Errorf("%s: %v", key, values[key])
			}
		}
		if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0); err != nil || flags&unix.O_ASYNC != 0 {
			t.Errorf("flags %#x afterwards: %v", flags, err)
		}
	})
}

// TestChain: a chain moves exactly the octets that bench.c moves, ends where they have all been read, and leaves
// every pipe empty, under every way to wait, with one pipe and with more active than there are.
func TestChain(t *testing.T) {
	reads, writes, err := pipePairs(30)
	t.Cleanup(func() { must(t, closeAll(reads)); must(t, closeAll(writes)) })
	must(t, err)
	eachWay(t, 0, func(t *testing.T, way watching) {
		for _, of := range []struct{ pipes, active, length, want int }{
			{1, 1, 5, 6}, {30, 1, 100, 101}, {30, 7, 40, 47}, {30, 30, 200, 230}, {30, 100, 10, 40},
		} {
			c := chain{reads: reads[:of.pipes], writes: writes[:of.pipes], active: of.active, length: of.length}
			values, err := c.measure(way, 0)
			must(t, err)
			if c.count != of.want || c.left != 0 {
				t.Errorf("%+v: %d octets read, %d left to be written", of, c.count, c.left)
			}
			if _, has := values["registering"]; !has || !(values["chain"] > 0) {
				t.Errorf("%+v: %v", of, values)
			}
			var buffer [8]byte
			for i, fd := range reads {
				if n, err := unix.Read(fd, buffer[:]); err != unix.EAGAIN {
					t.Fatalf("%+v: pipe %d still holds %d octets: %v", of, i, n, err)
				}
			}
		}
	})
}

// TestForgottenIsForgotten: after remove nothing of a descriptor is reported, and after add it is again.
func TestForgottenIsForgotten(t *testing.T) {
	fds, err := twoWay(2)
	t.Cleanup(func() { must(t, closeAll(fds)) })
	must(t, err)
	eachWay(t, 10*time.Millisecond, func(t *testing.T, way watching) {
		p, err := way.open()
		must(t, err)
		must(t, watch(p, fds))
		must(t, p.remove(fds[0]))
		_, err = unix.Write(fds[0], []byte{0})
		must(t, err)
		events := make([]poller.Event, eventsMax)
		n, err := p.wait(events)
		must(t, err)
		if slices.ContainsFunc(events[:n], func(e poller.Event) bool { return e.Token == 0 }) {
			t.Error("what was removed is reported")
		}
		must(t, p.add(fds[0], 0))
		must(t, receive(p, fds, events, []byte{0}))
		must(t, forget(p, fds))
	})
}

func TestReceiveGivesUp(t *testing.T) {
	if err := receive(silent{}, nil, nil, []byte{0}); err == nil {
		t.Error("what nobody reports was received")
	}
	c := chain{watcher: silent{}, active: 1, length: 1}
	c.reads, c.writes = pipePair(t)
	if err := c.run(); err == nil {
		t.Error("a chain that nobody reports has ended")
	}
	c.watcher = silent{errBroken}
	if err := c.run(); !errors.Is(err, errBroken) {
		t.Errorf("a broken wait ended a chain with %v", err)
	}
}

func pipePair(t *testing.T) (reads, writes []int) {
	reads, writes, err := pipePairs(1)
	t.Cleanup(func() { must(t, closeAll(reads)); must(t, closeAll(writes)) })
	must(t, err)
	return reads, writes
}

var errBroken = errors.New("broken")

// silent is a watcher that reports nothing, or an error.
type silent struct{ err error }

func (s silent) add(int, poller.Token) error      { return s.err }
func (s silent) remove(int) error                 { return s.err }
func (s silent) wait([]poller.Event) (int, error) { return 0, s.err }
func (s silent) close() error                     { return s.err }

func TestPointsFollowTheLimitOfDescriptors(t *testing.T) {
	for _, c := range []struct {
		descriptors int
		want        []int
	}{
		{64, nil}, {264, []int{100}}, {spare + 2*9000, pipesCounts}, {20_000, pipesCounts},
		{spare + 2*500, []int{100, 300, 500}}, {spare + 2*8999, []int{100, 300, 1000, 3000, 8999}},
	} {
		if got := pipePoints(c.descriptors); !slices.Equal(got, c.want) {
			t.Errorf("%d descriptors: %v, want %v", c.descriptors, got, c.want)
		}
	}
}
