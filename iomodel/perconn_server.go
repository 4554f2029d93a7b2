package iomodel

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
	"github.com/evhttpd/evhttpd/model"
)

// ownedServer is what the models have in common that step each connection on a thread
// or a goroutine of its own: which connections are open, which of them can make room, and the end.
// It is the Receiver of its connections' jobs and the Waker of their sources.
// Its connections share one access log.
type ownedServer struct {
	ownedTraits
	opts      Options
	share     *conn.Share
	settings  atomic.Pointer[settings]                // read once a turn
	successor atomic.Pointer[func(model.Handed) bool] // takes over connections between two requests; nil: there is none
	epoch     atomic.Uint64                           // counts the calls of nudge

	open     *atomic.Int64
	wakes    atomic.Uint64 // how often a connection has received what it waited for
	lastWake atomic.Int64  // Clock.Mono of the last time
	crowded  atomic.Bool   // all threads are taken
	drain    atomic.Int32  // how far Drain is

	mu        sync.Mutex
	conns     map[uint64]*ownedConn // by token
	lastToken uint64
	ended     model.Ended
	leaving   int64       // bytes of connections which relieve has ended, and which have not given them up yet
	grace     *time.Timer // of Drain
	graceEnd  time.Time   // when it fires
	closing   bool        // Drain or Handover was called: no connection is adopted any more

	resting atomic.Int64   // listeners that are left alone for a while, after an error
	stop    func()         // ends accepting, soon
	pinged  []model.Pinged // the acceptors
	shards  [counterShards]counterShard

	accepting sync.WaitGroup // the acceptors
	all       sync.WaitGroup // the acceptors and every connection
}

// ownedTraits are what the models differ in.
type ownedTraits struct {
	// immovable: connections cannot be handed over; instead their next answer is their last.
	immovable bool
	// onThread: each connection is served by a thread, which has a Workspace of its own and runs the
	// connection's jobs itself. Else a Workspace is lent for each turn, and jobs run on Options.Pool.
	onThread bool
	// perConn is how many bytes the model holds for every connection, beside what that holds itself.
	perConn int
	// onSleep is told when a connection begins to wait within a turn for
	// something other than its socket, and when it has. It may be nil.
	onSleep func(c *ownedConn, waits bool)
	unknown conn.CallSet // system calls that others make for the model
}

func newOwnedServer(o Options, t ownedTraits) *ownedServer {
	o.Options = o.Complete()
	s := &ownedServer{ownedTraits: t, opts: o, open: o.Open, conns: make(map[uint64]*ownedConn)}
	s.share = s.opts.Budget.Join(func() { go s.relieve() })
	var log conn.AccessLog
	if o.NewLog != nil {
		log = o.NewLog()
	}
	s.publish(&settings{config: o.Config, connections: o.Connections, newHandler: o.NewHandler, log: log})
	return s
}

// Open implements [Server].
func (s *ownedServer) Open() int { return int(s.open.Load()) }

// Ping implements [Server]: the acceptors answer.
func (s *ownedServer) Ping(timeout time.Duration) error { return model.Ping(timeout, s.pinged) }

// How far Drain is.
const (
	notDraining int32 = iota
	draining          // each answer is its connection's last
	graceOver         // the time is up: connections are cut, not waited for
)

func (s *ownedServer) draining() bool  { return s.drain.Load() >= draining }
func (s *ownedServer) graceOver() bool { return s.drain.Load() == graceOver }

// Drain implements [Server]. It returns when nothing more is accepted.
func (s *ownedServer) Drain(grace time.Duration) {
	s.mu.Lock()
	first := s.drain.CompareAndSwap(notDraining, draining) // before the timer may set graceOver
	switch end := time.Now().Add(grace); {
	case s.grace == nil:
		s.closing, s.graceEnd = true, end
		s.grace = time.AfterFunc(grace, s.cutAll)
	case end.Before(s.graceEnd):
		s.graceEnd = end
		s.grace.Reset(grace)
	}
	s.mu.Unlock()
	if first {
		s.stop()
	}
	s.accepting.Wait()
}

// cutAll ends the connections that are left when the grace is over.
func (s *ownedServer) cutAll() {
	s.drain.Store(graceOver)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		s.interrupt(c, unix.SHUT_RDWR)
		c.wake()
	}
}

// ending reports whether accepting is to end.
func (s *ownedServer) ending() bool { return s.draining() || s.successor.Load() != nil }

// Wait implements [Server].
func (s *ownedServer) Wait() model.Ended {
	s.all.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grace != nil {
		s.grace.Stop()
	}
	if log := s.settings.Load().log; log != nil {
		log.Tick(math.MaxInt64) // later than anything can wait
	}
	s.share.Leave()
	return s.ended
}

// arrival is a connection that nobody serves yet.
type arrival struct {
	fd     int
	remote conn.Addr
	refuse bool
	moved  *conn.Conn // handed over by another server; nil: the connection is new
}

// start makes c, which has its transport, a connection of the server.
func (s *ownedServer) start(c *ownedConn, a arrival) {
	c.server, c.wakeup, c.countedPhase = s, make(chan struct{}, 1), conn.NumPhases
	c.beginTurn()
	if a.moved != nil {
		c.conn = *a.moved
		c.conn.Move(c.local)
	} else {
		c.local.Counters.Accepted++
		if a.refuse {
			c.local.Counters.Refused++
		}
		c.conn.Start(c.local, a.remote, a.refuse)
	}
	c.local.Hold(s.perConn)
	c.endTurn()
	s.all.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastToken++
	c.token = s.lastToken
	s.conns[c.token] = c
}

// forget takes a connection that has ended, or moved, off the server's books. s.mu is held.
func (s *ownedServer) forget(c *ownedConn) {
	delete(s.conns, c.token)
	s.leaving -= c.cut.Load()
	if !c.evicted {
		s.open.Add(-1)
	}
}

// admit counts a new connection. It reports false if it is one too many.
func (s *ownedServer) admit() bool { return s.opts.Admit(s.settings.Load().connections, s.evict) }

// evict ends the connection that can best be spared: the oldest of the first phase in the order of eviction that has
// one to spare. It looks at all of them, which is paid for beyond the limit alone.
func (s *ownedServer) evict() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best *ownedConn
	bestOrder, bestSince := len(model.EvictionOrder), int64(0)
	now := clock.Mono()
	for _, c := range s.conns {
		order, since := c.spared()
		if order > bestOrder || order == bestOrder && (best == nil || since >= bestSince) || c.evicted {
			continue
		}
		if model.Evictable(model.EvictionOrder[order], since, now) {
			best, bestOrder, bestSince = c, order, since
		}
	}
	if best == nil {
		return false
	}
	best.evicted = true
	s.addCounters(&conn.Counters{Evicted: 1})
	s.open.Add(-1)
	s.interrupt(best, unix.SHUT_RD) // what has arrived meanwhile is still answered
	return true
}

// interrupt ends a connection's waits for its socket. s.mu is held, or the connection is kept otherwise.
func (s *ownedServer) interrupt(c *ownedConn, how int) {
	s.addCounters(&conn.Counters{Calls: [conn.NumCalls]uint64{conn.CallShutdown: 1}})
	c.transport.interrupt(how)
}

// descriptors lists the sockets of all listeners once.
func descriptors(listeners [][]model.Listener) []int {
	var fds []int
	for _, list := range listeners {
		for _, l := range list {
			if !slices.Contains(fds, l.FD) {
				fds = append(fds, l.FD)
			}
		}
	}
	return fds
}
