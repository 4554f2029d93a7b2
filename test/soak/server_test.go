package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// valid is the server's cache.valid.
const valid = time.Second

// server is a running evhttpd, which is told what to do by signals.
type server struct {
	folder string
	cmd    *exec.Cmd
	pid    int
	addr   string
	stderr testkit.Transcript
	ended  chan error
	client http.Client // of the control plane
}

// config is a configuration for a way to drive connections.
func (s *server) config(v testkit.Variant, loops int) string {
	return fmt.Sprintf(`listen: ["127.0.0.1:0"]
access_log: {output: "off"}
admin: {listen: ["unix:%s/admin"]}
io_model: %s
trigger: %s
loops: %d
timeouts: {drain: 60s}
cache: {memory: 4MiB, file: 64KiB, descriptors: 24, valid: %v}
sites:
  - root: %[1]s/root
    compress: [gzip]
`, s.folder, v.Model, v.Trigger, loops, valid)
}

// startServer runs the program with a configuration.
func startServer(program, folder string, v testkit.Variant) (*server, error) {
	s := &server{folder: folder, ended: make(chan error, 1)}
	s.client.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(folder, "admin"))
		},
	}
	link := filepath.Join(folder, "evhttpd")
	if err := os.Symlink(program, link); err != nil {
		return nil, err
	}
	if err := s.configure(v, 1); err != nil {
		return nil, err
	}
	s.cmd = testkit.Command(link, "serve", "--config", filepath.Join(folder, "evhttpd.yaml"))
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = s.cmd.Process.Pid
	go func() {
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintln(&s.stderr, lines.Text())
		}
		s.ended <- s.cmd.Wait()
	}()
	line, err := s.awaited(0, "serving ")
	if err != nil {
		return nil, err
	}
	m := regexp.MustCompile(`http://(127[^/]+)/`).FindStringSubmatch(line)
	if m == nil {
		return nil, fmt.Errorf("no address in %q", line)
	}
	s.addr = m[1]
	return s, nil
}

func (s *server) configure(v testkit.Variant, loops int) error {
	name := filepath.Join(s.folder, "evhttpd.yaml")
	if err := os.WriteFile(name+".new", []byte(s.config(v, loops)), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// awaited waits for a line of standard error, behind that offset, with one of those words.
func (s *server) awaited(from int, words ...string) (string, error) {
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(s.stderr.String()[from:]) {
			for _, w := range words {
				if strings.HasSuffix(line, "\n") && strings.Contains(line, w) {
					return line, nil
				}
			}
		}
	}
	_ = syscall.Kill(s.pid, syscall.SIGQUIT) // tail begins with what its goroutines do instead
	waited := time.Now().Add(time.Second)
	for time.Now().Before(waited) && !strings.Contains(s.stderr.String(), "SIGQUIT:") {
		time.Sleep(5 * time.Millisecond)
	}
	return "", fmt.Errorf("the server does not say %q\n%s", words, s.tail())
}

// tail is the end of what the server has said, or the beginning of how it crashed.
func (s *server) tail() string {
	const most = 8 << 10
	text := s.stderr.String()
	for _, mark := range []string{"WARNING: DATA RACE", "fatal error:", "panic:", "SIGQUIT:"} {
		if at := strings.Index(text, mark); at >= 0 {
			return text[at:min(len(text), at+most)]
		}
	}
	return text[max(0, len(text)-most):]
}

// reload changes the way in which connections are driven.
func (s *server) reload(v testkit.Variant, loops int) error {
	if err := s.configure(v, loops); err != nil {
		return err
	}
	from := len(s.stderr.String())
	if err := syscall.Kill(s.pid, syscall.SIGHUP); err != nil {
		return err
	}
	line, err := s.awaited(from, `"reloaded`, "not reloaded")
	if err == nil && strings.Contains(line, "not reloaded") {
		err = errors.New(line)
	}
	return err
}

var successor = regexp.MustCompile(`upgraded.*process": ?(\d+)`)

// upgrade has a new process take the place of the one that serves.
func (s *server) upgrade() error {
	from := len(s.stderr.String())
	if err := syscall.Kill(s.pid, syscall.SIGUSR2); err != nil {
		return err
	}
	line, err := s.awaited(from, `"upgraded`, "not upgraded")
	if err != nil {
		return err
	}
	m := successor.FindStringSubmatch(line)
	if m == nil {
		return errors.New(line)
	}
	s.pid, err = strconv.Atoi(m[1])
	return err
}

// stop ends the server, and says what is wrong with how it did.
func (s *server) stop() error {
	if err := syscall.Kill(s.pid, syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.ended: // of the first process; standard error ends with the last
		if err == nil && strings.Contains(s.stderr.String(), "DATA RACE") {
			err = errors.New("a data race")
		}
		return err
	case <-time.After(2 * patience):
		return errors.New("the server does not end")
	}
}

// level is what a process holds when it is left alone.
type level struct{ descriptors, goroutines, memory, cached, cut int64 }

// levels asks the server what it holds.
func (s *server) levels() (l level, err error) {
	response, err := s.client.Get("http://localhost/metrics")
	if err != nil {
		return l, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return l, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, _ := strconv.ParseFloat(value, 64) // comments have none
		switch name {
		case "process_open_fds":
			l.descriptors = int64(number)
		case "go_goroutines":
			l.goroutines = int64(number)
		case "process_resident_memory_bytes":
			l.memory = int64(number)
		case "evhttpd_cache_descriptors":
			l.cached = int64(number)
		case "evhttpd_files_changed_total":
			l.cut = int64(number)
		}
	}
	l.descriptors -= l.cached
	return l, nil
}
