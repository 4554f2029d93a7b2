package conn

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// admission is how far a connection has been let in, in bits.
type admission uint8

const (
	awaitsProxyHeader admission = 1 << iota // the header of the PROXY protocol has not come: the client is not known
	overConnections                         // the connection is over limits.connections: 503
	overPerClient                           // the connection is over limits.connections_per_client: 503
	clientDecided                           // the limit of connections per client was looked at
	clientCounted                           // the connection is counted in Config.Clients, and is to be uncounted
)

// clientShards is how many locks there are, so that loops seldom meet.
const clientShards = 64

// Clients counts open connections by client. One Clients is shared by all loops, and by the
// servers that hand connections over to each other. It takes a lock when a connection begins and when it
// ends, and holds as many entries as clients have connections.
type Clients struct {
	shards [clientShards]clientShard
}

type clientShard struct {
	mu      sync.Mutex
	clients map[Client]connCount
	_       [48]byte // the next one's lock is in another cache line
}

// Client is what the server counts as one client: an IPv4 address in its IPv6 form, or the first
// half of an IPv6 address, since a subscriber has a /64 at least (RFC 6177).
type Client [16]byte

// connCount is how many connections a client has.
type connCount struct{ served, refused int32 }

var clientSeed = maphash.MakeSeed()

// ClientOf returns the client of an address; the zero Addr, of a Unix socket, has the zero Client.
func ClientOf(ip netip.Addr) (k Client) {
	if ip.IsValid() {
		k = ip.As16()
	}
	if ip.Unmap().Is6() {
		clear(k[8:])
	}
	return k
}

// Client returns the client of the address.
func (a Addr) Client() Client { return ClientOf(a.AddrPort().Addr()) }

func (s *Clients) shard(k Client) *clientShard {
	return &s.shards[maphash.Comparable(clientSeed, k)%clientShards]
}

// refusedMin is how many connections of a client may be open to be refused, whatever its
// limit: a browser opens some at a time, and is to get its answers.
const refusedMin = 16

// enter counts a connection. A client that has limit of them gets as many more, at least refusedMin, that are refused,
// each of which holds a descriptor until it has asked: the first request gets 503, but for OPTIONS *. Further ones are
// not counted, and are to be closed at once.
func (s *Clients) enter(k Client, limit int) admission {
	sh := s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t, to := sh.clients[k], clientCounted
	switch {
	case int(t.served) < limit:
		t.served++
	case int(t.refused) < max(limit, refusedMin):
		t.refused++
		to |= overPerClient
	default:
		return 0
	}
	if sh.clients == nil {
		sh.clients = make(map[Client]connCount)
	}
	sh.clients[k] = t
	return to
}

// leave takes back what enter has counted.
func (s *Clients) leave(k Client, refused bool) {
	sh := s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.clients[k]
	if refused {
		t.refused--
	} else {
		t.served--
	}
	if t == (connCount{}) {
		delete(sh.clients, k)
	} else {
		sh.clients[k] = t
	}
}

// Len is the number of clients that have connections which are counted.
func (s *Clients) Len() (n int) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += len(sh.clients)
		sh.mu.Unlock()
	}
	return n
}

// decide counts the connection among those of its client, unless it is a proxy's,
// which has many clients, or a Unix socket's. limit is what the client may have.
func (c *Conn) decide(w *Workspace, limit int) {
	c.admission |= clientDecided
	if c.remote == (Addr{}) || w.Config.Trusted.Contains(c.remote) {
		return
	}
	to := w.Config.Clients.enter(c.remote.Client(), limit)
	c.admission |= to
	if to != clientCounted {
		w.Counters.RefusedClient++
	}
	if to == 0 {
		c.closing, c.closeNow = true, true
	}
}

// admit decides about a connection whose client has just become known.
func (c *Conn) admit(w *Workspace) {
	if limit := w.Config.ConnectionsPerClient; limit > 0 && c.admission&overConnections == 0 {
		c.decide(w, limit)
	}
}

// CountClient counts a connection that began when there was no limit. It goes on
// however many its client has: a reload cuts nobody off.
func (c *Conn) CountClient(w *Workspace) {
	if w.Config.ConnectionsPerClient > 0 && c.admission&(clientDecided|awaitsProxyHeader|overConnections) == 0 {
		const all = 1 << 30
		c.decide(w, all)
	}
}

// UncountClient takes back what was counted. It is for a connection that is closed where
// there is no [Workspace], in place of Release, and therefore has to be Movable.
func (c *Conn) UncountClient(cfg *Config) {
	if c.admission&clientCounted != 0 {
		cfg.Clients.leave(c.remote.Client(), c.admission&overPerClient != 0)
	}
	c.admission = clientDecided
}

// Dismissed reports whether a connection that was just started is to be closed at once, because its
// client has too many. A Step does that; a model which has to wait before the first Step asks here.
func (c *Conn) Dismissed() bool { return c.closing && c.requests == 0 && c.closeNow }

// refused reports whether the connection's first request gets 503, and is its last. OPTIONS * is
// answered as ever: a health check is to tell a busy server from one that hangs.
func (c *Conn) refused() bool { return c.admission&(overConnections|overPerClient) != 0 }

// refusal names the limit.
func (c *Conn) refusal() string {
	if c.admission&overConnections != 0 {
		return "too many connections (limits.connections)"
	}
	return "too many connections of this client (limits.connections_per_client)"
}
