package eventlog

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// limitEvery is how often the same event is told again.
	limitEvery = time.Minute
	// pathsMax is how many paths are named in that time for events of one kind and cause.
	pathsMax = 32
	// kindsMax bounds the kinds that are remembered. They are words of the program and the system's errors; what is
	// over is one kind together.
	kindsMax = 256
)

// Limiter has what happens a thousand times a second be few lines. Each kind of event with each cause has
// a limit of its own: those that come often keep no other one out. It may be used from any goroutine and does not
// wait.
type Limiter struct {
	log        *zap.Logger
	suppressed atomic.Uint64

	mu    sync.Mutex
	kinds map[kind]*window
}

// kind is what has a limit of its own.
type kind struct {
	text  string
	cause syscall.Errno // 0: none, or none of the system's
}

// window is the time in which something is told once.
type window struct {
	since time.Time
	told  map[string]bool // paths; "" is an event without one
	left  int             // left out
}

// NewLimiter returns one that tells log.
func NewLimiter(log *zap.Logger) *Limiter {
	return &Limiter{log: log, kinds: make(map[kind]*window)}
}

// Suppressed is how many events were not told because others like them were.
func (l *Limiter) Suppressed() uint64 { return l.suppressed.Load() }

// Warn tells of an error, once in a while for each text and cause. The error may be nil.
func (l *Limiter) Warn(text string, err error) {
	k := kind{text: text, cause: causeOf(err)}
	if !l.due(k, "") {
		return
	}
	level := zapcore.WarnLevel
	if grave(k.cause) {
		level = zapcore.ErrorLevel
	}
	if err == nil {
		l.log.Log(level, text)
	} else {
		l.log.Log(level, text, zap.Error(err))
	}
}

// WarnPath tells what is wrong with a path.
func (l *Limiter) WarnPath(text, path string) { l.path(zapcore.WarnLevel, text, path) }

// FailPath tells what keeps a path from being served at all: its root is gone, its disk fails.
func (l *Limiter) FailPath(text, path string) { l.path(zapcore.ErrorLevel, text, path) }

func (l *Limiter) path(level zapcore.Level, text, path string) {
	if l.due(kind{text: text}, path) {
		l.log.Log(level, text, zap.String("path", path))
	}
}

// causeOf finds the system's error.
func causeOf(err error) (cause syscall.Errno) {
	errors.As(err, &cause)
	return cause
}

// grave are errors that say that something is broken or full, rather than busy or forbidden.
func grave(cause syscall.Errno) bool {
	switch cause {
	case syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.ESTALE:
		return true
	}
	return false
}

// due reports whether to tell. The first that is left out has a line come at the end of its time, which says how
// many were.
func (l *Limiter) due(k kind, path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	w := l.kinds[k]
	if w == nil {
		if len(l.kinds) >= kindsMax {
			l.forget(now)
		}
		if len(l.kinds) >= kindsMax {
			k = kind{}
		}
		if w = l.kinds[k]; w == nil {
			w = &window{}
			l.kinds[k] = w
		}
	}
	if now.Sub(w.since) >= limitEvery {
		*w = window{since: now, told: make(map[string]bool), left: w.left} // of which summarize is about to tell
	}
	if !w.told[path] && len(w.told) < pathsMax {
		w.told[path] = true
		return true
	}
	l.suppressed.Add(1)
	if w.left++; w.left == 1 {
		time.AfterFunc(limitEvery-now.Sub(w.since), func() { l.summarize(k, w) })
	}
	return false
}

// forget drops the kinds whose time is over. mu is held.
func (l *Limiter) forget(now time.Time) {
	for k, w := range l.kinds {
		if now.Sub(w.since) >= limitEvery {
			delete(l.kinds, k)
		}
	}
}

// summarize says how many events of a kind were left out.
func (l *Limiter) summarize(k kind, w *window) {
	l.mu.Lock()
	n := w.left
	w.left = 0
	l.mu.Unlock()
	if n == 0 {
		return
	}
	fields := []zap.Field{zap.Int("events", n), zap.String("like", k.text)}
	if k.cause != 0 {
		fields = append(fields, zap.Error(k.cause))
	}
	l.log.Warn("more events of one kind were left out", fields...)
}
