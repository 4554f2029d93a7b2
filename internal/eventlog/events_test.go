package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/testkit"
)

var must = testkit.Must

func newLog(t *testing.T, cfg config.Log, stderr io.Writer) *Log {
	t.Helper()
	l := New(to{stderr})
	o, err := l.Open(cfg)
	must(t, err)
	l.Change(o)
	return l
}

// to is a sink over a writer.
type to struct{ io.Writer }

func (s to) WriteLines(p []byte, _ <-chan struct{}) (lost int, err error) {
	if _, err = s.Write(p); err != nil {
		lost = bytes.Count(p, []byte{'\n'})
	}
	return lost, err
}

func (to) Terminal() bool { return false }
func (to) Close() error   { return nil }

// transcript collects what is written.
type transcript = testkit.Transcript

// hostile is what a client may have put into a path.
const hostile = "/\x1b[31m\x07\u009b2J\u202e\x7f\n\xff\"\\é"

// What a client sent never reaches the reader of the log raw, in either format.
func TestEventsAreHarmless(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		var out transcript
		l := newLog(t, config.Log{Output: "stderr", Level: "info", Format: format}, &out)
		l.Warn("a link leaves the root", zap.String("path", hostile))
		l.Warn(hostile, zap.Error(errors.New(hostile)))
		l.Close()
		text := out.String()
		if n := strings.Count(text, "\n"); n != 2 {
			t.Errorf("%s: %d lines: %q", format, n, text)
		}
		for _, raw := range []string{"\x1b", "\x07", "\xff"} {
			if strings.Contains(text, raw) {
				t.Errorf("%s: %q is in %q", format, raw, text)
			}
		}
		if format == "console" && strings.ContainsAny(text, "\u009b\u202e\x7f") {
			t.Errorf("a terminal would obey %q", text)
		}
		if !strings.Contains(text, "é") {
			t.Errorf("%s: what is harmless is escaped: %q", format, text)
		}
	}
}

func TestEventsAsJSON(t *testing.T) {
	var out transcript
	l := newLog(t, config.Log{Output: "stderr", Level: "warn", Format: "auto"}, &out) // not a terminal
	l.Info("not told")
	l.Error("told", zap.Int("n", 5), zap.Error(errors.New("why")))
	l.Close()
	var got struct {
		Time, Level, Msg, Error string
		N                       int
	}
	must(t, json.Unmarshal([]byte(out.String()), &got))
	if got.Level != "error" || got.Msg != "told" || got.Error != "why" || got.N != 5 {
		t.Errorf("%+v", got)
	}
	if _, err := time.Parse(time.RFC3339Nano, got.Time); err != nil {
		t.Error(err)
	}
}

