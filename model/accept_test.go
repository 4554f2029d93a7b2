package model

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// TestAcceptPolicy: what follows each result of accept(2).
func TestAcceptPolicy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want AcceptAction
	}{
		{nil, AcceptServe},
		{unix.EAGAIN, AcceptEmpty},
		{unix.ECONNABORTED, AcceptNext},
		{unix.EINTR, AcceptNext},
		{unix.ENETDOWN, AcceptNext},
		{unix.EMFILE, AcceptStarved},
		{unix.ENFILE, AcceptStarved},
		{unix.ENOBUFS, AcceptStarved},
		{fmt.Errorf("accept: %w", unix.ENOMEM), AcceptStarved},
		{unix.EBADF, AcceptRest},
		{unix.EPERM, AcceptRest},
		{errors.New("closed"), AcceptRest},
	} {
		if got := new(AcceptPolicy).After(c.err); got != c.want {
			t.Errorf("after %v: %v, want %v", c.err, got, c.want)
		}
	}
}

// TestAcceptPolicyOfAListenerThatOnlyFails: connections that are gone do not keep a thread busy for ever, and one
// that comes ends the pauses.
func TestAcceptPolicyOfAListenerThatOnlyFails(t *testing.T) {
	var p AcceptPolicy
	for range AcceptMax {
		if got := p.After(unix.ECONNABORTED); got != AcceptNext {
			t.Fatalf("action %v", got)
		}
	}
	if got := p.After(unix.ECONNABORTED); got != AcceptRest {
		t.Errorf("after %d in a row: action %v", AcceptMax, got)
	}
	if first, second := p.Fail(0), p.Fail(0); second != 2*first || !p.Paused() {
		t.Errorf("pauses of %v and %v", first, second)
	}
	p.After(nil)
	if p.Paused() || p.Fail(0) != backoffMin {
		t.Error("a connection does not end the pauses")
	}
}

// TestAdmit: the limit is kept by those that make room, and the new connection is refused when none can.
func TestAdmit(t *testing.T) {
	for _, c := range []struct {
		limit, open, idle int
		want              bool
		warned, left      int
	}{
		{0, 100, 0, true, 0, 101},
		{5, 4, 0, true, 0, 5},
		{5, 5, 1, true, 1, 5},
		{5, 8, 4, true, 1, 5},
		{5, 5, 0, false, 1, 6},
		{5, 8, 2, false, 1, 7},
	} {
		open, warned := new(atomic.Int64), 0
		open.Store(int64(c.open))
		o := Options{Open: open, Warn: func(string, error) { warned++ }}
		got := o.Admit(c.limit, func() bool {
			if c.idle--; c.idle < 0 {
				return false
			}
			open.Add(-1)
			return true
		})
		if got != c.want || warned != c.warned || open.Load() != int64(c.left) {
			t.Errorf("%+v: %v, warned %d times, %d open", c, got, warned, open.Load())
		}
	}
}

// TestEvictable: who may be about to send a first request is left alone.
func TestEvictable(t *testing.T) {
	const now = int64(time.Hour)
	for _, c := range []struct {
		phase conn.Phase
		since int64
		want  bool
	}{
		{conn.PhaseIdle, now, true},
		{conn.PhaseFirstByte, now, false},
		{conn.PhaseFirstByte, now - int64(silentMin), true},
		{conn.PhaseHead, now, false},
		{conn.PhaseHead, now - int64(silentMin), true},
		{conn.PhaseBody, now, false},
		{conn.PhaseBody, now - int64(silentMin), true},
	} {
		if got := Evictable(c.phase, c.since, now); got != c.want {
			t.Errorf("phase %v for %v: %v", c.phase, time.Duration(now-c.since), got)
		}
	}
}
