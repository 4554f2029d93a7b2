package faults_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/test/faults"
)

// change is a call that a server makes when it starts, reads its configuration again, or gives its place up to another
// process. It may do without, or say why it cannot go on: it starts or ends with the cause, reloads or leaves all as it
// was, and whatever it serves is right.
type change struct {
	call  int
	name  string
	errno unix.Errno
	// runtime is how many of these calls the new process makes for Go's runtime, which cannot do without.
	runtime uint64
	// own: models have different code that makes it.
	own bool
}

var changes = []change{
	{call: unix.SYS_OPENAT, name: "openat", errno: unix.EMFILE},
	{call: unix.SYS_OPENAT2, name: "openat2", errno: unix.EMFILE},
	{call: unix.SYS_READ, name: "read", errno: unix.EIO},
	{call: unix.SYS_PREAD64, name: "pread64", errno: unix.EIO},
	{call: unix.SYS_WRITE, name: "write", errno: unix.EIO},
	{call: unix.SYS_FSTAT, name: "fstat", errno: unix.EIO},
	{call: unix.SYS_NEWFSTATAT, name: "newfstatat", errno: unix.EIO},
	{call: unix.SYS_STATX, name: "statx", errno: unix.EIO},
	{call: unix.SYS_STATFS, name: "statfs", errno: unix.EIO},
	{call: unix.SYS_FSTATFS, name: "fstatfs", errno: unix.EIO},
	{call: unix.SYS_GETDENTS64, name: "getdents64", errno: unix.EIO},
	{call: unix.SYS_READLINKAT, name: "readlinkat", errno: unix.EIO},
	{call: unix.SYS_FACCESSAT2, name: "faccessat2", errno: unix.EACCES},
	{call: unix.SYS_FCHMODAT, name: "fchmodat", errno: unix.EPERM},
	{call: unix.SYS_UNLINKAT, name: "unlinkat", errno: unix.EACCES},
	{call: unix.SYS_FLOCK, name: "flock", errno: unix.ENOLCK},
	{call: unix.SYS_FCNTL, name: "fcntl", errno: unix.EMFILE, own: true},
	{call: unix.SYS_IOCTL, name: "ioctl", errno: unix.EIO},
	{call: unix.SYS_SOCKET, name: "socket", errno: unix.EMFILE},
	{call: unix.SYS_BIND, name: "bind", errno: unix.EACCES},
	{call: unix.SYS_LISTEN, name: "listen", errno: unix.EADDRINUSE},
	{call: unix.SYS_CONNECT, name: "connect", errno: unix.EACCES},
	{call: unix.SYS_SETSOCKOPT, name: "setsockopt", errno: unix.ENOMEM},
	{call: unix.SYS_GETSOCKOPT, name: "getsockopt", errno: unix.ENOBUFS},
	{call: unix.SYS_GETSOCKNAME, name: "getsockname", errno: unix.ENOBUFS},
	{call: unix.SYS_EPOLL_CREATE1, name: "epoll_create1", errno: unix.EMFILE, runtime: 1, own: true},
	{call: unix.SYS_EVENTFD2, name: "eventfd2", errno: unix.EMFILE, runtime: 1, own: true},
	{call: unix.SYS_EPOLL_CTL, name: "epoll_ctl", errno: unix.ENOMEM, runtime: 1, own: true},
	{call: unix.SYS_SIGNALFD4, name: "signalfd4", errno: unix.EMFILE, own: true},
	{call: unix.SYS_IO_URING_SETUP, name: "io_uring_setup", errno: unix.ENOMEM, own: true},
	{call: unix.SYS_IO_URING_SETUP, name: "io_uring_setup", errno: unix.EPERM, own: true},
	{call: unix.SYS_IO_URING_REGISTER, name: "io_uring_register", errno: unix.ENOMEM, own: true},
	{call: unix.SYS_MMAP, name: "mmap of a descriptor", errno: unix.ENOMEM, own: true},
	{call: unix.SYS_PRLIMIT64, name: "prlimit64", errno: unix.EPERM},
	{call: unix.SYS_PIPE2, name: "pipe2", errno: unix.EMFILE},
	{call: unix.SYS_DUP3, name: "dup3", errno: unix.EMFILE},
	{call: unix.SYS_EXECVE, name: "execve", errno: unix.ENOMEM},
	{call: unix.SYS_WAIT4, name: "wait4", errno: unix.ECHILD},
	{call: unix.SYS_WAITID, name: "waitid", errno: unix.ECHILD},
	{call: unix.SYS_PIDFD_OPEN, name: "pidfd_open", errno: unix.EMFILE},
	{call: unix.SYS_PIDFD_SEND_SIGNAL, name: "pidfd_send_signal", errno: unix.EPERM},
	{call: unix.SYS_PWRITEV2, name: "pwritev2", errno: unix.EOPNOTSUPP},
}

