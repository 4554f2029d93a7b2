package accesslog

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestSharedHandsOverByItself: no thread ticks, and the line is written.
func TestSharedHandsOverByItself(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"))
	s := l.Shared()
	a := access(t, "192.0.2.7:5", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", 200)
	for lines := 1; lines <= 3; lines++ { // each time the timer has run out before
		if lines == 2 {
			line, mark := s.Begin(nil, a)
			s.End(line, mark, 1, 0)
		} else {
			s.Log(a, 1, 0)
		}
		testkit.Eventually(t, func() error {
			text, err := os.ReadFile(l.path)
			if err == nil && strings.Count(string(text), "\n") != lines {
				err = fmt.Errorf("line %d is not written: %q", lines, text)
			}
			return err
		})
	}
}

// TestSharedFromManyThreads: every line of every thread is there and whole,
// though more of them are written than buffers hold.
func TestSharedFromManyThreads(t *testing.T) {
	const threads, each = 8, 2000
	l, err := Open(filepath.Join(t.TempDir(), "log"), Options{Location: time.UTC}) // that may drop
	if err != nil {
		t.Fatal(err)
	}
	s := l.Shared()
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			for n := range each {
				a := access(t, "192.0.2.7:5", "GET /"+strings.Repeat("x", i+1)+" HTTP/1.1\r\nHost: a\r\n\r\n", 200)
				if n%2 == 0 {
					line, mark := s.Begin(nil, a)
					s.End(line, mark, int64(n), 0)
				} else {
					s.Log(a, int64(n), 0)
				}
				if n%100 == 99 {
					s.Tick(0)
				}
			}
		})
	}
	wg.Wait()
	s.Tick(0)
	lines := strings.Split(strings.TrimSuffix(contents(t, l), "\n"), "\n")
	if got := len(lines) + int(l.Dropped()); got != threads*each {
		t.Errorf("%d lines written and %d dropped, not %d in all", len(lines), l.Dropped(), threads*each)
	}
	slices.Sort(lines)
	if unique := len(slices.Compact(lines)); unique != len(lines) {
		t.Errorf("%d lines, of which %d differ", len(lines), unique)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, `192.0.2.7 - - [22/Nov/2026:22:00:00 +0000] "GET /x`) ||
			!strings.HasSuffix(line, `"-" "-"`) {
			t.Errorf("not a whole line: %q", line)
		}
	}
}

// TestTickAtTheEndHandsOver: lines that no Tick has seen before are not lost.
func TestTickAtTheEndHandsOver(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"))
	loop := l.Loop()
	loop.Log(access(t, "192.0.2.7:5", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", 200), 1, 0)
	loop.Tick(1<<63 - 1)
	if got := contents(t, l); !strings.Contains(got, "GET /1 ") {
		t.Errorf("got %q", got)
	}
}

// TestRetire: a log that was replaced is done with when the last line that was
// begun has been handed over, and that line is in the file.
func TestRetire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	a := access(t, "192.0.2.7:5", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", 200)
	line, mark := loop.Begin(nil, a)
	loop.Log(a, 1, 1)
	ended := l.Retire()
	loop.Tick(math.MaxInt64)
	select {
	case <-ended:
		t.Fatal("it is done with before the line has ended")
	default:
	}
	loop.End(line, mark, 12345, 1)
	select {
	case <-ended:
		t.Fatal("it is done with before the line was handed over")
	default:
	}
	loop.Tick(math.MaxInt64)
	<-l.Retire()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), " 12345 ") {
		t.Errorf("%v\n%s", err, text)
	}
}
