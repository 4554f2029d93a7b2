// Package eventlog is what the server itself has to say: warnings, errors, that it has stopped. Nothing that
// says something waits for who reads it.
//
// It imports config and grace and, of others, zap and x/sys.
package eventlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/grace"
)

const (
	// eventsMax bounds the events that wait to be written. What would be more is
	// dropped and counted: loops report events too, and must not wait for a reader.
	eventsMax = 1024
	// warnEvery is how often the same warning is repeated.
	warnEvery = time.Minute
	// eventFileMode is that of a log's new file, less the umask.
	eventFileMode = 0o640
)

// Log is the log of events (config.Log). Where it goes, its level and its
// format can change while it is written to.
type Log struct {
	*zap.Logger
	stderr   io.Writer
	sink     *sink
	output   atomic.Pointer[string] // of the configuration in force
	core     atomic.Pointer[zapcore.Core]
	encoder  atomic.Pointer[zapcore.Encoder]
	warnings warnings
}

// New opens the log. stderr is where output stderr goes.
func New(cfg config.Log, stderr io.Writer) (*Log, error) {
	l := &Log{stderr: stderr}
	t, err := l.Open(cfg.Output)
	if err != nil {
		return nil, err
	}
	l.sink = newSink(t, l.leftOut)
	if err := l.use(cfg, t); err != nil {
		l.sink.close()
		return nil, err
	}
	l.Logger = zap.New(zapcore.NewTee(&switchCore{current: &l.core}, &l.warnings))
	return l, nil
}

// Change has the log go on as cfg says, to t, which was opened for it.
func (l *Log) Change(cfg config.Log, t *Target) {
	if err := l.use(cfg, t); err != nil { // not of a configuration that was checked
		l.Error("the log goes on as it was", zap.Error(err))
		t.Close()
		return
	}
	l.sink.replace(t)
}

// use has events written as cfg says, to t.
func (l *Log) use(cfg config.Log, t *Target) error {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return fmt.Errorf("log.level: %w: want debug, info, warn or error", err)
	}
	output := cfg.Output
	var core zapcore.Core
	var encoder zapcore.Encoder
	if cfg.Format == "console" || cfg.Format != "json" && t.terminal {
		encoder = consoleEncoder()
		core = zapcore.NewCore(encoder, zapcore.AddSync(cleaned{l.sink}), level)
	} else {
		encoder = jsonEncoder()
		core = zapcore.NewCore(encoder, zapcore.AddSync(l.sink), level)
	}
	l.output.Store(&output)
	l.encoder.Store(&encoder)
	l.core.Store(&core)
	return nil
}

// Reopen opens the log's file anew, after it was moved away. On an error the old one goes on.
func (l *Log) Reopen() error {
	t, err := l.Open(*l.output.Load())
	if err != nil {
		return err
	}
	l.sink.replace(t)
	return nil
}

// Open opens what log.output names.
func (l *Log) Open(output string) (*Target, error) {
	switch output {
	case "", "stderr":
		return newTarget(l.stderr), nil
	case "stdout", "-":
		return newTarget(os.Stdout), nil
	}
	// Not blocking for a FIFO that nobody reads: os.File then waits without a thread.
	f, err := os.OpenFile(output, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOCTTY|unix.O_NONBLOCK, eventFileMode)
	if err != nil {
		return nil, fmt.Errorf("log.output: %w: want stderr, stdout or a file that this user (%d) may write, in a directory that exists", err, os.Geteuid())
	}
	t := newTarget(f)
	t.file = f
	return t, nil
}

// Close writes what waits, for a bounded time. What comes later is not written.
func (l *Log) Close() { l.sink.close() }

// Dropped is the number of events that were lost so far.
func (l *Log) Dropped() uint64 { return l.sink.lost.Load() }

// Warnings returns the last of each kind of warning, the first seen first.
func (l *Log) Warnings() []Warning { return l.warnings.list() }