// fault fails all of a change's calls, or only the one behind so many (only ≥ 0).
func (c change) fault(own uint64, only int) *faults.Fault {
	f := &faults.Fault{Number: c.call, Errno: c.errno, Skip: own}
	f.Match = func(p *faults.Process, call *faults.Call) bool {
		switch kind := p.Kind(int(int32(call.Args[0]))); call.Number {
		case unix.SYS_FCNTL: // Go's runtime looks at them before the program begins, and ends without (checkfds)
			return call.Args[0] > 2 || call.Args[1] != unix.F_GETFD
		case unix.SYS_READ:
			// A pipe, an eventfd and a socket of our own have no such error (pipe_read in fs/pipe.c). Go's fork waits
			// for the child's end after one of its pipe (syscall.forkExec).
			return kind == faults.Regular
		case unix.SYS_WRITE, unix.SYS_EPOLL_CTL:
			return kind != faults.OfRuntime
		}
		return true
	}
	if only >= 0 {
		f.Skip += uint64(only)
		f.Times = 1
	}
	return f
}

// sweepMax bounds the calls that are made to fail one by one.
const sweepMax = 40

// sweep tries a change with all its calls failing, but for own of Go's runtime, and in the whole form with each of them
// alone.
func (c change) sweep(own uint64, try func(f *faults.Fault, only int)) {
	var met uint64
	for only := -1; only < 0 || whole() && only < sweepMax && uint64(only) < met; only++ {
		f := c.fault(own, only)
		try(f, only)
		met = max(met, f.Met())
	}
}

// startable are the changes that are tried in a model.
func startable(v variant) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool {
		return !whole() && v != variants[0] && (!c.own || !v.OwnCode())
	})
}

// TestFaultsOfStart: a server that starts while a call fails serves right, or ends with the cause.
func TestFaultsOfStart(t *testing.T) {
	able(t)
	for _, v := range chosen(t) {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			for _, c := range startable(v) {
				if c.call == unix.SYS_EXECVE || c.call == unix.SYS_WRITE {
					continue // the launcher's own; and without the other one nothing is said of the start
				}
				c.sweep(c.runtime, func(f *faults.Fault, only int) { startFaulty(t, v, c, f, only) })
			}
		})
	}
}

func startFaulty(t *testing.T, v variant, c change, f *faults.Fault, only int) {
	t.Helper()
	s := prepare(t, v)
	defer os.RemoveAll(s.folder)
	served := s.launch(t, f)
	name := fmt.Sprintf("start, %s %s, %s", c.name, unix.ErrnoName(c.errno), which(only))
	if served {
		s.super.Set(nil)
		if err := s.recovers(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, tail(s.stderr.String()))
		}
		s.everyCallHasARow(t)
		s.stop(t)
	} else {
		<-s.exited
		said := s.stderr.String()
		// 2 is for a configuration that cannot be read.
		if code := s.cmd.ProcessState.ExitCode(); code != 1 && code != 2 || crashed(said) ||
			f.Hits() > 0 && !c.named(said) {
			t.Errorf("%s: it ended with code %d and said:\n%s", name, code, tail(said))
		}
	}
	tally.addChange(v, "start", c, f)
}

// recovers waits until all is answered right.
func (s *server) recovers() (err error) {
	for end := time.Now().Add(recoveryMax); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = s.probe(); err == nil || !s.alive() {
			return err
		}
	}
	return err
}

// named reports whether the cause is said. Of netpoll nobody is told why its pollers cannot be opened.
func (c change) named(said string) bool {
	return strings.Contains(said, c.errno.Error()) || strings.Contains(said, "netpoll cannot open poller")
}

func crashed(said string) bool { return strings.Contains(said, "goroutine ") }

func which(only int) string {
	if only < 0 {
		return "always"
	}
	return fmt.Sprintf("call %d", only+1)
}

// reloadEvent ends a reload.
var reloadEvent = regexp.MustCompile(`"msg":"(not )?reloaded`)

// reload has the server read its configuration again, and waits for its word.
func (s *server) reload(t *testing.T) (taken bool) {
	t.Helper()
	from := len(s.stderr.String())
	testkit.Must(t, s.cmd.Process.Signal(unix.SIGHUP))
	var found []string
	testkit.Eventually(t, func() error {
		if !s.alive() {
			t.Fatalf("the server has ended:\n%s", tail(s.stderr.String()))
		}
		if found = reloadEvent.FindStringSubmatch(s.stderr.String()[from:]); found == nil {
			return fmt.Errorf("nothing is said of the reload:\n%s", tail(s.stderr.String()[from:]))
		}
		return nil
	})
	return found[1] == ""
}

// other is what a server of that kind is changed from.
func other(v variant) variant {
	if v.Model == "epoll" {
		return variant{Model: "poll", Trigger: "level"}
	}
	return variants[0]
}

