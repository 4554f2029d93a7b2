package test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// slowBytes is more than the kernel's buffers of both sides hold, so that a
// server whose client does not read cannot be done with it.
const slowBytes = 32 << 20

// beginDownload asks for the file and reads its head and first bytes alone: the
// rest is on its way until the caller reads it.
func (s *server) beginDownload(t *testing.T, path string) (*net.TCPConn, []byte) {
	t.Helper()
	c := s.dial(t)
	if err := c.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request(path)); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1000)
	if _, err := io.ReadFull(c, first); err != nil {
		t.Fatal(err)
	}
	return c, first
}

var errStillListening = errors.New("a server that drains accepts a connection")

// waitRefusal waits until a signalled server takes no more connections.
func (s *server) waitRefusal(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return nil
		}
		c.Close()
		return errStillListening
	})
}

// TestStopFinishesDownloads: SIGTERM and SIGINT let a download in flight
// finish, refuse new connections and end the process with exit code 0.
func TestStopFinishesDownloads(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		content := pattern(slowBytes, 7)
		write(t, root, "large", content)
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(sig.String(), func(t *testing.T) {
				s := start(t, v, root)
				c, first := s.beginDownload(t, "/large")
				s.signal(t, sig)
				s.waitRefusal(t)
				head, begun, _ := bytes.Cut(first, []byte("\r\n\r\n"))
				body := make([]byte, len(content))
				if n, err := io.ReadFull(c, body[copy(body, begun):]); err != nil || !bytes.Equal(body, content) {
					t.Errorf("%d bytes more, not the file, %v\n%s", n, err, head)
				}
				c.Close() // else the server waits for one more request until the deadline
				if code := s.wait(t); code != 0 {
					t.Errorf("exit code %d\n%s", code, s.stderr.String())
				}
			})
		}
	})
}

// TestStopAnswersWhoWaits: a keep-alive connection gets the answer to its next
// request with Connection: close while the server drains.
func TestStopAnswersWhoWaits(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "a", []byte(hello))
		write(t, root, "large", pattern(slowBytes, 8))
		s := start(t, v, root)
		waiting := s.dial(t)
		w := newWire(waiting)
		ask := func() answer {
			t.Helper()
			if _, err := io.WriteString(waiting, request("/a")); err != nil {
				t.Fatal(err)
			}
			got, err := w.next("GET")
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := ask(); got.status != 200 || got.close {
			t.Fatalf("before: %+v", got)
		}
		download, _ := s.beginDownload(t, "/large")
		s.signal(t, syscall.SIGTERM)
		s.waitRefusal(t)
		if got := ask(); got.status != 200 || string(got.body) != hello || !got.close {
			t.Errorf("while draining: %d %q, close %v", got.status, got.body, got.close)
		}
		if err := w.ended(); err != nil {
			t.Error(err)
		}
		waiting.Close()
		download.Close()
		if code := s.wait(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.stderr.String())
		}
	})
}

// insist signals until the server says that it stops at once: a second signal that comes within a moment is
// the first one's echo.
func (s *server) insist(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		return says(s.stderr.String, "stopped at once by a second signal")()
	})
}

// TestSignalWithEcho: a signal that comes twice within a moment, as timeout(1) sends it, counts once: what is under
// way may finish.
func TestSignalWithEcho(t *testing.T) {
	root := t.TempDir()
	content := pattern(slowBytes, 9)
	write(t, root, "large", content)
	s := start(t, variants()[0], root)
	c, first := s.beginDownload(t, "/large")
	s.signal(t, syscall.SIGTERM)
	s.signal(t, syscall.SIGINT) // another one, so that the kernel does not make one of the two
	_, begun, _ := bytes.Cut(first, []byte("\r\n\r\n"))
	body := make([]byte, len(content))
	if n, err := io.ReadFull(c, body[copy(body, begun):]); err != nil || !bytes.Equal(body, content) {
		t.Errorf("%d bytes more, not the file, %v", n, err)
	}
	c.Close()
	if code := s.wait(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.stderr.String())
	}
}

// TestTimeout: timeout(1) ends a server in order, and nothing is said to be wrong.
func TestTimeout(t *testing.T) {
	s := launch(t, testkit.Command(tool(t, "timeout"), "0.7", binary, t.TempDir(), "--listen", "127.0.0.1:0",
		"--access-log", "off"))
	const byTime = 124 // timeout(1)
	if code := s.wait(t); code != byTime {
		t.Errorf("exit code %d", code)
	}
	said := s.stderr.String()
	if strings.Contains(said, "bad file descriptor") || strings.Contains(said, "stopped at once") ||
		!strings.Contains(said, `"msg":"stopped"`) {
		t.Error(said)
	}
}

// TestReloadAtTheEnd: a SIGHUP that comes while the server ends changes nothing about its end.
func TestReloadAtTheEnd(t *testing.T) {
	root := t.TempDir()
	for range 8 {
		s := start(t, variants()[0], root, "--loops", "1")
		s.signal(t, syscall.SIGTERM)
		eventually(t, func() error {
			s.cmd.Process.Signal(syscall.SIGHUP) // it may have ended
			select {
			case <-s.exited:
				return nil
			default:
				return errors.New("it does not end")
			}
		})
		if code := s.wait(t); code != 0 {
			t.Fatalf("it ended with %v\n%s", s.cmd.ProcessState, s.stderr.String())
		}
	}
}

// TestSecondSignal: at a second signal the server does not wait for the downloads.
func TestSecondSignal(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		root := t.TempDir()
		write(t, root, "large", pattern(slowBytes, 9))
		s := start(t, v, root)
		c, _ := s.beginDownload(t, "/large")
		s.signal(t, syscall.SIGTERM)
		s.waitRefusal(t)
		s.insist(t)
		if code := s.wait(t); code != 1 {
			t.Errorf("exit code %d, want 1: the download was cut\n%s", code, s.stderr.String())
		}
		if said := s.stderr.String(); !strings.Contains(said, "which cut 1 connection within a request") ||
			strings.Contains(said, "bad file descriptor") {
			t.Error(said)
		}
		if n, err := io.Copy(io.Discard, c); err == nil && n >= slowBytes {
			t.Error("the download was finished first")
		}
	})
}

// TestNohup: a server that was started with SIGHUP ignored goes on when it comes.
func TestNohup(t *testing.T) {
	root, log := t.TempDir(), filepath.Join(t.TempDir(), "access.log")
	write(t, root, "a", []byte(hello))
	v := variants()[0]
	s := launch(t, testkit.Command(tool(t, "nohup"), binary, "serve", root, "--listen", "127.0.0.1:0",
		"--io-model", v.Model, "--trigger", v.Trigger, "--access-log", log))
	defer s.stop(t)
	s.signal(t, syscall.SIGHUP)
	s.signal(t, syscall.SIGUSR1) // has a higher number, so it is taken after the first (signal(7))
	eventually(t, says(s.stderr.String, "access log reopened"))
	if said := s.stderr.String(); strings.Contains(said, "stopping") {
		t.Errorf("the server stops:\n%s", said)
	}
	if got := s.get(t, "/a"); got.status != 200 || string(got.body) != hello {
		t.Errorf("%d %q", got.status, got.body)
	}
}
