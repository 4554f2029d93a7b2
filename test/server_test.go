package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

const patience = testkit.Patience

var (
	must       = testkit.Must
	eventually = testkit.Eventually
)

// server is a running evhttpd.
type server struct {
	url    string // http://127.0.0.1:PORT/
	addr   string // 127.0.0.1:PORT
	root   string
	cmd    *exec.Cmd
	stderr transcript
	exited chan struct{} // closed after the process ended and its stderr was read
	result error         // of Wait, after exited
}

// transcript collects what is written.
type transcript = testkit.Transcript

// startupLine is what the server says once it accepts connections, for people or as JSON.
var startupLine = regexp.MustCompile(`(?:evhttpd: |"msg":")serving (.+) at (http://(\S+)/)`)

// parseStartup finds the served root, URL and address in a line of the server's stderr.
func parseStartup(line string) (root, url, addr string, ok bool) {
	m := startupLine.FindStringSubmatch(line)
	if m == nil {
		return "", "", "", false
	}
	return m[1], m[2], m[3], true
}

// start runs the server on a free port of 127.0.0.1 until the test ends, and
// then checks that it stops in order: exit code 0, no data race, no panic.
func start(t *testing.T, v variant, root string, flags ...string) *server {
	t.Helper()
	args := append([]string{"serve", root, "--listen", "127.0.0.1:0", "--io-model", v.Model, "--trigger", v.Trigger,
		"--access-log", "off"}, flags...)
	s := launch(t, testkit.Command(binary, args...))
	s.root = root
	t.Cleanup(func() { s.stop(t) })
	return s
}

// launch starts a command that runs the server and waits for its start-up line.
func launch(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{cmd: cmd, exited: make(chan struct{})}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	go s.read(pipe, ready)
	select {
	case ok := <-ready:
		if !ok {
			<-s.exited
			t.Fatalf("%v ended before it served: %v\n%s", cmd.Args, s.result, s.stderr.String())
		}
	case <-time.After(patience):
		cmd.Process.Kill()
		t.Fatalf("%v does not say that it serves:\n%s", cmd.Args, s.stderr.String())
	}
	return s
}

// read follows the server's stderr to its end; ready gets true at the start-up line.
func (s *server) read(pipe io.Reader, ready chan<- bool) {
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(&s.stderr, lines.Text())
		if _, url, addr, ok := parseStartup(lines.Text()); ok && s.url == "" {
			s.url, s.addr = url, addr
			ready <- true
		}
	}
	if s.url == "" {
		ready <- false
	}
	s.result = s.cmd.Wait()
	close(s.exited)
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%v: %v\n%s", sig, err, s.stderr.String())
	}
}

// wait waits for the server's end and returns its exit code.
func (s *server) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines, for the report
		<-s.exited
		t.Errorf("the server does not stop:\n%s", s.stderr.String())
	}
	return s.cmd.ProcessState.ExitCode()
}

// stop ends the server if it runs still.
func (s *server) stop(t *testing.T) {
	t.Helper()
	select {
	case <-s.exited:
		return
	default:
	}
	s.signal(t, syscall.SIGTERM)
	if code := s.wait(t); code != 0 || strings.Contains(s.stderr.String(), "DATA RACE") {
		t.Errorf("the server ended with exit code %d:\n%s", code, s.stderr.String())
	}
}

// descriptors counts the server's open descriptors; ok is false where the system does not tell.
func (s *server) descriptors(t *testing.T) (count int, ok bool) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0, false
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries), true
}

// waitDescriptors waits until the server holds at most so many descriptors.
func (s *server) waitDescriptors(t *testing.T, most int) {
	t.Helper()
	eventually(t, func() error {
		if count, ok := s.descriptors(t); ok && count > most {
			return fmt.Errorf("%d descriptors are open, %d at most were expected: %s", count, most, s.links())
		}
		return nil
	})
}

// links says what the server's descriptors are.
func (s *server) links() string {
	var found []string
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.cmd.Process.Pid))
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil {
			found = append(found, target)
		}
	}
	return strings.Join(found, " ")
}

// deadline is the time at which patience ends.
func deadline() time.Time { return time.Now().Add(patience) }

// settle waits until the file is old enough to be cached: until then its validator is weak.
func (s *server) settle(t *testing.T, path string) {
	t.Helper()
	eventually(t, func() error {
		got, err := s.tryGet(path)
		if tag := got.header.Get("ETag"); err != nil || strings.HasPrefix(tag, "W/") {
			return fmt.Errorf("%s: ETag %q, %v", path, tag, err)
		}
		return nil
	})
}

// dial connects to the server; the connection is closed when the test ends at the latest.
func (s *server) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.stderr.String())
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(deadline()); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// write makes a file beneath folder, with the folders that lead to it.
func write(t *testing.T, folder, name string, content []byte) {
	t.Helper()
	file := filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// pattern is size bytes that differ at every offset a mix-up could hit, and by seed.
func pattern(size int, seed byte) []byte {
	p := make([]byte, size)
	state := uint32(seed)*2654435761 + 1
	for i := range p {
		state = state*1664525 + 1013904223
		p[i] = byte(state >> 24)
	}
	return p
}

// tool is the path of an outside program; the test is skipped where it is not installed.
func tool(t *testing.T, name string) string {
	t.Helper()
	return testkit.Program(t, name)
}

func TestParseStartup(t *testing.T) {
	for _, c := range []struct {
		line, root, url, addr string
		ok                    bool
	}{
		{"evhttpd: serving /srv/www at http://127.0.0.1:8080/", "/srv/www", "http://127.0.0.1:8080/", "127.0.0.1:8080",
			true},
		{`{"level":"info","time":"2026-11-30T12:20:28.663Z","msg":"serving /srv/www at http://127.0.0.1:8080/"}`,
			"/srv/www", "http://127.0.0.1:8080/", "127.0.0.1:8080", true},
		{"evhttpd: serving /a b at http://[::1]:80/ (and more)", "/a b", "http://[::1]:80/", "[::1]:80", true},
		{"evhttpd: io model epoll, edge", "", "", "", false},
		{"evhttpd: serving /srv/www", "", "", "", false},
	} {
		root, url, addr, ok := parseStartup(c.line)
		if root != c.root || url != c.url || addr != c.addr || ok != c.ok {
			t.Errorf("%q: got %q %q %q %v", c.line, root, url, addr, ok)
		}
	}
}
