package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/poller"
)

// request is one in flight.
type request struct {
	due    int64 // when it was due (open loop) or begun (closed loop), on the loop's clock
	target int32
}

// delay is a connection to be looked at again at a time.
type delay struct {
	token poller.Token
	at    int64
}

// group is the connections of one role on one loop.
type group struct {
	*Role
	addr     unix.Sockaddr
	result   RoleResult
	inFlight int64
	left     int64 // requests that may yet be begun; negative: no bound
	random   *rand.Rand
	turn     int         // of the targets, the next one of a role that asks for them in turn
	step     int         // from there to this loop's next
	statuses [1000]int64 // answers by status, which has three digits
	contents int         // answers whose content could have been compared
	every    int         // of them are compared; negative: none

	// An open loop's schedule: request next is due at start + next × interval.
	start    int64
	interval float64 // nanoseconds
	next     int64
	free     fifo[uint32] // connections with room for a request

	paused fifo[delay] // slow readers until their next portion
}

// newGroup makes loop's share of a role: of count connections, after those
// before it have got first.
func newGroup(r *Role, opts *Options, loop, first, count int) group {
	g := group{Role: r, addr: r.Addr.sockaddr(), result: newRoleResult(r.Name), left: -1, every: opts.CheckEvery}
	if r.Requests > 0 {
		g.left = share(r.Requests, first+count, r.Connections) - share(r.Requests, first, r.Connections)
	}
	if r.Rate > 0 {
		g.interval = 1e9 / (r.Rate * float64(count) / float64(r.Connections))
	}
	if r.InTurn && len(r.Targets) > 0 {
		g.turn, g.step = loop%len(r.Targets), opts.Loops%len(r.Targets)
	}
	if r.weights != nil {
		g.random = rand.New(rand.NewPCG(opts.Seed, uint64(loop)))
	}
	return g
}

// share is total × part / whole, without overflow for what check lets through.
func share(total int64, part, whole int) int64 {
	return total/int64(whole)*int64(part) + total%int64(whole)*int64(part)/int64(whole)
}

// openLoop reports whether requests have times of their own.
func (g *group) openLoop() bool { return g.Rate > 0 }

// nextDue is when an open loop's next request is due.
func (g *group) nextDue() int64 {
	if g.left == 0 {
		return math.MaxInt64
	}
	return g.start + int64(float64(g.next)*g.interval)
}

// take claims the next request, if one may be begun now: nothing due at or after until is.
func (g *group) take(now, until int64) (due int64, ok bool) {
	due = now
	if g.openLoop() {
		due = g.nextDue()
	}
	if g.left == 0 || due > now || due >= until {
		return 0, false
	}
	g.next++
	if g.left > 0 {
		g.left--
	}
	return due, true
}

// pick chooses a target.
func (g *group) pick() int32 {
	if g.InTurn {
		now := g.turn
		if g.turn += g.step; g.turn >= len(g.Targets) {
			g.turn -= len(g.Targets)
		}
		return int32(now)
	}
	if g.weights == nil {
		return 0
	}
	at := g.random.Float64() * g.weights[len(g.weights)-1]
	return int32(min(sort.SearchFloat64s(g.weights, math.Nextafter(at, math.MaxFloat64)), len(g.weights)-1))
}

// compares decides whether the next content is compared with what is expected.
func (g *group) compares() bool {
	if g.every < 0 {
		return false
	}
	g.contents++
	return (g.contents-1)%g.every == 0
}

// finished reports whether the role will make no more requests and waits for none.
func (g *group) finished() bool { return g.Idle || g.left == 0 && g.inFlight == 0 }

// drained reports whether, after the window, there is nothing left to wait for.
func (g *group) drained(now, until int64) bool {
	switch {
	case g.Idle || g.ReadRate > 0:
		return true
	case g.openLoop() && g.nextDue() < until:
		return false
	}
	return g.inFlight == 0
}

// sum makes the statuses a part of the result.
func (g *group) sum() {
	for status, n := range g.statuses {
		if n > 0 {
			g.result.Statuses[status] = n
		}
	}
}

// note describes the first failure of a kind: the text is not built for every one of a million.
func (g *group) note(f Failure, format string, args ...any) {
	if g.result.First[f] == "" {
		g.result.First[f] = fmt.Sprintf(format, args...)
	}
}
