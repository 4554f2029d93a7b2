package eventlog

import (
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

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
