package poller

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// lower lowers the soft limit of a resource until restore is called, or the test ends.
func lower(t *testing.T, resource int, to uint64) (restore func()) {
	t.Helper()
	var was unix.Rlimit
	must(t, unix.Getrlimit(resource, &was))
	must(t, unix.Setrlimit(resource, &unix.Rlimit{Cur: to, Max: was.Max}))
	restore = func() { must(t, unix.Setrlimit(resource, &was)) }
	t.Cleanup(restore)
	return restore
}

// TestOpenWithoutDescriptors: a poller for which the process has too few descriptors is refused with the reason, and
// leaves none behind.
func TestOpenWithoutDescriptors(t *testing.T) {
	for _, b := range Backends() {
		for room := range 2 {
			t.Run(fmt.Sprintf("%s, room for %d", b.Name, room), func(t *testing.T) {
				lowest, err := unix.Dup(0)
				must(t, err)
				closeNow(t, lowest)
				before := openDescriptors()
				trigger := Level
				if b.Triggers&Level == 0 {
					trigger = Edge
				}
				restore := lower(t, unix.RLIMIT_NOFILE, uint64(lowest+room))
				p, err := b.Open(Options{Trigger: trigger})
				restore()
				if err == nil {
					must(t, p.Close())
					if room == 0 && b.Name != "spin" { // spin never waits, and needs none
						t.Error("it was opened without a descriptor")
					}
				} else if !errors.Is(err, unix.EMFILE) {
					t.Errorf("got %v, want %v", err, unix.EMFILE)
				}
				if after := openDescriptors(); after != before {
					t.Errorf("%d descriptors before, %d after", before, after)
				}
			})
		}
	}
}

// TestDescriptorsThatFail: a Wait says which of the poller's own descriptors cannot be read, and a select which set
// has one that was closed.
func TestDescriptorsThatFail(t *testing.T) {
	folder, err := os.Open(t.TempDir())
	must(t, err)
	defer func() { must(t, folder.Close()) }()
	spoil := func(t *testing.T, fd int) { must(t, unix.Dup3(int(folder.Fd()), fd, unix.O_CLOEXEC)) }
	for _, b := range []Backend{pollBackend, selectBackend, sigioBackend} {
		t.Run("wake-up of "+b.Name, func(t *testing.T) {
			s := openHere(t, b, b.Triggers&-b.Triggers)
			spoil(t, s.Poller.(interface{ FD() int }).FD())
			_, err := s.Poller.Wait(s.events, patience)
			if !errors.Is(err, unix.EISDIR) || !strings.Contains(err.Error(), b.Name) || Transient(err) {
				t.Errorf("got %v, want %v of %s, which lasts", err, unix.EISDIR, b.Name)
			}
			if err := s.Wake(); err == nil {
				t.Error("a wake-up by a folder succeeded")
			}
		})
	}
	t.Run("signals", func(t *testing.T) {
		s := openHere(t, sigioBackend, Edge)
		ours, _ := unixPair(t)
		s.add(t, ours, 1, Readable, 0)
		s.take(t, 0) // binds
		p := s.Poller.(*sigio)
		was, err := unix.Dup(p.sigfd)
		must(t, err)
		spoil(t, p.sigfd)
		if _, err := s.Poller.Wait(s.events, 0); !errors.Is(err, unix.EISDIR) {
			t.Errorf("got %v, want %v", err, unix.EISDIR)
		}
		must(t, unix.Dup3(was, p.sigfd, unix.O_CLOEXEC)) // Close reads what is queued
		closeNow(t, was)
	})
	t.Run("select of a closed one", func(t *testing.T) {
		s := openHere(t, selectBackend, Level)
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		must(t, err)
		s.add(t, fd, 1, Readable, 0)
		closeNow(t, fd)
		if _, err := s.Poller.Wait(s.events, 0); !errors.Is(err, unix.EBADF) {
			t.Errorf("got %v, want %v", err, unix.EBADF)
		}
	})
}

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		unix.ENOMEM: true, unix.EAGAIN: true, unix.EBUSY: true, unix.ENOBUFS: true, unix.EINTR: true,
		unix.EBADF: false, unix.EINVAL: false, unix.EFAULT: false, ErrNoRoom: false,
	} {
		if got := Transient(fmt.Errorf("epoll_wait: %w", os.NewSyscallError("epoll_wait", err))); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	if Transient(nil) || Transient(syscall.Errno(0)) {
		t.Error("no error is one that passes")
	}
}

// TestCallsAreCounted: every backend counts its waits, and those with a call for each change of interest these too.
func TestCallsAreCounted(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		p := s.Poller
		if on, is := p.(*threaded); is {
			p = on.Poller
		}
		counter, counts := p.(Counter)
		if !counts {
			return // it makes no calls
		}
		ours, _ := unixPair(t)
		before := counter.Calls()
		s.add(t, ours, 1, Writable, 0)
		s.expect(t, 1, Writable)
		after := counter.Calls()
		if after.Wait <= before.Wait {
			t.Errorf("waits: %d, then %d", before.Wait, after.Wait)
		}
		if s.backend.Name == "epoll" && after.Control != before.Control+1 {
			t.Errorf("epoll_ctl: %d, then %d", before.Control, after.Control)
		}
	})
}
