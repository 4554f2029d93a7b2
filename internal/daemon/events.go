package daemon

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
)

const (
	// eventsMax bounds the events that wait to be written. What would be more is
	// dropped and counted: loops report events too, and must not wait for a reader.
	eventsMax = 1024
	// eventFileMode is that of a log's new file, less the umask.
	eventFileMode = 0o640
)

// eventLog is the log of events (config.Log). Where it goes, its level and its
// format can change while it is written to.
type eventLog struct {
	*zap.Logger
	stderr   io.Writer
	sink     *sink
	output   atomic.Pointer[string] // of the configuration in force
	core     atomic.Pointer[zapcore.Core]
	encoder  atomic.Pointer[zapcore.Encoder]
	warnings warnings
}

// newEventLog opens the log. stderr is where output stderr goes.
func newEventLog(cfg config.Log, stderr io.Writer) (*eventLog, error) {
	l := &eventLog{stderr: stderr}
	t, err := l.open(cfg.Output)
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

// change has the log go on as cfg says, to t, which was opened for it.
func (l *eventLog) change(cfg config.Log, t *target) {
	if err := l.use(cfg, t); err != nil { // not of a configuration that was checked
		l.Error("the log goes on as it was", zap.Error(err))
		t.close()
		return
	}
	l.sink.replace(t)
}

// use has events written as cfg says, to t.
func (l *eventLog) use(cfg config.Log, t *target) error {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return &ConfigError{fmt.Errorf("log.level: %w: want debug, info, warn or error", err)}
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

// reopen opens the log's file anew, after it was moved away. On an error the old one goes on.
func (l *eventLog) reopen() error {
	t, err := l.open(*l.output.Load())
	if err != nil {
		return err
	}
	l.sink.replace(t)
	return nil
}

// open opens what log.output names.
func (l *eventLog) open(output string) (*target, error) {
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

// leftOut is the line that stands for n events that were dropped.
func (l *eventLog) leftOut(n uint64) []byte {
	b, err := (*l.encoder.Load()).EncodeEntry(zapcore.Entry{
		Level: zapcore.WarnLevel, Time: time.Now(), Message: "events were left out: they came faster than they could be written",
	}, []zapcore.Field{zap.Uint64("events", n)})
	if err != nil {
		return []byte("evhttpd: " + counted(int(n), "event") + " left out\n")
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

// target is where events go.
type target struct {
	w        io.Writer
	file     *os.File // that is ours to close; nil: none is
	terminal bool     // a person reads along
}

func newTarget(w io.Writer) *target {
	t := &target{w: w}
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

// close closes a file. What an error would say of it there is nobody to tell.
func (t *target) close() {
	if t.file != nil {
		_ = t.file.Close()
	}
}

// sink writes lines from a goroutine of its own.
type sink struct {
	now     *target // the goroutine's
	next    atomic.Pointer[target]
	lines   chan []byte
	dropped atomic.Uint64 // since the last report
	lost    atomic.Uint64 // in all
	report  func(n uint64) []byte
	ending  chan struct{} // write what waits, then end
	done    chan struct{}
}

func newSink(t *target, report func(n uint64) []byte) *sink {
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
func (s *sink) replace(t *target) {
	if unused := s.next.Swap(t); unused != nil {
		unused.close()
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
			s.now.close()
			return
		}
	}
}

// write writes a line, and before it how many were left out.
func (s *sink) write(line []byte) {
	if t := s.next.Swap(nil); t != nil {
		s.now.close()
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
	finishes(func() { <-s.done }, closeGrace)
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

// warning is a kind of event that an operator should know of.
type warning struct {
	Level  string    `json:"level"`
	Text   string    `json:"text"`
	Detail string    `json:"detail,omitempty"` // of the last one
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
}

// warnings keeps the last of each kind of warning. It is a core beside the one that writes.
type warnings struct {
	mu  sync.Mutex
	all []warning
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
		w.all = append(w.all, warning{})
		at = len(w.all) - 1
	default: // the one that is longest ago
		at = 0
		for i := range w.all {
			if w.all[i].Last.Before(w.all[at].Last) {
				at = i
			}
		}
		w.all[at] = warning{}
	}
	k := &w.all[at]
	k.Level, k.Text, k.Detail, k.Last = e.Level.String(), e.Message, detail, e.Time
	k.Count++
	return nil
}

// Sync implements zapcore.Core.
func (*warnings) Sync() error { return nil }

// list returns them, the first seen first.
func (w *warnings) list() []warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]warning{}, w.all...)
}

// warner returns a function that logs each kind of warning at most once in a
// while, so that what happens a thousand times a second is still one line.
func warner(events *zap.Logger) func(what string, err error) {
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