// TestFaultsOfReload: a server that is to change its IO model while a call fails does so, or stays as it is and says
// why; afterwards it does, and holds no more than before.
func TestFaultsOfReload(t *testing.T) {
	able(t)
	for _, v := range chosen(t) {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			var s *server
			for _, c := range startable(v) {
				if s == nil || !s.alive() {
					s = startOther(t, v)
				}
				c.sweep(0, func(f *faults.Fault, only int) { s.reloadFaulty(t, v, c, f, only) })
			}
			if s != nil {
				s.everyCallHasARow(t)
			}
		})
	}
}

// startOther starts a server which is to be changed into v, and has been so once.
func startOther(t *testing.T, v variant) *server {
	t.Helper()
	s := start(t, other(v))
	for _, to := range []variant{v, other(v)} {
		s.v = to
		s.configure(t, 2)
		if !s.reload(t) {
			t.Fatalf("%v is not taken:\n%s", to, tail(s.stderr.String()))
		}
		testkit.Must(t, s.recovers())
	}
	now := s.settled(t)
	s.base.descriptors = max(s.base.descriptors, now.descriptors)
	s.base.goroutines = max(s.base.goroutines, now.goroutines)
	return s
}

func (s *server) reloadFaulty(t *testing.T, v variant, c change, f *faults.Fault, only int) {
	t.Helper()
	name := fmt.Sprintf("reload, %s %s, %s", c.name, unix.ErrnoName(c.errno), which(only))
	from := len(s.stderr.String())
	s.v = v
	s.configure(t, 2)
	s.super.Set(f)
	taken := false
	// What keeps a server from writing keeps it from saying so.
	if c.call == unix.SYS_WRITE && only < 0 {
		testkit.Must(t, s.cmd.Process.Signal(unix.SIGHUP))
		testkit.Until(t, name+": the call is not made", func() bool { return f.Hits() > 0 })
		taken = true
	} else {
		taken = s.reload(t)
	}
	s.super.Set(nil)
	if said := s.stderr.String()[from:]; !taken && f.Hits() > 0 && !c.named(said) {
		t.Errorf("%s: it does not reload and says\n%s", name, tail(said))
	}
	if err := s.recovers(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, tail(s.stderr.String()[from:]))
	}
	for _, to := range []variant{v, other(v)} {
		s.v = to
		s.configure(t, 2)
		if !s.reload(t) {
			t.Errorf("%s: when the fault is over, %v is not taken:\n%s", name, to, tail(s.stderr.String()[from:]))
		}
	}
	if err := s.recovers(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, tail(s.stderr.String()[from:]))
	}
	if err := s.rested(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	tally.addChange(v, "reload", c, f)
}

// upgradeEvent ends an upgrade.
var upgradeEvent = regexp.MustCompile(`"msg":"(not )?upgraded.*`)

var successor = regexp.MustCompile(`"process":(\d+)`)

// TestFaultsOfUpgrade: a server that is to give its place up while a call fails, in it or in the new process, does so,
// or serves on and says why.
func TestFaultsOfUpgrade(t *testing.T) {
	able(t)
	t.Parallel()
	v := variants[0]
	for _, c := range startable(v) {
		if c.call == unix.SYS_WRITE {
			continue // nothing can be said meanwhile; the start has had it
		}
		c.sweep(c.runtime, func(f *faults.Fault, only int) { upgradeFaulty(t, v, c, f, only) })
	}
}

func upgradeFaulty(t *testing.T, v variant, c change, f *faults.Fault, only int) {
	t.Helper()
	name := fmt.Sprintf("upgrade, %s %s, %s", c.name, unix.ErrnoName(c.errno), which(only))
	s := prepare(t, v)
	defer os.RemoveAll(s.folder)
	if !s.launch(t, nil) {
		t.Fatalf("%s: the server does not start:\n%s", name, s.stderr.String())
	}
	from := len(s.stderr.String())
	s.super.Set(f)
	testkit.Must(t, s.cmd.Process.Signal(unix.SIGUSR2))
	var found []string
	testkit.Eventually(t, func() error {
		if found = upgradeEvent.FindStringSubmatch(s.stderr.String()[from:]); found == nil {
			return fmt.Errorf("%s: nothing is said of it:\n%s", name, tail(s.stderr.String()[from:]))
		}
		return nil
	})
	s.super.Set(nil)
	said := s.stderr.String()[from:]
	if found[1] != "" && f.Hits() > 0 && !c.named(said) || crashed(said) {
		t.Errorf("%s: it says\n%s", name, tail(said))
	}
	if err := s.recovers(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, tail(s.stderr.String()[from:]))
	}
	s.everyCallHasARow(t)
	if found[1] == "" {
		pid, err := strconv.Atoi(append(successor.FindStringSubmatch(found[0]), "", "0")[1])
		testkit.Must(t, err)
		testkit.Must(t, unix.Kill(pid, unix.SIGTERM))
		select {
		case <-s.exited:
		case <-time.After(testkit.Patience):
			unix.Kill(pid, unix.SIGKILL)
			t.Errorf("%s: the new process does not stop:\n%s", name, tail(s.stderr.String()))
		}
	}
	s.stop(t)
	tally.addChange(v, "upgrade", c, f)
}
