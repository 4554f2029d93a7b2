package systemd

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// manager is systemd's end of the notification socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

const patience = testkit.Patience

func listenAsManager(t *testing.T) *manager {
	t.Helper()
	folder, err := os.MkdirTemp("", "") // t.TempDir may be longer than a socket's path can be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t, c}
}

// next is the next notification, its lines.
func (m *manager) next() []string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	p := make([]byte, 4096)
	n, err := m.conn.Read(p)
	if err != nil {
		m.t.Fatalf("no notification: %v", err)
	}
	return strings.Split(string(p[:n]), "\n")
}

// none checks that nothing was told that has not been read.
func (m *manager) none() {
	m.t.Helper()
	raw, err := m.conn.SyscallConn()
	if err != nil {
		m.t.Fatal(err)
	}
	p := make([]byte, 4096)
	var n int
	var failed error
	err = raw.Control(func(fd uintptr) { n, _, failed = unix.Recvfrom(int(fd), p, unix.MSG_DONTWAIT) })
	if err != nil || failed != unix.EAGAIN {
		m.t.Errorf("more was told: %q, %v, %v", p[:max(n, 0)], failed, err)
	}
}

func watched() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

func TestNotifications(t *testing.T) {
	m := listenAsManager(t)
	events, logs := watched()
	n := New(events)
	n.Ready("serving /srv")
	n.Reloading()
	n.send("STATUS=a name with\nWATCHDOG=trigger in it")
	n.Stopping("3 connections")
	n.MainPID(4711)
	n.Ready("by whom is not asked any more")
	for i, want := range [][]string{
		{"READY=1", "STATUS=serving /srv"},
		{"RELOADING=1", `MONOTONIC_USEC=\d+`},
		{"STATUS=a name with WATCHDOG=trigger in it"},
		{"STOPPING=1", "STATUS=3 connections"},
		{"MAINPID=4711"},
	} {
		got := m.next()
		if !regexp.MustCompile("^" + strings.Join(want, "\n") + "$").MatchString(strings.Join(got, "\n")) {
			t.Errorf("%d: got %q, want %q", i, got, want)
		}
	}
	m.none()
	if logs.Len() > 0 {
		t.Errorf("events: %v", logs.All())
	}
}

// TestNotificationsWithoutSystemd: a server that systemd has not started sends nothing, and that is no event.
func TestNotificationsWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	events, logs := watched()
	n := New(events)
	n.Ready("serving /srv")
	n.Reloading()
	n.Stopping("")
	n.Watch(func(time.Duration) error { t.Error("a ping without a watchdog"); return nil })()
	if logs.Len() > 0 {
		t.Errorf("events: %v", logs.All())
	}
}

// TestNotificationsThatFail: a socket that is gone, or that nobody reads, is an
// event and does not hold up the server.
func TestNotificationsThatFail(t *testing.T) {
	m := listenAsManager(t)
	events, logs := watched()
	n := New(events)
	for logs.Len() == 0 { // until the socket's queue is full
		n.send("STATUS=on and on")
	}
	if e := logs.All()[0]; !strings.Contains(e.Message, "does not take") {
		t.Errorf("a full queue: %v", e)
	}
	m.conn.Close()
	n.send("STATUS=to nobody")
	if e := logs.All()[logs.Len()-1]; !strings.Contains(e.Message, "cannot be notified") {
		t.Errorf("a closed socket: %v", e)
	}
}

// TestWatchdog: it is fed while pings succeed, goes hungry while they do not, which is one
// event, and is fed again.
func TestWatchdog(t *testing.T) {
	m := listenAsManager(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", "")
	events, logs := watched()
	var stuck atomic.Bool
	failed := make(chan struct{}, 1)
	ping := func(timeout time.Duration) error {
		if timeout <= 0 || timeout > 15*time.Millisecond {
			t.Errorf("a ping may take %v of a watchdog's 30 ms", timeout)
		}
		if stuck.Load() {
			select {
			case failed <- struct{}{}:
			default:
			}
			return errors.New("loop 1 is stuck")
		}
		return nil
	}
	n := New(events)
	stop := n.Watch(ping)
	fed := func() {
		t.Helper()
		for range 3 {
			if got := m.next(); !slices.Equal(got, []string{"WATCHDOG=1"}) {
				t.Errorf("got %q", got)
			}
		}
	}
	fed()
	stuck.Store(true)
	for range 3 {
		<-failed
	}
	stuck.Store(false)
	fed()
	stop()
	stop()
	var said []string
	for _, e := range logs.All() {
		said = append(said, e.Level.String()+" "+e.Message)
	}
	if len(said) != 2 || !strings.HasPrefix(said[0], "error systemd's watchdog is not fed") ||
		!strings.Contains(said[1], "fed again") {
		t.Errorf("events: %q", said)
	}
}

// TestWatchdogPingHangs: a ping that does not return leaves the watchdog hungry, which is one
// event; when it has returned, the watchdog is fed again.
func TestWatchdogPingHangs(t *testing.T) {
	m := listenAsManager(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", "")
	events, logs := watched()
	hang := make(chan struct{})
	var pings atomic.Int32
	n := New(events)
	stop := n.Watch(func(time.Duration) error {
		if pings.Add(1) == 2 {
			<-hang
		}
		return nil
	})
	defer stop()
	if got := m.next(); !slices.Equal(got, []string{"WATCHDOG=1"}) {
		t.Errorf("told first: %q", got)
	}
	testkit.Until(t, "no event says it", func() bool { return logs.FilterMessageSnippet("is not fed").Len() > 0 })
	if n := pings.Load(); n != 2 {
		t.Errorf("%d pings while one hangs", n)
	}
	close(hang)
	if got := m.next(); !slices.Equal(got, []string{"WATCHDOG=1"}) {
		t.Errorf("told after it returned: %q", got)
	}
	testkit.Until(t, "no event says it", func() bool { return logs.FilterMessageSnippet("fed again").Len() > 0 })
	if logs.Len() != 2 {
		t.Errorf("events: %v", logs.All())
	}
}

// TestWatchdogOfAnother: WATCHDOG_PID says whose it is, and SuccessorEnv passes it on.
func TestWatchdogOfAnother(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", "1")
	events, logs := watched()
	if n := New(events); n.watchdog != 0 {
		t.Error("another's watchdog would be fed")
	}
	for _, assignment := range SuccessorEnv(os.Environ()) {
		if name, value, _ := strings.Cut(assignment, "="); strings.HasPrefix(name, "WATCHDOG_") {
			t.Setenv(name, value)
			if name == "WATCHDOG_PID" {
				t.Error("the successor would not feed the watchdog")
			}
		}
	}
	t.Setenv("WATCHDOG_PID", "")
	if n := New(events); n.watchdog != 30*time.Millisecond {
		t.Errorf("the successor's watchdog has %v", n.watchdog)
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if n := New(events); n.watchdog != 0 || logs.Len() != 1 {
		t.Errorf("a watchdog's time that is no number: %v, %v", n.watchdog, logs.All())
	}
}
