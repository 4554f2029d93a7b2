package conn

import (
	"time"

	"github.com/evhttpd/evhttpd/http1"
)

const (
	// hangupEvery is how often a connection that waits for a job is asked whether its peer is there still.
	hangupEvery = time.Second
	// An answer's progress is looked at this often within Config.Send, and no less than every lookMax.
	looks   = 8
	lookMax = 30 * time.Second
	// lateMin is how late a timer runs out when nobody can have looked at the connection: the process was stopped,
	// and its workers with it.
	lateMin = time.Second
	// bodyRate is the slowest body, in bytes a second, beyond the grace of Config.Body.
	bodyRate = 500
)

// Timeout is how long the timer of a phase runs; 0: there is none. It is the
// same for every connection, so that timers are first in, first out.
func (cfg *Config) Timeout(p Phase) time.Duration {
	switch p {
	case PhaseFirstByte:
		return cfg.FirstByte
	case PhaseHead:
		return cfg.Head
	case PhaseBody:
		return cfg.Body
	case PhaseSending:
		return min((cfg.Send+looks-1)/looks, lookMax)
	case PhaseDeferred:
		if cfg.Deferred == 0 {
			return hangupEvery
		}
		return min(cfg.Deferred, hangupEvery)
	case PhaseLingering:
		return lingerIdle
	default:
		return cfg.KeepAlive
	}
}

// LookAgain is since when (Clock.Mono) the timer of PhaseSending is to run for progress to be looked at next: after
// its timeout, or before that when Config.Send is over after the last progress.
func (cfg *Config) LookAgain(now, moved int64) (since int64) {
	return min(now, moved+int64(cfg.Send)-int64(cfg.Timeout(PhaseSending)))
}

// Expire is called when the timer of the connection's phase has run out. What has arrived by then counts, even if
// the loop has not seen it: the process may have been stopped, or its loop been late. So the caller has
// the Transport's next Recv ask the socket.
func (c *Conn) Expire(t Transport, w *Workspace) Want {
	now := w.Clock.Mono
	switch c.want {
	case WantYield: // it waits for the loop, not for its peer
		c.since = now
		return WantYield
	case WantRead:
		phase, since := c.phase, c.since
		if want := c.Step(t, w); want == WantClose || c.phase != phase || c.since != since {
			return want
		}
	}
	late := now - c.since - int64(w.Config.Timeout(c.phase))
	if late >= int64(lateMin) && (c.phase == PhaseDeferred || c.phase == PhaseSending) {
		c.since, c.progressAt = now, now // neither a worker nor the peer could use that time
		return c.want
	}
	switch c.phase {
	case PhaseHead:
		w.Counters.Timeouts[PhaseHead]++
		return c.timeOut(t, w, "the head took longer than timeouts.head (RFC 9110 section 15.5.9)")
	case PhaseBody:
		p := c.pending
		// The time that it may take grows with it.
		if since := p.bodyBegan + p.body.Received()*int64(time.Second)/bodyRate; now-since < int64(w.Config.Body) {
			c.since = since
			return c.want
		}
		w.Counters.Timeouts[PhaseBody]++
		return c.timeOut(t, w, "the body took longer than timeouts.body (RFC 9110 section 15.5.9)")
	case PhaseSending:
		want := c.checkProgress(t, w.Config, now)
		if want == WantClose {
			w.Counters.Timeouts[PhaseSending]++
		}
		return want
	case PhaseDeferred:
		if limit := int64(w.Config.Deferred); limit == 0 || now-c.pending.askedAt < limit {
			return c.lookForPeer(t, w.Config, now)
		}
		w.Counters.Timeouts[PhaseDeferred]++
		if c.pending.warming {
			return WantClose
		}
		c.pending.err = errDeferred
		c.want = WantYield // the result that may still come misses
		return c.Step(t, w)
	default:
		w.Counters.Timeouts[c.phase]++
		return WantClose
	}
}

// lookForPeer closes a connection that waits for a job if its peer is gone, and notes if that has closed its
// side: it may wait for the answer, or have gone without a word.
func (c *Conn) lookForPeer(t Transport, cfg *Config, now int64) Want {
	half, all := t.Hangup()
	if all {
		return WantClose
	}
	c.pending.doubtful = half
	c.since = now
	if cfg.Deferred > 0 {
		c.since = min(now, c.pending.askedAt+int64(cfg.Deferred)-int64(cfg.Timeout(PhaseDeferred)))
	}
	return c.want
}

// timeOut answers 408 to a request that does not come to its end.
func (c *Conn) timeOut(t Transport, w *Workspace, reason string) Want {
	w.newTurn()
	in := c.unpark(w)
	req := &w.req
	if http1.Parse(in, 0, &w.Config.Limits, req) != http1.Complete {
		req = nil
	}
	w.out.begin(c, req, in)
	w.out.last = true
	w.out.Fail(408, "", reason)
	c.answered(w, req, in)
	_, want := c.run(t, w, in[:0])
	c.park(w, nil, want)
	return want
}

// checkProgress closes a connection whose peer has not acknowledged a byte in
// Config.Send. A slow but moving download is never cut: progress is what was sent, when it was, and
// what the peer was seen to have acknowledged since the last look. The first look,
// which has nothing to compare with, takes it that there was some.
func (c *Conn) checkProgress(t Transport, cfg *Config, now int64) Want {
	unacked := int32(t.Unacked())
	if unacked >= 0 && unacked < c.unacked {
		c.progressAt = now
	}
	c.unacked = unacked
	if now-c.progressAt >= int64(cfg.Send) {
		return WantClose
	}
	c.since = cfg.LookAgain(now, c.progressAt)
	return c.want
}
