package daemon

import (
	"io"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newEvents returns the log of events, for people to read.
func newEvents(w io.Writer) *zap.Logger {
	cfg := zap.NewDevelopmentEncoderConfig()
	cfg.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00")
	cfg.ConsoleSeparator = " "
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), zap.InfoLevel))
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