// leftOut is the line that stands for n events that were dropped.
func (l *Log) leftOut(n uint64) []byte {
	b, err := (*l.encoder.Load()).EncodeEntry(zapcore.Entry{
		Level: zapcore.WarnLevel, Time: time.Now(), Message: "events were left out: they came faster than they could be written",
	}, []zapcore.Field{zap.Uint64("events", n)})
	if err != nil {
		return fmt.Appendf(nil, "evhttpd: %d events left out\n", n)
	}
	defer b.Free()
	return bytes.Clone(b.Bytes())
}

func encoderConfig() zapcore.EncoderConfig {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey = "time"
	cfg.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00")
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	return cfg
}

func jsonEncoder() zapcore.Encoder { return zapcore.NewJSONEncoder(encoderConfig()) }

// consoleEncoder is for people to read.
func consoleEncoder() zapcore.Encoder {
	cfg := encoderConfig()
	cfg.EncodeLevel = zapcore.CapitalLevelEncoder
	cfg.ConsoleSeparator = " "
	return zapcore.NewConsoleEncoder(cfg)
}

// switchCore is a core that can be replaced under the loggers made of it.
type switchCore struct {
	current *atomic.Pointer[zapcore.Core]
	fields  []zapcore.Field
}

// Enabled implements zapcore.Core.
func (c *switchCore) Enabled(level zapcore.Level) bool { return (*c.current.Load()).Enabled(level) }

// With implements zapcore.Core.
func (c *switchCore) With(fields []zapcore.Field) zapcore.Core {
	return &switchCore{current: c.current, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c *switchCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c *switchCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return (*c.current.Load()).Write(e, append(c.fields[:len(c.fields):len(c.fields)], fields...))
}

// Sync implements zapcore.Core.
func (c *switchCore) Sync() error { return nil }

// Target is where events go.
type Target struct {
	w        io.Writer
	file     *os.File // that is ours to close; nil: none is
	terminal bool     // a person reads along
}

func newTarget(w io.Writer) *Target {
	t := &Target{w: w}
	f, ok := w.(*os.File)
	if !ok {
		return t
	}
	raw, err := f.SyscallConn() // Fd would change the descriptor's mode
	if err != nil {
		return t
	}
	_ = raw.Control(func(fd uintptr) { // the file is open
		// Only terminals have a window size (ioctl_tty(2)).
		_, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ)
		t.terminal = err == nil
	})
	return t
}

// Close closes a file. What an error would say of it there is nobody to tell.
func (t *Target) Close() {
	if t.file != nil {
		_ = t.file.Close()
	}
}

// sink writes lines from a goroutine of its own.
type sink struct {
	now     *Target // the goroutine's
	next    atomic.Pointer[Target]
	lines   chan []byte
	dropped atomic.Uint64 // since the last report
	lost    atomic.Uint64 // in all
	report  func(n uint64) []byte
	ending  chan struct{} // write what waits, then end
	done    chan struct{}
}

