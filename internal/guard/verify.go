package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"

	"github.com/evhttpd/evhttpd/conn"
)

const (
	// rightMax and wrongMax bound the remembered comparisons, of 32 bytes each. Only a client who knows a password
	// can add to those that were right.
	rightMax = 4096
	wrongMax = 1024
	// secretLen is the length of the key that comparisons are remembered with, in bytes.
	secretLen = 32
)

// outcome is what a comparison of a user's name and password found.
type outcome uint8

const (
	outcomeUnknown outcome = iota // they were not compared
	outcomeRight
	outcomeWrong
	outcomeBusy  // too many comparisons are under way
	outcomeFlood // too many comparisons of this client are under way
)

// Verifier compares passwords with bcrypt hashes, and remembers the outcomes. It is safe for use by any number of
// goroutines. A reload keeps it, so that users who came in before need not wait again.
type Verifier struct {
	secret [secretLen]byte
	mu     sync.Mutex // held while right and wrong are replaced
	right  atomic.Pointer[map[digest]struct{}]
	wrong  atomic.Pointer[map[digest]struct{}]
	gate   gate
}

// digest stands for a comparison of a hash with a name and a password. It is made with a key that only this process
// has, so that neither can be found out from it.
type digest [sha256.Size]byte

// comparison is what a password is compared with.
type comparison struct {
	hash   [hashLen]byte
	digest digest
}

// NewVerifier returns a Verifier that makes at most running comparisons at a time. within bounds the comparisons that
// run or wait for their turn, half of which one client may have.
func NewVerifier(running, within int) *Verifier {
	v := &Verifier{gate: newGate(running, within)}
	rand.Read(v.secret[:]) // it cannot fail (Go 1.24)
	v.right.Store(&map[digest]struct{}{})
	v.wrong.Store(&map[digest]struct{}{})
	return v
}

// hash is the user's bcrypt hash. A name that is not in u has a hash too, which no password fits. It has the cost of
// some user's hash and is always the same, so that neither the time of one attempt nor that of the next tells that
// there is no such user.
func (v *Verifier) hash(u *users, name []byte, dst *[hashLen]byte) {
	if hash, ok := u.hashes[string(name)]; ok {
		copy(dst[:], hash)
		return
	}
	var b [secretLen + nameMax + 1]byte
	n := copy(b[:], v.secret[:])
	n += copy(b[n:], name)
	seed := sha256.Sum256(b[:n])
	n = copy(dst[:], u.costs[binary.LittleEndian.Uint64(seed[:])%uint64(len(u.costs))])
	for i := range dst[n:] {
		dst[n+i] = bcryptDigits[seed[i%len(seed)]%uint8(len(bcryptDigits))]
	}
}

// digest is the digest of comparing a hash with credentials, name:password.
func (v *Verifier) digest(hash *[hashLen]byte, credentials []byte) digest {
	var b [secretLen + hashLen + credentialsMax]byte
	n := copy(b[:], v.secret[:])
	n += copy(b[n:], hash[:])
	n += copy(b[n:], credentials)
	return sha256.Sum256(b[:n])
}

// remembered is what an earlier comparison found, or outcomeUnknown.
func (v *Verifier) remembered(d digest) outcome {
	if _, ok := (*v.right.Load())[d]; ok {
		return outcomeRight
	}
	if _, ok := (*v.wrong.Load())[d]; ok {
		return outcomeWrong
	}
	return outcomeUnknown
}

// compare compares, unless too many comparisons are under way.
func (v *Verifier) compare(c *comparison, password []byte, client conn.Client) outcome {
	if full := v.gate.admit(client); full != outcomeUnknown {
		return full
	}
	v.gate.turn <- struct{}{}
	defer v.gate.leave(client)
	if known := v.remembered(c.digest); known != outcomeUnknown {
		return known // found while this one waited
	}
	if bcrypt.CompareHashAndPassword(c.hash[:], password) != nil {
		v.remember(&v.wrong, c.digest, wrongMax)
		return outcomeWrong
	}
	v.remember(&v.right, c.digest, rightMax)
	return outcomeRight
}

// remember replaces a set by a copy that has d too. So a reader takes no lock, and copying costs nothing beside a
// comparison. A full set loses any one of its digests.
func (v *Verifier) remember(set *atomic.Pointer[map[digest]struct{}], d digest, most int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := maps.Clone(*set.Load())
	for old := range next { // a map's order is random
		if len(next) < most {
			break
		}
		delete(next, old)
	}
	next[d] = struct{}{}
	set.Store(&next)
}

// gate bounds the comparisons under way, so that a flood of wrong passwords takes neither all workers nor all CPUs.
// It also bounds the comparisons of one client, so that others can still come in meanwhile.
type gate struct {
	mu     sync.Mutex
	within map[conn.Client]int // comparisons under way of each client
	all    int                 // comparisons under way
	most   int                 // how many there may be
	least  int                 // below which most is not set
	each   int                 // how many of one client
	turn   chan struct{}       // has an element for each comparison that runs
}

func newGate(running, within int) gate {
	within = max(within, 1)
	return gate{
		within: make(map[conn.Client]int), least: within, most: within, each: (within + 1) / 2,
		turn: make(chan struct{}, max(min(running, within), 1)),
	}
}

// Widen lets that many comparisons run or wait for their turn, at least as many as NewVerifier was told, and of one
// client no more than that allows. Where comparisons are made on the connections' own threads, no queue keeps others
// waiting in front of the gate, and a flood from a few addresses would have them refused.
func (v *Verifier) Widen(within int) {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.gate.most = max(within, v.gate.least)
}

// admit lets a comparison in, which then waits for its turn, at most behind all others that are within, and returns
// outcomeUnknown. Or it says that there are too many.
func (g *gate) admit(client conn.Client) outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.within[client] >= g.each && client != conn.Client{}: // at a Unix socket all are one
		return outcomeFlood
	case g.all >= g.most:
		return outcomeBusy
	}
	g.within[client]++
	g.all++
	return outcomeUnknown
}

func (g *gate) leave(client conn.Client) {
	<-g.turn
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.within[client]--; g.within[client] == 0 {
		delete(g.within, client)
	}
}
