package guard

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/evhttpd/evhttpd/clock"
	"github.com/evhttpd/evhttpd/conn"
)

const (
	// The table has rateShards locks, with rateSets sets of rateWays clients each: 131,072 clients in 2 MiB.
	rateShards = 256
	rateSets   = 64
	rateWays   = 8
	// retryMax is the longest Retry-After, in seconds. The rate of one request in an hour is the lowest.
	retryMax = 3600
)

// Rate is how many requests a client may make; the zero Rate is no limit.
type Rate struct {
	Count int           // in each Per, on average
	Per   time.Duration // a second, a minute or an hour
	Burst int           // at once, before the average counts; at least 1
}

// ratePeriods are what a rate may be counted in.
var ratePeriods = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

var rateForm = regexp.MustCompile(`^\s*(\d+)/([smh])(?:\s+burst\s+(\d+))?\s*$`)

// ParseRate reads a rate such as "50/s burst 100"; the burst is the count itself if it is left out. Nothing is no
// limit.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return Rate{}, nil
	}
	if m := rateForm.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseUint(m[1], 10, 31)
		b, err2 := strconv.ParseUint(cmp.Or(m[3], m[1]), 10, 31)
		if err == nil && err2 == nil && n > 0 && b > 0 {
			return Rate{Count: int(n), Per: ratePeriods[m[2]], Burst: int(b)}, nil
		}
	}
	return Rate{}, fmt.Errorf("%q: want a number per s, m or h and what may come at once, such as \"50/s burst 100\","+
		" or \"\" for no limit", s)
}

// String returns the rate as ParseRate reads it.
func (r Rate) String() string {
	for name, per := range ratePeriods {
		if r.Per == per {
			return fmt.Sprintf("%d/%s burst %d", r.Count, name, r.Burst)
		}
	}
	return ""
}

// Limiter holds each client to a rate of requests by the generic cell rate algorithm (ITU-T I.371): a leaky bucket
// whose state is one number. It is safe for use by any number of goroutines, and allocates nothing.
//
// What is remembered of a client is the time at which its bucket will be empty, and only until then. The table has a
// fixed number of sets, and a keyed hash chooses the set of a client. In a full set the client whose bucket is the
// emptiest makes room, because it loses the least by being forgotten. A client that wants to be forgotten with a full
// bucket has to fill the buckets of seven other addresses in the same set first, and cannot know which these are.
type Limiter struct {
	interval int64 // nanoseconds that one request takes up
	most     int64 // nanoseconds that a full bucket holds
	seed     maphash.Seed
	reason   string       // of a refusal
	now      func() int64 // reads Clock.Mono
	retry    []string     // the field Retry-After, by seconds
	shards   [rateShards]rateShard
}

type rateShard struct {
	mu   sync.Mutex
	sets [rateSets][rateWays]bucket
	_    [64]byte // so that two locks are never in one cache line
}

// bucket is what is known of one client.
type bucket struct {
	client uint64 // the keyed hash of its address
	empty  int64  // Clock.Mono when nothing is in it any more
}

// NewLimiter returns a limiter; nil, which limits nobody, for the zero Rate.
func NewLimiter(r Rate) *Limiter {
	if r.Count <= 0 {
		return nil
	}
	l := &Limiter{seed: maphash.MakeSeed(), now: clock.Mono}
	l.interval = min(max(int64(r.Per)/int64(r.Count), 1), retryMax*int64(time.Second))
	l.most = math.MaxInt64 / 2
	if over, held := bits.Mul64(uint64(l.interval), uint64(max(r.Burst, 1))); over == 0 && held < math.MaxInt64/2 {
		l.most = int64(held)
	}
	l.reason = fmt.Sprintf("more requests than limits.requests_per_client allows: %d in %v, %d at once (RFC "+
		"6585 section 4)",
		r.Count, r.Per, max(r.Burst, 1))
	for s := range seconds(l.interval) + 1 {
		l.retry = append(l.retry, fmt.Sprintf("Retry-After: %d\r\n", max(s, 1)))
	}
	return l
}

// seconds are the seconds that have begun in so many nanoseconds.
func seconds(nanos int64) int { return int((nanos + int64(time.Second) - 1) / int64(time.Second)) }

// Check puts the request into its client's bucket. If there is no room for it, it is answered with 429, and done is
// true. A client without an address, at a Unix socket, is not limited: it is a proxy with all its clients.
func (l *Limiter) Check(out *conn.Output) (done bool) {
	if l == nil {
		return false
	}
	wait := l.take(out.Remote().AddrPort().Addr(), out.Clock().Mono)
	if wait == 0 {
		return false
	}
	out.Fail(429, l.retry[seconds(wait)], l.reason)
	return true
}

// take puts a request into the client's bucket at that time (Clock.Mono). It returns 0, or the nanoseconds until
// there is room for the request. The time is that of the loop's batch, which may have begun before the client had
// this request to send, and before the batch of another loop in which its last request was answered. So the clock is
// read before a request is refused.
func (l *Limiter) take(client netip.Addr, mono int64) (wait int64) {
	if !client.IsValid() {
		return 0
	}
	h := l.hash(client)
	shard := &l.shards[h%rateShards]
	set := &shard.sets[h/rateShards%rateSets]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	b := &set[0]
	for i := range set {
		if set[i].client == h {
			b = &set[i]
			break
		}
		if set[i].empty < b.empty {
			b = &set[i]
		}
	}
	if b.client != h {
		*b = bucket{client: h}
	}
	after, over := l.fill(b, mono)
	if over > 0 {
		after, over = l.fill(b, max(mono, l.now()))
	}
	if over > 0 {
		return min(over, l.interval) // it is never more, unless the clock went back
	}
	b.empty = after
	return 0
}

// fill is the time at which the bucket would be empty with one request more, and by how many nanoseconds it would be
// too full.
func (l *Limiter) fill(b *bucket, mono int64) (after, over int64) {
	after = max(b.empty, mono) + l.interval
	return after, after - mono - l.most
}

// hash is the keyed hash of a client.
func (l *Limiter) hash(address netip.Addr) uint64 {
	return maphash.Comparable(l.seed, conn.ClientOf(address))
}
