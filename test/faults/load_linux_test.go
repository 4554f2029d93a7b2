package faults_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

const (
	// patience is how long a client waits for an answer: longer than any fault, and shorter than the server's
	// timeouts, so that an answer that takes as long was forgotten.
	patience = 10 * time.Second
	// recordSize is the bytes of a body that say file, version and offset.
	recordSize = 32
	// pauseBetween is between two requests of a client, so that a loaded machine has time for others.
	pauseBetween = 2 * time.Millisecond
	// receiveBuffer is small, so that the server has to wait for a client that takes a large file.
	receiveBuffer = 16 << 10
	// replaceEvery is how often a file is replaced by its next version.
	replaceEvery = 7 * time.Millisecond
)

// tree is the served files. Each has versions, which replace one another by rename(2).
type tree struct {
	dir   string
	names []string
	files map[string]*file
}

type file struct {
	size    int
	version atomic.Int64 // the newest
}

// newTree makes files that are cached, files that are sent by sendfile(2), and one that no socket's buffer holds.
func newTree(t *testing.T, dir string) *tree {
	t.Helper()
	testkit.Must(t, os.MkdirAll(dir, 0o755))
	r := &tree{dir: dir, files: make(map[string]*file)}
	for name, size := range map[string]int{"small0": 3200, "small1": 3232, "small2": 12800, "large0": 96000,
		"large1": 160000, "large2": 200000, "large3": 64000, "large4": 64032, "huge": 1 << 20, "cold": 64000} {
		r.files[name] = &file{size: size}
		r.names = append(r.names, name)
		testkit.Must(t, r.replace(name))
	}
	slices.Sort(r.names)
	testkit.Must(t, r.settle("cold"))
	return r
}

// replace puts the next version of a file in its place.
func (r *tree) replace(name string) error {
	f := r.files[name]
	version := f.version.Load() + 1
	temporary := filepath.Join(filepath.Dir(r.dir), "next-"+name)
	if err := os.WriteFile(temporary, content(name, version, f.size), 0o644); err != nil {
		return err
	}
	f.version.Store(version) // before it can be seen
	return os.Rename(temporary, filepath.Join(r.dir, name))
}

