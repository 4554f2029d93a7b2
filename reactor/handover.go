package reactor

import (
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
)

// movesMax bounds the connections that leave a loop in one batch, so that those
// that are still served there keep their turn.
const movesMax = 256

// all has every loop that runs call do, and returns when each of these has called done.
func (r *Reactor) all(do func(l *Loop, done func())) {
	var all sync.WaitGroup
	for _, l := range r.loops {
		all.Add(1)
		if !l.post(func(l *Loop) { do(l, all.Done) }) {
			all.Done() // it has ended
		}
	}
	all.Wait()
}

// Update replaces the settings. When it returns no loop uses the old ones any
// more, but for jobs that are with the pool and access lines that were begun.
func (r *Reactor) Update(set model.Settings) {
	r.all(func(l *Loop, done func()) {
		l.update(&set)
		done()
	})
}

func (l *Loop) update(set *model.Settings) {
	l.opts.Config, l.opts.Connections = set.Config, set.Connections
	l.local.Config = set.Config
	l.timers.init(set.Config)
	if set.Config.ConnectionsPerClient > 0 {
		l.slab.each(func(s *slot) { s.conn.CountClient(l.local) })
	}
	if set.NewHandler != nil {
		l.local.Handler = set.NewHandler()
	}
	if !set.Relog {
		return
	}
	if l.local.Log != nil {
		l.local.Log.Tick(math.MaxInt64) // later than anything can wait
	}
	l.local.Log, l.logDue = nil, 0
	if set.NewLog != nil {
		l.local.Log = set.NewLog()
	}
}

// SetListeners replaces the listeners: listeners[i] are loop i's from now on. It
// returns when what waited in the queues of those that are gone has been
// accepted: then the owner may close them.
func (r *Reactor) SetListeners(listeners [][]model.Listener) error {
	if len(listeners) != len(r.loops) {
		return errLists(len(listeners), len(r.loops))
	}
	r.all(func(l *Loop, emptied func()) {
		l.acceptor.replace(listeners[l.index], l.completer != nil, l.local.Clock.Mono, emptied)
	})
	return nil
}

// Adopt takes over a connection that another server hands over: one loop goes
// on with it at once. It may be called from any goroutine, from Serve on. It reports false if
// every loop has ended: the connection is the caller's still.
func (r *Reactor) Adopt(h model.Handed) bool {
	first := int(r.adopts.Add(1))
	for i := range r.loops {
		if r.loops[(first+i)%len(r.loops)].inbox.post(message{handed: &h}) {
			return true
		}
	}
	return false
}

// adopt begins the connection's life on this loop.
func (l *Loop) adopt(h *model.Handed) {
	s := l.slab.take()
	s.fd = int32(h.FD)
	s.ready = allReady
	s.conn = h.Conn
	s.conn.Move(l.local)
	l.opts.Open.Add(1)
	l.step(s)
}

// Handover has the reactor stop accepting, once what waits in its listeners'
// queues is accepted, and hand its connections over to: each as soon as it is between two
// requests. A loop ends when none is left. to is called by the loops and must not
// block; where it reports false, the connection's next answer is its last.
// Handover returns when no loop accepts any more. A second one changes nothing.
func (r *Reactor) Handover(to func(model.Handed) bool) {
	r.stopAccepting(func(l *Loop) { l.handOver(to) })
}

// handover is how a loop gives its connections to another server.
type handover struct {
	to  func(model.Handed) bool // takes over connections between two requests; nil: nobody does
	due bool                    // there may be connections to hand over now
}

func (l *Loop) handOver(to func(model.Handed) bool) {
	if l.handover.to != nil {
		return
	}
	l.handover.to, l.handover.due = to, true
	l.acceptor.end()
}

// moveIdle hands over those that are between two requests, the oldest first.
func (l *Loop) moveIdle() {
	if !l.handover.due {
		return
	}
	left := movesMax
	l.handover.due = false
	for _, phase := range [...]conn.Phase{conn.PhaseIdle, conn.PhaseFirstByte} {
		for i := l.timers.lists[phase].first; i != 0; {
			s := l.slab.at(i - 1)
			if i = s.next; !l.move(s) {
				continue
			}
			if left--; left == 0 {
				l.handover.due = true // the others in the next batch
				return
			}
		}
	}
}

// move hands a connection over, if it can be now. If not, it is tried again
// when it has been stepped, or when its [Completer] has let go of it.
func (l *Loop) move(s *slot) bool {
	if s.unmovable || s.queued || s.want != conn.WantRead || !s.conn.Movable() {
		return false
	}
	if l.completer != nil && !l.completer.Detach(s.token()) {
		l.handover.due = true
		return false
	}
	if s.registered {
		if err := l.poller.Remove(int(s.fd)); err != nil {
			l.opts.Warn("removing a connection from the poller", err)
		}
		s.registered = false
	}
	if !l.handover.to(model.Handed{FD: int(s.fd), Conn: s.conn}) {
		s.unmovable = true // and is watched again
		s.ready = allReady
		l.step(s)
		return false
	}
	l.opts.Open.Add(-1)
	l.timers.unset(&l.slab, s)
	l.slab.put(s)
	return true
}

// orphan is a connection that reached a loop which had just ended.
func (l *Loop) orphan(h *model.Handed) {
	if l.handover.to != nil && l.handover.to(*h) {
		return
	}
	// It is idle, and the server has stopped.
	h.Conn.UncountClient(l.local.Config)
	if err := unix.Close(h.FD); err != nil {
		l.opts.Warn("closing a connection", err)
	}
}