// A reload changes level, format and output at once, also for loggers that were made before.
func TestEventLogApplies(t *testing.T) {
	var out transcript
	file := filepath.Join(t.TempDir(), "events.log")
	l := newLog(t, config.Log{Output: "stderr", Level: "info", Format: "json"}, &out)
	old := l.With(zap.String("of", "old"))
	old.Debug("1")
	old.Info("2")
	if _, err := l.Open(config.Log{Output: filepath.Join(t.TempDir(), "none", "x")}); err == nil {
		t.Error("a file in a folder that does not exist was opened")
	}
	old.Info("3")
	testkit.Until(t, "it does not come", func() bool { return strings.Count(out.String(), "\n") == 2 })
	to, err := l.Open(config.Log{Output: file, Level: "debug", Format: "console"})
	must(t, err)
	l.Change(to)
	old.Debug("4")
	l.Close()
	text, err := os.ReadFile(file)
	must(t, err)
	if got := string(text); !strings.Contains(got, "DEBUG") || !strings.Contains(got, ` 4 {"of": "old"}`) {
		t.Errorf("the file has %q", got)
	}
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"msg":"3","of":"old"`) {
		t.Errorf("standard error has %q", got)
	}
}

// Each event is whole in the old file or in the new one, whatever writes meanwhile.
func TestEventLogReopensUnderLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "events.log")
	l := newLog(t, config.Log{Output: file, Level: "info", Format: "json"}, io.Discard)
	stop := make(chan struct{})
	var group sync.WaitGroup
	var told int
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if waiting(l) < linesMax/2 { // nothing is dropped
					l.Info("event")
					told++
				}
			}
		}
	})
	for i := range 20 {
		testkit.Until(t, "it does not come", func() bool {
			info, err := os.Stat(file)
			return err == nil &&
				info.Size() > 0
		})
		must(t, os.Rename(file, filepath.Join(dir, "old"+string(rune('a'+i)))))
		must(t, l.Reopen())
	}
	close(stop)
	group.Wait()
	l.Close()
	names, err := os.ReadDir(dir)
	must(t, err)
	lines := 0
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name.Name()))
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not whole: %q", line)
			}
			lines++
		}
	}
	if len(names) != 21 || lines != told || l.Dropped() != 0 {
		t.Errorf("%d files with %d of %d events, %d lost", len(names), lines, told, l.Dropped())
	}
}

// waiting is how many lines the log's output has not taken.
func waiting(l *Log) int {
	q := l.now.Load().to
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines)
}

// stalled is a reader that has stopped reading, until it is released.
type stalled struct {
	release chan struct{}
	out     transcript
}

func (s *stalled) Write(p []byte) (int, error) {
	<-s.release
	return s.out.Write(p)
}

// Events that the reader does not take are counted, and nothing waits for it.
func TestEventsAreDroppedAndCounted(t *testing.T) {
	w := &stalled{release: make(chan struct{})}
	l := newLog(t, config.Log{Output: "stderr", Level: "info", Format: "json"}, w)
	const sent = 3 * linesMax
	for range sent {
		l.Info("event")
	}
	lost := l.Dropped()
	if lost < sent-linesMax-1 {
		t.Errorf("%d events are lost", lost)
	}
	close(w.release)
	l.Close()
	if got := strings.Count(w.out.String(), `"msg":"event"`); got+int(lost) != sent {
		t.Errorf("%d events were written and %d lost of %d", got, lost, sent)
	}
	if !strings.Contains(w.out.String(), "events were left out") {
		t.Error("nobody is told of those that are lost")
	}
}

// The status has each kind of warning once, and no more kinds than it has room for.
func TestWarningsAreKept(t *testing.T) {
	l := newLog(t, config.Log{Output: "stderr", Level: "error", Format: "json"}, io.Discard) // also below the level
	defer l.Close()
	l.Info("no warning")
	for range 3 {
		l.Warn("often", zap.String("path", "/a"), zap.Error(errors.New("why")))
	}
	got := l.Warnings()
	if len(got) != 1 || got[0].Text != "often" || got[0].Count != 3 || got[0].Detail != "why" ||
		got[0].Level != "warn" {
		t.Errorf("%+v", got)
	}
	for i := range 2 * warningsMax {
		l.Warn("kind " + strings.Repeat("x", i))
	}
	if got := l.Warnings(); len(got) != warningsMax {
		t.Errorf("%d kinds are kept", len(got))
	}
}

// Events that come often leave room for errors.
func TestErrorsHaveRoom(t *testing.T) {
	w := &stalled{release: make(chan struct{})}
	l := newLog(t, config.Log{Output: "stderr", Level: "info", Format: "json"}, w)
	for range 2 * linesMax {
		l.Warn("often")
	}
	l.Error("the disk fails")
	close(w.release)
	l.Close()
	if !strings.Contains(w.out.String(), "the disk fails") {
		t.Error("an error was left out for warnings")
	}
}

// Long lines are bounded by their bytes.
func TestEventsAreBoundedInBytes(t *testing.T) {
	w := &stalled{release: make(chan struct{})}
	l := newLog(t, config.Log{Output: "stderr", Level: "info", Format: "json"}, w)
	long := strings.Repeat("x", bytesMax/16)
	for range 64 {
		l.Error(long)
	}
	if n := waiting(l); n > 16 || l.Dropped() < 64-17 {
		t.Errorf("%d lines wait, %d are dropped", n, l.Dropped())
	}
	close(w.release)
	l.Close()
}

// A log that fails is told of on standard error, with the reason; a full disk is called that.
func TestAFullDiskIsTold(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	var out transcript
	l := newLog(t, config.Log{Output: "/dev/full", Level: "info", Format: "json"}, &out)
	for range 3 {
		l.Info("event")
	}
	l.Close()
	const want = "events are lost: the log /dev/full: no space left on device"
	if got := out.String(); strings.Count(got, want) != 1 || l.Dropped() != 3 {
		t.Errorf("standard error has %q, %d are counted", got, l.Dropped())
	}
	if got := string(l.leftOut(3, syscall.ENOSPC)); !strings.Contains(got, "could not be written") ||
		!strings.Contains(got, "no space left") {
		t.Errorf("left out: %s", got)
	}
}
