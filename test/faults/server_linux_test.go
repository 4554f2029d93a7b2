package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
	"github.com/evhttpd/evhttpd/test/faults"
)

type variant = testkit.Variant

var variants = testkit.Variants()

// binary is the built server, made once for all tests.
var binary string

// variantsAtOnce is how many servers are tested at a time unless -parallel says so: most of a cell is waiting.
const variantsAtOnce = 4

func TestMain(m *testing.M) {
	testkit.AtOnce(variantsAtOnce)
	testkit.Main(os.Stderr, "faults", func(folder string) (code int, err error) {
		binary = filepath.Join(folder, "evhttpd")
		if !testkit.Race { // under it each test that starts a server skips
			// As it is released: libc makes calls of its own.
			if err := testkit.Build(binary, []string{"CGO_ENABLED=0"}); err != nil {
				return 1, err
			}
		}
		if code = m.Run(); code == 0 && tally.complete() {
			err = tally.writeTables()
		}
		return code, err
	})
}

// server is a running evhttpd whose calls are asked for.
type server struct {
	v      variant
	folder string
	root   *tree
	cmd    *exec.Cmd
	super  *faults.Supervisor
	stderr testkit.Transcript
	exited chan struct{} // closed when the process has ended and its standard error was read
	addr   string
	admin  *http.Client // over the Unix socket
	base   census       // of the idle server
	calls  callSet      // that it has made since it serves

	refused atomic.Int64 // answers of /readyz that were not 200
}

// callSet is the numbers of calls that were made.
type callSet struct {
	mu   sync.Mutex
	made map[int]bool
}

func (c *callSet) add(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made = make(map[int]bool)
	}
	c.made[number] = true
}

// configuration of the server: a small cache, so that files come and go, and every answer looks at its file.
const configuration = `
listen: ["127.0.0.1:0"]
io_model: %s
trigger: %s
loops: %d
threads: 64
workers: 4
limits: {connections: 200}
timeouts: {first_byte: 20s, head: 20s, send: 20s, keep_alive: 60s, deferred: 20s, drain: 1s}
cache: {memory: 256KiB, file: 16KiB, descriptors: 4, valid: 0s}
log: {output: stderr, format: json, level: info}
access_log: {output: access.log}
admin: {listen: ["unix:%s"]}
sites:
  - root: root
    listing: true
`

func (s *server) socket() string { return filepath.Join(s.folder, "admin.sock") }

func (s *server) configure(t *testing.T, loops int) {
	t.Helper()
	text := fmt.Sprintf(configuration, s.v.Model, s.v.Trigger, loops, s.socket())
	testkit.Must(t, os.WriteFile(filepath.Join(s.folder, "evhttpd.yaml"), []byte(text), 0o644))
}

var startupLine = regexp.MustCompile(`serving .+ at http://([^/ ]+)/`)

// prepare makes a server's folder and command.
func prepare(t *testing.T, v variant) *server {
	t.Helper()
	folder, err := os.MkdirTemp("", "f")
	testkit.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	s := &server{v: v, folder: folder, exited: make(chan struct{})}
	s.root = newTree(t, filepath.Join(folder, "root"))
	s.configure(t, 2)
	s.cmd = testkit.Command(binary, "serve", "--config", filepath.Join(folder, "evhttpd.yaml"))
	s.admin = &http.Client{Timeout: patience, Transport: &http.Transport{
		MaxIdleConnsPerHost: 1,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket())
		},
	}}
	return s
}

// launch starts the server with a fault in force, which may be nil. served is false if it has ended instead.
func (s *server) launch(t *testing.T, fault *faults.Fault) (served bool) {
	t.Helper()
	r, w, err := os.Pipe()
	testkit.Must(t, err)
	s.cmd.Stderr = w
	s.super, err = faults.Start(s.cmd, faults.Unasked(), fault)
	w.Close()
	testkit.Must(t, err)
	s.super.Observe(func(c *faults.Call) { s.calls.add(c.Number) })
	ready := make(chan bool, 1)
	go s.read(r, ready)
	select {
	case served = <-ready:
	case <-time.After(testkit.Patience):
		s.cmd.Process.Kill()
		t.Errorf("%v: it neither serves nor ends:\n%s", s.v, s.stderr.String())
	}
	return served
}

// read follows the server's standard error to its end; ready gets true at the start-up line.
func (s *server) read(r *os.File, ready chan<- bool) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(&s.stderr, lines.Text())
		if m := startupLine.FindStringSubmatch(lines.Text()); m != nil && s.addr == "" {
			s.addr = m[1]
			ready <- true
		}
	}
	_ = s.cmd.Wait() // the exit code is in ProcessState
	close(s.exited)
	select {
	case ready <- false:
	default:
	}
}

