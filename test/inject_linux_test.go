package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// faulty runs the server under strace, which injects those faults and writes down the calls of their names.
func faulty(t *testing.T, v variant, inject ...string) (s *server, trace string) {
	t.Helper()
	strace := tool(t, "strace")
	root := t.TempDir()
	write(t, root, "small", []byte("small"))
	trace = filepath.Join(t.TempDir(), "trace")
	// -D: the server is our child and strace its own, which needs no right to trace others.
	args := []string{"-D", "-f", "-q", "-e", "signal=none", "-o", trace}
	var calls []string
	for _, fault := range inject {
		call, _, _ := strings.Cut(fault, ":")
		calls = append(calls, call)
		args = append(args, "-e", "inject="+fault)
	}
	args = append(args, "-e", "trace="+strings.Join(calls, ","),
		binary, "serve", root, "--listen", "127.0.0.1:0", "--io-model", v.Model, "--trigger", v.Trigger,
		"--access-log", "off", "--loops", "1")
	s = launch(t, testkit.Command(strace, args...))
	t.Cleanup(func() { s.stop(t) })
	return s, trace
}

// TestAcceptFails: after an error of accept4 that is not the new connection's own the server neither spins nor
// stops accepting. An event says the cause, and accepting is tried again until it works.
func TestAcceptFails(t *testing.T) {
	for _, v := range []variant{{Model: "epoll", Trigger: "edge"}, {Model: "blocking", Trigger: "auto"}} {
		for errno, cause := range map[string]string{"EPERM": "operation not permitted", "EIO": "input/output error"} {
			t.Run(v.String()+","+errno, func(t *testing.T) {
				t.Parallel()
				const fails = 5 // the last of them is followed by a rest of 160 ms
				s, trace := faulty(t, v, fmt.Sprintf("accept4:error=%s:when=1..%d", errno, fails))
				got := s.get(t, "/small")
				if got.status != 200 {
					t.Error(got.status)
				}
				if said := s.stderr.String(); !strings.Contains(said, "accepting fails") ||
					!strings.Contains(said, cause) {
					t.Errorf("it is not said:\n%s", said)
				}
				s.stop(t)
				text, err := os.ReadFile(trace)
				must(t, err)
				if n := strings.Count(string(text), "accept4("); n > 200 {
					t.Errorf("%d calls", n)
				}
			})
		}
	}
}

// TestWaitThatCannotWork: an error of a wait that does not pass ends the server, with the cause.
func TestWaitThatCannotWork(t *testing.T) {
	s, _ := faulty(t, variant{Model: "poll", Trigger: "level"}, "ppoll:error=EBADF:when=30+")
	eventually(t, func() error {
		select {
		case <-s.exited:
			return nil
		default:
			_, err := s.tryGet("/small")
			return fmt.Errorf("it serves still, %v", err)
		}
	})
	if code, said := s.wait(t), s.stderr.String(); code != 1 || !strings.Contains(said, "bad file descriptor") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
}

// TestWaitsFail: a wait of the kernel's that fails for want of memory, or a read that a signal ends, ends no
// server and no connection.
func TestWaitsFail(t *testing.T) {
	for _, c := range []struct {
		variant
		inject string
		said   bool // as a wait that failed
	}{
		{variant{Model: "poll", Trigger: "level"}, "ppoll:error=ENOMEM:when=2..5", true},
		{variant{Model: "sigio", Trigger: "edge"}, "ppoll:error=ENOMEM:when=2..5", true},
		{variant{Model: "select", Trigger: "level"}, "pselect6:error=ENOMEM:when=2..5", true},
		{variant{Model: "poll", Trigger: "level"}, "read:error=EINTR:when=4+2", false},
		{variant{Model: "epoll", Trigger: "edge"}, "write:error=EINTR:when=4+2", false},
	} {
		t.Run(c.variant.String()+","+c.inject, func(t *testing.T) {
			t.Parallel()
			s, _ := faulty(t, c.variant, c.inject)
			w, err := s.open(request("/small"))
			must(t, err)
			defer w.conn.Close()
			for i := range 16 {
				if got, err := w.next("GET"); err != nil || got.status != 200 && got.status != 404 {
					t.Fatalf("%d, %v\n%s", got.status, err, s.stderr.String())
				}
				// What nobody has asked for is looked for by a worker, who wakes the loop.
				_, err := w.conn.Write([]byte(request(fmt.Sprintf("/none%d", i))))
				must(t, err)
			}
			if said := strings.Contains(s.stderr.String(), "waiting for events fails"); said != c.said {
				t.Errorf("it is said: %v\n%s", said, s.stderr.String())
			}
		})
	}
}

// TestLimitBelowWhatIsOpen: when the limit of descriptors is lowered below what is open (prlimit(1)), those
// connections are served as before: a request whose file has to be opened gets 503.
func TestLimitBelowWhatIsOpen(t *testing.T) {
	const connections, limit = 200, 100
	root := t.TempDir()
	write(t, root, "small", []byte("small"))
	for _, v := range []variant{
		{Model: "poll", Trigger: "level"}, {Model: "sigio", Trigger: "edge"}, {Model: "select", Trigger: "level"},
		{Model: "epoll", Trigger: "edge"}, {Model: "blocking", Trigger: "auto"},
	} {
		t.Run(v.String(), func(t *testing.T) {
			s := start(t, v, root, "--loops", "1")
			var wires []*wire
			for range connections {
				w, err := s.open(request("/small"))
				must(t, err)
				defer w.conn.Close()
				wires = append(wires, w)
			}
			answered := func() {
				t.Helper()
				for i, w := range wires {
					if got, err := w.next("GET"); err != nil || got.status != 200 && got.status != 503 {
						t.Fatalf("connection %d: %d, %v\n%s", i, got.status, err, s.stderr.String())
					}
				}
			}
			answered()
			low := unix.Rlimit{Cur: limit, Max: limit}
			must(t, unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_NOFILE, &low, nil))
			for range 3 {
				for _, w := range wires {
					_, err := w.conn.Write([]byte(request("/small")))
					must(t, err)
				}
				answered()
			}
		})
	}
}
