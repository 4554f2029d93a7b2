package eventlog

import (
	"errors"
	"slices"
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
	// pathsMax is the number of paths that are named in that time for events of one kind and cause.
	pathsMax = 32
	// kindsMax bounds the kinds that are remembered, which are texts of the program with errors of the system. Those
	// beyond are taken for one kind.
	kindsMax = 256
)

// Limiter makes few lines of events that happen a thousand times a second. Each kind of event with each cause has a
// limit of its own, so that frequent events hide no other ones. Its methods may be called from any goroutine and do
// not wait.
type Limiter struct {
	log        *zap.Logger
	suppressed atomic.Uint64

	mu    sync.Mutex
	kinds map[kind]*window
}

// kind is a group of events that share a limit.
type kind struct {
	text  string
	cause syscall.Errno // the system's error; 0 if there is none
}

// window is the time in which an event of a kind is told once.
type window struct {
	since time.Time
	told  map[string]bool // the paths that were named; "" stands for an event without a path
	left  int             // the number of events that were left out
}

// NewLimiter returns a Limiter for events of log.
func NewLimiter(log *zap.Logger) *Limiter {
	return &Limiter{log: log, kinds: make(map[kind]*window)}
}

// Suppressed returns the number of events that were not told because others like them were.
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
	l.log.Log(level, text, zap.Error(err)) // no field for nil
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

// grave reports whether an error says that something is broken or full, rather than busy or forbidden.
func grave(cause syscall.Errno) bool {
	return slices.Contains([]syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.ESTALE},
		cause)
}

// due reports whether an event is to be told. After the first that is not, summarize is due at the end of the window.
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
		*w = window{since: now, told: make(map[string]bool), left: w.left} // summarize is about to tell of those
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

// forget drops the kinds whose window is over. mu is held.
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
