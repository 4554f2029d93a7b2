package eventlog

import (
	"slices"
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
	Detail string    `json:"detail,omitempty"` // the error or the text of the last one
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
}

// warnings keeps the last of each kind of warning.
type warnings struct {
	mu  sync.Mutex
	all []Warning
}

// note keeps an event. Of its fields, the error says most, and else the first text.
func (w *warnings) note(e zapcore.Entry, fields []zapcore.Field) {
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
	at := slices.IndexFunc(w.all, func(k Warning) bool { return k.Text == e.Message })
	if at < 0 {
		if len(w.all) == warningsMax { // the one that is longest ago gives way
			oldest := slices.MinFunc(w.all, func(a, b Warning) int { return a.Last.Compare(b.Last) })
			w.all = slices.DeleteFunc(w.all, func(k Warning) bool { return k.Text == oldest.Text })
		}
		at = len(w.all)
		w.all = append(w.all, Warning{})
	}
	k := &w.all[at]
	k.Level, k.Text, k.Detail, k.Last = e.Level.String(), e.Message, detail, e.Time
	k.Count++
}

// list returns all kinds, in the order in which each was first seen.
func (w *warnings) list() []Warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Warning{}, w.all...) // not nil, for JSON
}
