package reactor

import (
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
	"github.com/evhttpd/evhttpd/poller"
)

// relieve closes the connections of this loop that hold most for longest, as far as
// this loop's Share of the Budget is to give up.
func (l *Loop) relieve() {
	closed := l.local.Relieve(l.holders, func(h conn.Holder) {
		if s := l.slab.lookup(poller.Token(h.Token)); s != nil {
			l.local.Counters.Relieved++
			l.cut(s)
		}
	})
	if closed > 0 {
		l.opts.Warn(model.WarnHeld, nil)
	}
}

// cut closes a connection, and what it has yet to send is lost.
func (l *Loop) cut(s *slot) {
	if s.want != conn.WantClose {
		l.close(s)
	}
	if l.completer != nil && s.live { // it is kept for what it has yet to send
		l.completer.Release(s.token(), true)
		l.leave(s)
	}
}

// holders lists the connections that hold memory. Those that wait between two requests hold
// none, but for what a Completer has yet to send for them.
func (l *Loop) holders() (all []conn.Holder) {
	for phase := range conn.NumPhases {
		if l.completer == nil && (phase == conn.PhaseIdle || phase == conn.PhaseLingering) {
			continue
		}
		l.timers.each(&l.slab, phase, func(s *slot) {
			bytes, since := s.conn.Held()
			if l.completer != nil {
				bytes += int64(l.completer.Held(s.token()))
			}
			if bytes > 0 {
				all = append(all, conn.Holder{Token: uint64(s.token()), Bytes: bytes, Since: since})
			}
		})
	}
	return all
}
