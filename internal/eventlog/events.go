// Package eventlog is the log of what happens to the server itself: warnings, errors, that it has stopped. No call
// waits for a reader of the log.
//
// It imports config, grace and sink and, of others, zap and x/sys.
package eventlog

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/sink"
)

// Log is the log of events (config.Log), and the lines for people on standard error. Its output, its level and its
// format can be changed while it is written to.
type Log struct {
	*zap.Logger
	stderr   *queue
	now      atomic.Pointer[Output]
	lost     atomic.Uint64
	warnings warnings
	limiter  *Limiter // of the log's own failures
}

// Output is where events are written, and in which form.
type Output struct {
	cfg     config.Log
	level   zapcore.Level
	console bool
	encoder zapcore.Encoder
	to      *queue // Log.stderr, or a queue of its own
}

// levels are the levels by their names in the configuration.
var levels = map[string]zapcore.Level{
	"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "warn": zapcore.WarnLevel, "error": zapcore.ErrorLevel,
}

// New returns a log on standard error, at stderr, until Change says otherwise.
func New(stderr sink.Sink) *Log {
	l := &Log{}
	l.stderr = newQueue(l, stderr)
	l.now.Store(over(config.Log{Output: "stderr", Level: "info", Format: "auto"}, l.stderr))
	l.Logger = zap.New(&core{log: l}) // which makes no errors that zap could tell of
	l.limiter = NewLimiter(l.Logger)
	return l
}

// Change has the log go on with an output that was opened for it.
func (l *Log) Change(o *Output) { l.Leave(l.now.Swap(o)) }

// Reopen opens the log's file anew, after it was moved away. On an error the old one goes on. Opening may take
// long; a Change meanwhile is what holds.
func (l *Log) Reopen() error {
	old := l.now.Load()
	o, err := l.Open(old.cfg)
	switch {
	case err != nil:
	case l.now.CompareAndSwap(old, o):
		l.Leave(old)
	default:
		l.Leave(o)
	}
	return err
}

// Leave closes an output that is not in use any more, or never was, when the lines that wait for it are written.
func (l *Log) Leave(o *Output) {
	if o.to != l.stderr {
		go o.to.close()
	}
}

// Open opens the output that cfg describes. It is for Change or for Leave.
func (l *Log) Open(cfg config.Log) (*Output, error) {
	switch cfg.Output {
	case "stderr":
		return over(cfg, l.stderr), nil
	case "stdout":
		return over(cfg, newQueue(l, sink.Inherited(unix.Stdout))), nil
	}
	f, err := sink.Open(cfg.Output)
	if err != nil {
		return nil, fmt.Errorf("log.output: %w: want stderr, stdout or a file that this user (%d) may write, "+
			"in a directory that exists", err, os.Geteuid())
	}
	return over(cfg, newQueue(l, f)), nil
}

// over is the output that cfg describes over a queue.
func over(cfg config.Log, to *queue) *Output {
	console := cfg.Format == "console" || cfg.Format != "json" && to.to.Terminal()
	return &Output{cfg: cfg, level: levels[cfg.Level], console: console, encoder: encoder(console), to: to}
}

// Say writes a line on standard error whatever the output and the level are: that the server serves, that it stops.
// If the format is JSON, the line is an object like those of events.
func (l *Log) Say(level zapcore.Level, text string) { l.say(level, "evhttpd: "+text) }

// Complain writes the lines of an error, as Say does.
func (l *Log) Complain(lines string) {
	for line := range strings.Lines(lines) {
		l.say(zapcore.ErrorLevel, strings.TrimSuffix(line, "\n"))
	}
}

// say writes the text as a line, or as an object with what follows the program's name in it.
func (l *Log) say(level zapcore.Level, text string) {
	line := clean([]byte(text))
	if o := l.now.Load(); o.cfg.Format == "json" {
		text = strings.TrimPrefix(text, "evhttpd: ")
		if encoded := encode(o, zapcore.Entry{Level: level, Time: time.Now(), Message: text}, nil); encoded != nil {
			line = encoded
		}
	}
	if !l.stderr.push(line, true) {
		l.lost.Add(1)
	}
}

// write queues the line of an event.
func (l *Log) write(e zapcore.Entry, fields []zapcore.Field) {
	o := l.now.Load()
	line := encode(o, e, fields)
	for line != nil {
		if o.to.push(line, e.Level >= zapcore.ErrorLevel) {
			return
		}
		now := l.now.Load()
		if now == o { // the log is closed
			break
		}
		o = now
	}
	l.lost.Add(1)
}

// encode returns the line of an event, or nil if there is none for it.
func encode(o *Output, e zapcore.Entry, fields []zapcore.Field) []byte {
	b, err := o.encoder.EncodeEntry(e, fields)
	if err != nil {
		return nil
	}
	defer b.Free()
	if o.console {
		return clean(b.Bytes())
	}
	return bytes.Clone(b.Bytes())
}

// failed is called when an output other than standard error cannot be written to. It says so on standard error.
func (l *Log) failed(err error) {
	if l.limiter.due(kind{text: "log", cause: causeOf(err)}, "") {
		l.Say(zapcore.ErrorLevel, fmt.Sprintf("events are lost: the log %s: %v", l.now.Load().cfg.Output, err))
	}
}

// Close writes what waits, for a bounded time. What comes later is not written.
func (l *Log) Close() {
	if o := l.now.Load(); o.to != l.stderr {
		o.to.close()
	}
	l.stderr.close()
}

// Dropped is the number of events and lines that were lost so far.
func (l *Log) Dropped() uint64 { return l.lost.Load() }

// Warnings returns the last of each kind of warning, in the order in which the kinds were first seen.
func (l *Log) Warnings() []Warning { return l.warnings.list() }

// leftOut is the line that stands for n events that were dropped.
func (l *Log) leftOut(n uint64, why error) []byte {
	text := "events were left out: they came faster than they could be written"
	fields := []zapcore.Field{zap.Uint64("events", n)}
	if why != nil {
		text = "events were left out: they could not be written"
		fields = append(fields, zap.Error(why))
	}
	return encode(l.now.Load(), zapcore.Entry{Level: zapcore.WarnLevel, Time: time.Now(), Message: text}, fields)
}

// encoder makes lines for people, or objects.
func encoder(console bool) zapcore.Encoder {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey = "time"
	cfg.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00")
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	if !console {
		return zapcore.NewJSONEncoder(cfg)
	}
	cfg.EncodeLevel = zapcore.CapitalLevelEncoder
	cfg.ConsoleSeparator = " "
	return zapcore.NewConsoleEncoder(cfg)
}

// core gives events to the log. It is for all of the log's loggers.
type core struct {
	log    *Log
	fields []zapcore.Field
}

// Enabled implements zapcore.Core. Warnings are kept for the status, whatever the level of the output is.
func (c *core) Enabled(level zapcore.Level) bool {
	return level >= min(c.log.now.Load().level, zapcore.WarnLevel)
}

// With implements zapcore.Core.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{log: c.log, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c *core) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core. It always reports success: where would an error of the log be logged?
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Level >= zapcore.WarnLevel {
		c.log.warnings.note(e, fields)
	}
	if e.Level >= c.log.now.Load().level {
		c.log.write(e, append(c.fields[:len(c.fields):len(c.fields)], fields...))
	}
	return nil
}

// Sync implements zapcore.Core.
func (c *core) Sync() error { return nil }