// start runs a server until the test ends, warms it up and counts what it holds when nobody asks.
func start(t *testing.T, v variant) *server {
	t.Helper()
	s := prepare(t, v)
	if !s.launch(t, nil) {
		t.Fatalf("%v: the server does not start:\n%s", v, s.stderr.String())
	}
	t.Cleanup(func() { s.stop(t) })
	l := s.load()
	testkit.Until(t, "the load does not begin", func() bool { return l.answers.Load() > 60 })
	l.stop()
	testkit.Eventually(t, s.probe)
	s.base = s.settled(t)
	return s
}

// alive reports whether the server runs.
func (s *server) alive() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// stop ends the server if it runs, in order.
func (s *server) stop(t *testing.T) {
	t.Helper()
	s.super.Set(nil)
	s.admin.CloseIdleConnections()
	if !s.alive() {
		return
	}
	testkit.Must(t, s.cmd.Process.Signal(unix.SIGTERM))
	select {
	case <-s.exited:
	case <-time.After(testkit.Patience):
		s.cmd.Process.Signal(unix.SIGQUIT)
		<-s.exited
		t.Errorf("%v: the server does not stop:\n%s", s.v, s.stderr.String())
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%v: the server ended with exit code %d:\n%s", s.v, code, tail(s.stderr.String()))
	}
}

// tail is the end of a long text.
func tail(text string) string {
	const most = 6000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}

// ask asks the control plane.
func (s *server) ask(path string) (status int, body string, err error) {
	got, err := s.admin.Get("http://admin" + path)
	if err != nil {
		return 0, "", err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	return got.StatusCode, string(text), err
}

// metric is a number of the control plane's.
func (s *server) metric(name string) (int, error) {
	status, text, err := s.ask("/metrics")
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("/metrics: status %d, %w: %.300s", status, errors.Join(err, os.ErrInvalid), text)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return int(n), err
		}
	}
	return 0, fmt.Errorf("no %s in the metrics: %.300s", name, text)
}

// census is what a server holds.
type census struct {
	descriptors int // without those of the served files, which the cache keeps
	files       int // of the served tree
	goroutines  int
}

// more says what there is more of than before; nil: nothing.
func (c census) more(than census) error {
	if c.descriptors > than.descriptors || c.goroutines > than.goroutines || c.files > than.files {
		return fmt.Errorf("%d descriptors, %d files, %d goroutines; %d, %d, %d before",
			c.descriptors, c.files, c.goroutines, than.descriptors, than.files, than.goroutines)
	}
	return nil
}

// count takes a census.
func (s *server) count() (c census, err error) {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.cmd.Process.Pid))
	if err != nil {
		return c, err
	}
	for _, name := range names {
		switch target, err := os.Readlink(name); {
		case err != nil:
		case strings.HasPrefix(target, s.root.dir):
			c.files++
		default:
			c.descriptors++
		}
	}
	c.goroutines, err = s.metric("go_goroutines")
	return c, err
}

// settled is the most that an idle server was seen to hold: its pool's goroutines come and go.
func (s *server) settled(t *testing.T) (most census) {
	t.Helper()
	for range 10 {
		c, err := s.count()
		testkit.Must(t, err)
		most.descriptors = max(most.descriptors, c.descriptors)
		most.goroutines = max(most.goroutines, c.goroutines)
	}
	most.files = filesMax
	most.goroutines += poolMax
	return most
}

// poolMax is how many goroutines more there may be for a while: those of the pool of workers.
const poolMax = 4

// filesMax is how many of the served files may be open when nobody asks: cache.descriptors, and the root's.
const filesMax = 4 + 2

// event is a line of the log.
type event struct {
	Level, Msg, Error, Path string
	line                    string
}

// events are the lines of the log behind a position.
func (s *server) events(from int) (all []event) {
	for line := range strings.Lines(s.stderr.String()[from:]) {
		e := event{line: strings.TrimSpace(line)}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			e.Level = "plain"
		}
		all = append(all, e)
	}
	return all
}

// watchReadiness asks /readyz until the returned function is called.
func (s *server) watchReadiness() (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(readinessEvery):
			}
			if status, _, err := s.ask("/readyz"); err != nil || status != http.StatusOK {
				s.refused.Add(1)
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

// readinessEvery is how often it is asked.
const readinessEvery = 10 * time.Millisecond