func newSink(t *Target, report func(n uint64) []byte) *sink {
	s := &sink{now: t, lines: make(chan []byte, eventsMax), report: report, ending: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// Write takes a line and never blocks. It always reports success: an event
// that cannot be told has nobody to be told to.
func (s *sink) Write(p []byte) (int, error) {
	select {
	case s.lines <- bytes.Clone(p):
	default:
		s.drop()
	}
	return len(p), nil
}

func (s *sink) drop() {
	s.dropped.Add(1)
	s.lost.Add(1)
}

// replace has what comes next written to t, which the sink closes.
func (s *sink) replace(t *Target) {
	if unused := s.next.Swap(t); unused != nil {
		unused.Close()
	}
}

func (s *sink) run() {
	defer close(s.done)
	for {
		select {
		case line := <-s.lines:
			s.write(line)
		case <-s.ending:
			for len(s.lines) > 0 {
				s.write(<-s.lines)
			}
			s.now.Close()
			return
		}
	}
}

// write writes a line, and before it how many were left out.
func (s *sink) write(line []byte) {
	if t := s.next.Swap(nil); t != nil {
		s.now.Close()
		s.now = t
	}
	n := s.dropped.Swap(0)
	if n > 0 {
		line = append(s.report(n), line...)
	}
	if _, err := s.now.w.Write(line); err != nil {
		s.dropped.Add(n) // it is reported, with this one, when there is room again
		s.drop()
	}
}

// close writes what waits, for a bounded time. What comes later is not written.
func (s *sink) close() {
	close(s.ending)
	grace.Finishes(func() { <-s.done }, grace.Close)
}

// cleaned makes lines harmless to a terminal: an error's text, or a path that
// a client has asked for, may hold what a terminal obeys.
type cleaned struct{ to io.Writer }

func (c cleaned) Write(p []byte) (int, error) {
	if _, err := c.to.Write(clean(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// clean escapes in a line what is no printable character, but for the newline at its end.
func clean(line []byte) []byte {
	text := bytes.TrimSuffix(line, []byte{'\n'})
	out := make([]byte, 0, len(line))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, text[0])
		case unicode.IsPrint(r):
			out = append(out, text[:size]...)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		text = text[size:]
	}
	return append(out, '\n')
}

// warningsMax bounds the kinds of warnings that are kept for the status.
const warningsMax = 32

// Warning is a kind of event that an operator should know of.
type Warning struct {
	Level  string    `json:"level"`
	Text   string    `json:"text"`
	Detail string    `json:"detail,omitempty"` // of the last one
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
}

// warnings keeps the last of each kind of warning. It is a core beside the one that writes.
type warnings struct {
	mu  sync.Mutex
	all []Warning
}

// Enabled implements zapcore.Core.
func (*warnings) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

// With implements zapcore.Core. The fields of a logger are not kept.
func (w *warnings) With([]zapcore.Field) zapcore.Core { return w }

// Check implements zapcore.Core.
func (w *warnings) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if w.Enabled(e.Level) {
		return to.AddCore(e, w)
	}
	return to
}

// Write implements zapcore.Core.
func (w *warnings) Write(e zapcore.Entry, fields []zapcore.Field) error {
	var detail string
	for _, f := range fields {
		switch err, isError := f.Interface.(error); {
		case f.Type == zapcore.ErrorType && isError:
			detail = err.Error()
		case f.Type == zapcore.StringType && detail == "":
			detail = f.String
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := -1
	for i := range w.all {
		if w.all[i].Text == e.Message {
			at = i
		}
	}
	switch {
	case at >= 0:
	case len(w.all) < warningsMax:
		w.all = append(w.all, Warning{})
		at = len(w.all) - 1
	default: // the one that is longest ago
		at = 0
		for i := range w.all {
			if w.all[i].Last.Before(w.all[at].Last) {
				at = i
			}
		}
		w.all[at] = Warning{}
	}
	k := &w.all[at]
	k.Level, k.Text, k.Detail, k.Last = e.Level.String(), e.Message, detail, e.Time
	k.Count++
	return nil
}

// Sync implements zapcore.Core.
func (*warnings) Sync() error { return nil }

// list returns them, the first seen first.
func (w *warnings) list() []Warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Warning{}, w.all...)
}

// Warner returns a function that logs each kind of warning at most once in a
// while, so that what happens a thousand times a second is still one line.
func Warner(events *zap.Logger) func(what string, err error) {
	var mu sync.Mutex
	last := make(map[string]time.Time)
	return func(what string, err error) {
		mu.Lock()
		now := time.Now()
		quiet := now.Sub(last[what]) < warnEvery
		if !quiet {
			last[what] = now
		}
		mu.Unlock()
		if !quiet {
			events.Warn(what, zap.Error(err))
		}
	}
}
