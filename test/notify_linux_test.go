package test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// manager is what systemd is to a service: who started it and hears its notifications.
type manager struct{ conn *net.UnixConn }

// startNotifying runs the server as systemd would, with a watchdog of that time.
func startNotifying(t *testing.T, v variant, watchdog time.Duration) (*server, *manager) {
	t.Helper()
	folder, err := os.MkdirTemp("", "") // short, for the socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket := filepath.Join(folder, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	cmd := testkit.Command(binary, "serve", t.TempDir(), "--listen", "127.0.0.1:0", "--loops", "2",
		"--io-model", v.Model, "--trigger", v.Trigger, "--access-log", "off")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	s := launch(t, cmd)
	t.Cleanup(func() { s.stop(t) })
	return s, &manager{c}
}

// next is the next notification.
func (m *manager) next(t *testing.T) string {
	t.Helper()
	must(t, m.conn.SetReadDeadline(deadline()))
	p := make([]byte, 4096)
	n, err := m.conn.Read(p)
	must(t, err)
	return string(p[:n])
}

// until reads notifications to the first that begins so, and returns those before it.
func (m *manager) until(t *testing.T, begin string) (before []string) {
	t.Helper()
	for {
		said := m.next(t)
		if strings.HasPrefix(said, begin) {
			return before
		}
		before = append(before, said)
	}
}

// TestNotify: systemd is told when the server is ready, that it lives, and that
// it stops, in every model.
func TestNotify(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s, m := startNotifying(t, v, 30*time.Millisecond)
		if said := m.next(t); !strings.HasPrefix(said, "READY=1\nSTATUS=serving "+s.cmd.Args[2]+" at "+s.url+", "+
			v.Model) {
			t.Errorf("told first: %q", said)
		}
		for range 3 {
			if said := m.next(t); said != "WATCHDOG=1" {
				t.Errorf("told then: %q", said)
			}
		}
		s.signal(t, syscall.SIGTERM)
		if before := m.until(t, "STOPPING=1\nSTATUS=stopping: 0 connections"); slices.ContainsFunc(before,
			func(s string) bool { return s != "WATCHDOG=1" }) {
			t.Errorf("told before the stop: %q", before)
		}
		if code := s.wait(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.stderr.String())
		}
	})
}

// TestStuckLoop: while one loop of two is stuck in the kernel, the watchdog is not fed, and an event
// says why; when it goes on, the watchdog is fed again.
func TestStuckLoop(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		if !v.Loops() {
			return
		}
		s, m := startNotifying(t, v, 300*time.Millisecond)
		m.until(t, "WATCHDOG=1")
		// A loop that never waits never gives its processor back to Go, so that a garbage
		// collection that is due waits for it, and with it whoever would say so.
		silent := v.Model == "spin"
		release := stickLoop(t, s.cmd.Process.Pid, silent)
		defer release()
		if !silent {
			eventually(t, func() error {
				if said := s.stderr.String(); !strings.Contains(said, "watchdog is not fed") ||
					!strings.Contains(said, "has not answered") {
					return fmt.Errorf("no event says that a loop is stuck:\n%s", said)
				}
				return nil
			})
		}
		m.silence(t, 300*time.Millisecond)
		release()
		m.until(t, "WATCHDOG=1")
		if silent {
			return
		}
		eventually(t, func() error {
			if said := s.stderr.String(); !strings.Contains(said, "fed again") {
				return fmt.Errorf("no event says that it goes on:\n%s", said)
			}
			return nil
		})
	})
}

// silence waits until no notification has come for that long, since one that was under way may still come.
func (m *manager) silence(t *testing.T, long time.Duration) {
	t.Helper()
	p := make([]byte, 4096)
	for range 3 {
		must(t, m.conn.SetReadDeadline(time.Now().Add(long)))
		n, err := m.conn.Read(p)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		must(t, err)
		t.Logf("still told: %q", p[:n])
	}
	t.Error("the watchdog is fed")
}
