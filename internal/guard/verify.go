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
	// rightMax and wrongMax bound the remembered comparisons, of 32 bytes each.
	// Only who knows a password can add to those that were right.
	rightMax = 4096
	wrongMax = 1024
	// secretLen is the length of the key that comparisons are remembered with, in bytes.
	secretLen = 32
)

// outcome is what became of a user's name and password.
type outcome uint8

const (
	outcomeUnknown outcome = iota // not compared
	outcomeRight
	outcomeWrong
	outcomeBusy  // too many comparisons are under way
	outcomeFlood // too many of them are this client's
)

// Verifier compares passwords with bcrypt hashes, and remembers what came of it. It is
// safe for use by any number of goroutines. A reload keeps it, so that who came in before need not wait again.
type Verifier struct {
	secret [secretLen]byte
	mu     sync.Mutex // held by who remembers
	right  atomic.Pointer[map[digest]struct{}]
	wrong  atomic.Pointer[map[digest]struct{}]
	gate   gate
}

// digest stands for a comparison: of a hash with a name and a password. It is made with a key of
// this process alone, and neither can be had from it.
type digest [sha256.Size]byte

// NewVerifier returns one that makes so many comparisons at a time, and has
// so many under way, with those that wait for their turn.
func NewVerifier(running, within int) *Verifier {
	v := &Verifier{gate: newGate(running, within)}
	rand.Read(v.secret[:]) // it cannot fail (Go 1.24)
	v.right.Store(&map[digest]struct{}{})
	v.wrong.Store(&map[digest]struct{}{})
	return v
}

// hash is the user's bcrypt hash. A name that is not in u has one too, that no password fits, of the cost
// that some user's has: it is always the same one, so that
// neither the time of one attempt nor that of the next tells that there is no such user.
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

// digest is that of comparing hash with credentials, name:password.
func (v *Verifier) digest(hash *[hashLen]byte, credentials []byte) digest {
	var b [secretLen + hashLen + credentialsMax]byte
	n := copy(b[:], v.secret[:])
	n += copy(b[n:], hash[:])
	n += copy(b[n:], credentials)
	return sha256.Sum256(b[:n])
}

// remembered is what an earlier comparison found; outcomeUnknown: there was none.
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
func (v *Verifier) compare(hash *[hashLen]byte, password []byte, d digest, client conn.Client) outcome {
	if full := v.gate.enter(client); full != outcomeUnknown {
		return full
	}
	defer v.gate.leave(client)
	if known := v.remembered(d); known != outcomeUnknown {
		return known // while it waited
	}
	if bcrypt.CompareHashAndPassword(hash[:], password) != nil {
		v.remember(&v.wrong, d, wrongMax)
		return outcomeWrong
	}
	v.remember(&v.right, d, rightMax)
	return outcomeRight
}

// remember adds to a set that is never changed by putting another in its place:
// who asks takes no lock, and copying it is nothing beside a comparison. A full set loses any one.
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

// gate bounds the comparisons under way, so that a flood of wrong passwords takes
// neither all workers nor all CPUs, and those of one client, so that
// others can still come in meanwhile.
type gate struct {
	mu     sync.Mutex
	within []conn.Client // whose comparisons are under way
	most   int           // of all
	each   int           // of one client
	turn   chan struct{}
}

func newGate(running, within int) gate {
	within = max(within, 1)
	return gate{most: within, each: (within + 1) / 2, turn: make(chan struct{}, max(min(running, within), 1))}
}

// enter waits for a turn, behind at most all others that are within, and
// returns outcomeUnknown; or it says that there are too many.
func (g *gate) enter(client conn.Client) outcome {
	if full := g.admit(client); full != outcomeUnknown {
		return full
	}
	g.turn <- struct{}{}
	return outcomeUnknown
}

func (g *gate) admit(client conn.Client) outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := 0
	for _, other := range g.within {
		if other == client {
			own++
		}
	}
	switch {
	case own >= g.each && client != conn.Client{}: // at a Unix socket all are one
		return outcomeFlood
	case len(g.within) >= g.most:
		return outcomeBusy
	}
	g.within = append(g.within, client)
	return outcomeUnknown
}

func (g *gate) leave(client conn.Client) {
	<-g.turn
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.within {
		if other == client {
			last := len(g.within) - 1
			g.within[i] = g.within[last]
			g.within = g.within[:last]
			return
		}
	}
}
