package eventlog

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// limited returns a Limiter and what it tells.
func limited() (*Limiter, *observer.ObservedLogs) {
	core, said := observer.New(zap.DebugLevel)
	return NewLimiter(zap.New(core)), said
}

// Once a minute for each path, for so many paths, and one line of how many were left out.
func TestPathsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, said := limited()
		for round := range 2 {
			for i := range 10 * pathsMax {
				l.WarnPath("often", fmt.Sprint(i))
				l.WarnPath("often", "0")
			}
			if n := said.FilterMessage("often").Len(); n != (round+1)*pathsMax {
				t.Errorf("round %d: %d lines", round, n)
			}
			time.Sleep(limitEvery)
			synctest.Wait()
			summaries := said.FilterMessageSnippet("left out").All()
			if len(summaries) != round+1 || summaries[round].ContextMap()["events"] != int64(19*pathsMax) ||
				summaries[round].ContextMap()["like"] != "often" {
				t.Errorf("round %d: %v", round, summaries)
			}
		}
		if n := l.Suppressed(); n != 2*19*pathsMax {
			t.Errorf("%d are counted", n)
		}
	})
}

// A flood of one kind, or of one cause, keeps no other out, and not what matters most.
func TestAFloodHidesNothingElse(t *testing.T) {
	l, said := limited()
	for i := range 10 * kindsMax {
		l.WarnPath("often", fmt.Sprint(i))
		l.Warn("accepting fails", fmt.Errorf("accept: %w", syscall.EMFILE))
	}
	l.FailPath("the root is gone", "/srv")
	l.Warn("accepting fails", os.NewSyscallError("accept4", syscall.EIO))
	l.Warn("accepting fails", syscall.EPERM)
	l.Warn("accepting fails", nil)
	var told []string
	for _, e := range said.All()[pathsMax:] {
		told = append(told, fmt.Sprint(e.Level, " ", e.Message, " ", e.ContextMap()["error"]))
	}
	want := "error the root is gone <nil>; error accepting fails accept4: input/output error; " +
		"warn accepting fails operation not permitted; warn accepting fails <nil>"
	if got := strings.Join(told, "; "); !strings.HasSuffix(got, want) ||
		said.FilterLevelExact(zapcore.ErrorLevel).Len() != 2 {
		t.Errorf("told: %s", got)
	}
}

// Kinds without number take no memory without bound.
func TestKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, said := limited()
		for i := range 3 * kindsMax {
			l.Warn(fmt.Sprint("kind ", i), nil)
		}
		if len(l.kinds) > kindsMax+1 || said.Len() != kindsMax+1 {
			t.Errorf("%d kinds, %d lines", len(l.kinds), said.Len())
		}
		time.Sleep(limitEvery)
		synctest.Wait()
		l.Warn("after", nil)
		if len(l.kinds) > 2 || said.FilterMessage("after").Len() != 1 {
			t.Errorf("%d kinds are kept", len(l.kinds))
		}
	})
}