// forget has the kernel give up what it has of a file in memory, as far as that is on the disk already.
func (r *tree) forget(name string) error {
	f, err := os.Open(filepath.Join(r.dir, name))
	if err != nil {
		return err
	}
	return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// settle has a file written to the disk.
func (r *tree) settle(name string) error {
	f, err := os.Open(filepath.Join(r.dir, name))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// appendRecord appends what recordSize bytes of a body say: name, version and offset, of a fixed width each.
func appendRecord(p []byte, name string, version int64, offset int) []byte {
	p = append(p, name...)
	for range 8 - len(name) {
		p = append(p, ' ')
	}
	p = append(appendDigits(p, version, 7), ' ')
	return append(appendDigits(p, int64(offset), 15), '\n')
}

func appendDigits(p []byte, n int64, width int) []byte {
	end := len(p) + width
	p = append(p, "000000000000000"[:width]...)
	for at := end - 1; n > 0; at-- {
		p[at] = '0' + byte(n%10)
		n /= 10
	}
	return p
}

func content(name string, version int64, size int) []byte {
	p := make([]byte, 0, size)
	for at := 0; at < size; at += recordSize {
		p = appendRecord(p, name, version, at)
	}
	return p
}

// check says what is wrong with a whole body.
func (r *tree) check(name string, body []byte) error {
	f := r.files[name]
	if len(body) != f.size {
		return fmt.Errorf("%s: %d bytes of %d, with an end in order", name, len(body), f.size)
	}
	version, err := strconv.ParseInt(string(bytes.TrimSpace(body[8:15])), 10, 64)
	if err != nil || version < 1 || version > f.version.Load() {
		return fmt.Errorf("%s: its version is %q, the newest %d", name, body[8:15], f.version.Load())
	}
	return r.checkPart(name, body, version)
}

// checkPart says what is wrong with the beginning of a body.
func (r *tree) checkPart(name string, body []byte, version int64) error {
	var want [recordSize]byte
	for at := 0; at+recordSize <= len(body); at += recordSize {
		appendRecord(want[:0], name, version, at)
		if got := body[at : at+recordSize]; !bytes.Equal(got, want[:]) {
			return fmt.Errorf("%s: at %d is %q, not %q", name, at, got, want)
		}
	}
	return nil
}

// load is clients that check each answer.
type load struct {
	s       *server
	done    chan struct{}
	running sync.WaitGroup
	answers atomic.Int64 // that were right
	cut     atomic.Int64 // connections that ended before their answers
	failed  atomic.Int64 // answers 403 and 5xx

	mu    sync.Mutex
	wrong []error
}

// targets are what the clients ask for, in turn.
var targets = [][]string{
	{"/small0", "/large0", "/none", "/small1", "/large3", "/"},
	{"/large1", "/small2", "/large4", "/small0", bad, "/large2"},
	{"/huge", "/small1", "/", "/none", "/cold"},
}

// bad is asked for with a head that is refused: the connection is closed in order, in two steps.
const bad = "/bad"

// load begins: three clients that keep their connections and two that do not, while files are replaced.
func (s *server) load() *load {
	l := &load{s: s, done: make(chan struct{})}
	for _, t := range targets {
		l.running.Go(func() { l.client(t, true) })
	}
	for _, t := range targets[:2] {
		l.running.Go(func() { l.client(t, false) })
	}
	l.running.Go(l.replacing)
	return l
}

func (l *load) replacing() {
	for i := 0; ; i++ {
		select {
		case <-l.done:
			return
		case <-time.After(replaceEvery):
		}
		if err := l.s.root.replace([]string{"small1", "large1", "small0", "large4"}[i%4]); err != nil {
			l.blame(err)
		}
		if err := l.s.root.forget("cold"); err != nil {
			l.blame(err)
		}
	}
}

// stop ends the load and returns what was wrong.
func (l *load) stop() []error {
	close(l.done)
	l.running.Wait()
	return l.wrong
}

func (l *load) blame(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 10 {
		l.wrong = append(l.wrong, err)
	}
}

// client asks until the load ends.
func (l *load) client(targets []string, keep bool) {
	var c net.Conn
	var in *bufio.Reader
	for i := 0; ; i++ {
		select {
		case <-l.done:
			if c != nil {
				c.Close()
			}
			return
		case <-time.After(pauseBetween):
		}
		if c == nil {
			var err error
			if c, err = net.DialTimeout("tcp", l.s.addr, patience); err != nil {
				l.blame(fmt.Errorf("connecting: %w", err)) // the kernel does that
				c = nil
				continue
			}
			in = bufio.NewReader(c)
			if targets[0] == "/huge" {
				c.(*net.TCPConn).SetReadBuffer(receiveBuffer)
			}
		}
		c.SetDeadline(time.Now().Add(patience))
		again, err := l.exchange(c, in, targets[i%len(targets)], keep)
		var wrong wrongAnswer
		switch {
		case errors.As(err, &wrong) || errors.Is(err, os.ErrDeadlineExceeded):
			l.blame(err)
		case err != nil:
			l.cut.Add(1)
		}
		if err != nil || !again {
			c.Close()
			c = nil
		}
	}
}

// wrongAnswer is an answer that no fault excuses.
type wrongAnswer struct{ error }

// exchange makes a request. again: the connection may be used for another one.
func (l *load) exchange(c net.Conn, in *bufio.Reader, target string, keep bool) (again bool, err error) {
	if err := send(c, "GET", target, keep); err != nil {
		return false, fmt.Errorf("%s: %w", target, err)
	}
	got, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, fmt.Errorf("%s: %w", target, err)
	}
	body, err := io.ReadAll(got.Body)
	switch {
	case got.StatusCode == 200 && err != nil:
		if name := target[1:]; len(body) >= recordSize && l.s.root.files[name] != nil { // a part has to be right too
			version, _ := strconv.ParseInt(string(bytes.TrimSpace(body[8:15])), 10, 64)
			if wrong := l.s.root.checkPart(name, body, version); wrong != nil {
				return false, wrongAnswer{wrong}
			}
		}
		return false, fmt.Errorf("%s: %w", target, err)
	case err != nil:
		return false, fmt.Errorf("%s: %w", target, err)
	case got.StatusCode == 403 || got.StatusCode >= 500:
		l.failed.Add(1)
	default:
		if err := l.s.root.judge(target, got.StatusCode, body); err != nil {
			return false, wrongAnswer{err}
		}
		l.answers.Add(1)
	}
	return keep && !got.Close, nil
}

// send writes a request.
func send(c net.Conn, method, target string, keep bool) error {
	fields := "Host: test\r\nAccept: application/json\r\n"
	if target == bad {
		fields += "Host: other\r\n" // RFC 9112 section 3.2
	}
	if !keep {
		fields += "Connection: close\r\n"
	}
	_, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\n%s\r\n", method, target, fields)
	return err
}

// judge says what is wrong with an answer that no error excuses.
func (r *tree) judge(target string, status int, body []byte) error {
	switch name := target[1:]; {
	case target == bad:
		if status != 400 {
			return fmt.Errorf("%s: status %d", target, status)
		}
		return nil
	case target == "/none":
		if status != 404 {
			return fmt.Errorf("%s: status %d", target, status)
		}
		return nil
	case status != 200:
		return fmt.Errorf("%s: status %d", target, status)
	case target == "/":
		return r.checkListing(body)
	default:
		return r.check(name, body)
	}
}

// checkListing says what is wrong with a whole listing.
func (r *tree) checkListing(body []byte) error {
	var rows []struct{ Name string }
	if err := json.Unmarshal(body, &rows); err != nil {
		return fmt.Errorf("the listing: %w: %.200s", err, body)
	}
	var names []string
	for _, row := range rows {
		names = append(names, row.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, r.names) {
		return fmt.Errorf("the listing has %s", strings.Join(names, " "))
	}
	return nil
}

// probe asks for everything once, each on a connection of its own, and is nil if all is as ever.
func (s *server) probe() error {
	for _, p := range []struct{ method, target string }{{"GET", "/small0"}, {"GET", "/large0"}, {"GET", "/large1"},
		{"HEAD", "/large2"}, {"GET", "/none"}, {"GET", "/"}, {"GET", "/huge"}} {
		if err := s.probeOne(p.method, p.target); err != nil {
			return fmt.Errorf("%s %s: %w", p.method, p.target, err)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body, err := s.ask(path); err != nil || status != 200 {
			return fmt.Errorf("%s: %d %q, %w", path, status, body, errors.Join(err, os.ErrInvalid))
		}
	}
	return nil
}

func (s *server) probeOne(method, target string) error {
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if err := send(c, method, target, false); err != nil {
		return err
	}
	got, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return err
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return err
	}
	if f := s.root.files[target[1:]]; method == "HEAD" {
		if got.StatusCode != 200 || got.ContentLength != int64(f.size) {
			return fmt.Errorf("status %d, length %d", got.StatusCode, got.ContentLength)
		}
		return nil
	}
	return s.root.judge(target, got.StatusCode, body)
}
