// Package load is a client that measures HTTP/1.x servers: closed loop (the
// next request when the last is answered) or open loop (a fixed rate, latencies
// from when a request was due), with every answer's status and length checked
// and contents compared. Answers of HTTP/1.1 and HTTP/1.0 are taken, with a length,
// chunked, or until the end of the stream. A loop is one goroutine on a thread of
// its own over the project's poller; nothing is allocated for a request.
//
//	page := load.Target{Path: "/1k.html", Status: 200, Body: content}
//	result, err := load.Run(ctx, load.Options{
//		Duration: 2 * time.Second,
//		Roles: []load.Role{{Name: "small", Addr: load.TCP(addr), Connections: 64, Targets: []load.Target{page}}},
//	})
//
// [Learn] asks a server for what its answers are to be compared with. Roles are groups of connections that behave alike
// and are counted apart: one run can hold a greedy pipelining client, a download and 16 clients with small requests.
//
// It connects to the addresses it is given and to nothing else.
//
// It imports poller, socket, github.com/HdrHistogram/hdrhistogram-go and golang.org/x/sys.
package load

import (
	"slices"
	"time"
)

// Options say what a run does. Only Roles and Duration have no default.
type Options struct {
	Roles []Role
	// Duration is the measured window, which begins WarmUp after the first
	// request. A run ends earlier when every role has a number of Requests and all are answered.
	Duration time.Duration
	WarmUp   time.Duration
	// Ramp bounds the time before the first request in which connections are
	// opened and idle ones make theirs (default 10 s); a connection that has not got
	// through by then is left trying.
	Ramp time.Duration
	// Drain bounds the time after the window in which answers are waited for (default 1 s).
	Drain time.Duration
	// Timeout is how long an answer may bring no byte, and a connect take,
	// before the connection is given up (default 10 s, at most 60 s). It is
	// looked at ten times in its length: the real bound is up to a tenth longer.
	Timeout time.Duration
	// Loops is the number of threads (default 1). Connections and rates are shared out among them.
	Loops int
	// CPUs, if any, are those that the loops are pinned to, in turn (Linux only).
	CPUs []int
	// CheckEvery has every nth content of a role compared with its target's
	// Body (default 16); 1: all; negative: none. Status and length are always checked.
	CheckEvery int
	// Seed makes the choice among weighted targets repeatable.
	Seed uint64
	// OnBegin and OnEnd, if set, are called when the window opens and when it
	// closes, for counters of the server to be read over the same time. They
	// run on a goroutine of their own and hold no loop up.
	OnBegin, OnEnd func()
}

// Role is a group of connections that behave alike.
type Role struct {
	Name        string
	Addr        Addr
	Connections int
	// Targets are what is asked for, at random by weight.
	Targets []Target
	// InTurn has the targets asked for one after the other, in their order and from the beginning again, instead.
	// Several loops each take every so many-th.
	InTurn bool
	// Pipeline is how many requests a connection has in flight (default 1, at most 4096).
	Pipeline int
	// Rate makes the role an open loop: so many requests/s, due at even
	// intervals whatever the answers do; it may be less than 1. A request that finds no connection
	// free waits, and its latency counts from when it was due. 0: closed loop.
	Rate float64
	// CloseEach has each request make its own connection, and say so. The
	// latency contains the connect.
	CloseEach bool
	// Idle connections make one request of the first target (none without
	// targets) before the others begin, and are then silent.
	Idle bool
	// Greet has each connection make one request of the first target before the
	// others begin, as idle ones do, so that the server has accepted and served it when the first
	// request is due. It does not count among Requests that the role makes in all; CloseEach has no use for it.
	Greet bool
	// ReadRate is how many bytes/s each connection reads, at most; 0: no limit.
	// The end of a run does not wait for such a role.
	ReadRate int
	// RecvBuffer is SO_RCVBUF in bytes, set before the connect; 0: the system's own. Linux doubles it.
	RecvBuffer int
	// Requests is how many the role makes in all; 0: as many as there is time for.
	Requests int64

	// What follows from these, once they are checked:
	weights []float64 // sums up to each target's own; nil if there is one target
	chunk   int       // bytes that a slow reader reads at a time
	tick    int64     // nanoseconds from one such time to the next
}

// AnyLength as a Target's Length accepts every length.
const AnyLength = -1

// AnyStatus and SuccessStatus as a Target's Status accept every status, or those from 200 to 399.
const (
	AnyStatus     = -1
	SuccessStatus = -2
)

// Target is a request and the answer it must get.
type Target struct {
	Method string   // default GET
	Path   string   // the request target as sent; default /
	Host   string   // the Host field; default the role's address
	Fields []string // further fields, each "Name: value"; not Host, Content-Length and Transfer-Encoding
	// Content is sent with the request, not changed during a run. Requests in flight are copies of it.
	Content []byte
	Weight  float64 // among the role's targets; 0 means 1

	Status int    // expected; default 200
	Length int64  // expected length of the content in bytes, by Content-Length where there is one; not needed with Body
	Body   []byte // expected content, not changed during a run; nil: only its length is checked

	request []byte // head and content as they are sent, once it is checked
}

// Failure is a way in which something went wrong.
type Failure uint8

// Failures of a connection are counted once each, and the requests it had in
// flight are Lost; those from WrongStatus on are one answer each.
const (
	Refused      Failure = iota // connect: ECONNREFUSED
	Unreachable                 // connect: any other error, local ports used up among them
	Reset                       // ECONNRESET or EPIPE on an open connection
	Short                       // the stream ended before the answers did
	Timeout                     // no byte for Options.Timeout
	Malformed                   // not an HTTP/1.x response, or bytes that nobody asked for
	WrongStatus                 // not the target's status
	WrongLength                 // not the target's length
	WrongContent                // not the target's bytes
	NumFailures
)

// String names the failure.
func (f Failure) String() string {
	return [...]string{"refused", "unreachable", "reset", "short", "timeout", "malformed",
		"wrong status", "wrong length", "wrong content", "none"}[min(f, NumFailures)]
}

// Counts are what a role did. But for Completed and Bytes they cover the whole
// run, since a failure must not hide in the warm-up. When it is over
//
//	Requests = Answered + Failures[WrongStatus .. WrongContent] + Lost + Unanswered
type Counts struct {
	Requests   int64 `json:"requests"`   // begun: sent, or meant for a connection that could not be opened
	Answered   int64 `json:"answered"`   // with the right answer
	Completed  int64 `json:"completed"`  // right answers that arrived within the window
	Lost       int64 `json:"lost"`       // in flight on a connection that failed
	Unanswered int64 `json:"unanswered"` // in flight when the run ended
	Unsent     int64 `json:"unsent"`     // open loop: due in the window and never begun, for want of a connection
	// Resent were sent again, being behind an answer that said Connection: close (RFC 9112 section 9.6).
	Resent   int64 `json:"resent"`
	Bytes    int64 `json:"bytes"` // of content, received within the window
	Compared int64 `json:"-"`     // contents compared in full

	Opened   int64              `json:"connections_opened"`           // again ones included
	Served   int64              `json:"-"`                            // connections that got a right answer once
	Closed   int64              `json:"connections_closed_by_server"` // between two requests
	Failures [NumFailures]int64 `json:"-"`                            // by kind
}

// Failed is the number of failures of all kinds.
func (c *Counts) Failed() int64 {
	var sum int64
	for _, n := range c.Failures {
		sum += n
	}
	return sum
}

func (c *Counts) add(o *Counts) {
	for _, each := range [][2]*int64{{&c.Requests, &o.Requests}, {&c.Answered, &o.Answered},
		{&c.Completed, &o.Completed}, {&c.Lost, &o.Lost}, {&c.Unanswered, &o.Unanswered}, {&c.Unsent, &o.Unsent},
		{&c.Resent, &o.Resent}, {&c.Bytes, &o.Bytes}, {&c.Compared, &o.Compared}, {&c.Opened, &o.Opened},
		{&c.Served, &o.Served}, {&c.Closed, &o.Closed}} {
		*each[0] += *each[1]
	}
	for i, n := range o.Failures {
		c.Failures[i] += n
	}
}

// RoleResult is what became of one role.
type RoleResult struct {
	Name string
	Counts
	// Statuses counts the answers by status, wrong ones included, over the whole run.
	Statuses map[int]int64
	// First describes the first failure of each kind; "" where there was none.
	First [NumFailures]string
	// Latency is of right answers to requests sent (closed loop) or due (open
	// loop) in the window. What was given up on counts with the time it had
	// waited, a lower bound: timeouts, and in an open loop Unanswered and Unsent.
	Latency Latency
	// LagMax is how late, at worst, an open loop's request was begun though a
	// connection was free: the client's own part of its latency.
	LagMax time.Duration
}

// LoopResult is what a loop cost the client, over the window.
type LoopResult struct {
	CPU   time.Duration // of its thread, user and system
	Known bool          // false where the system does not tell (CPU is then 0)
	Share float64       // CPU by the window's length
	// Preempted counts how often the thread had to give its CPU to another
	// (ru_nivcsw): a client that shares its CPU is as good as saturated.
	Preempted int64
}

// Result is what a run found.
type Result struct {
	Began  time.Time     // when the first request was due: open loops count from here
	Window time.Duration // measured
	Roles  []RoleResult  // as in Options
	Loops  []LoopResult
}

// saturatedShare of a CPU is more than a loop that still has time to wait uses.
const saturatedShare = 0.9

// Saturated reports whether a loop used its CPU up, so that the figures may be the client's own limit.
func (r *Result) Saturated() bool {
	return slices.ContainsFunc(r.Loops, func(l LoopResult) bool { return l.Share >= saturatedShare })
}

// Rate is right answers/s of a role, or of any Counts of this run.
func (r *Result) Rate(c *Counts) float64 {
	if r.Window <= 0 {
		return 0
	}
	return float64(c.Completed) / r.Window.Seconds()
}

func newRoleResult(name string) RoleResult {
	return RoleResult{Name: name, Statuses: make(map[int]int64), Latency: newLatency()}
}

// merge adds another result to r; Latency's percentiles are not taken yet.
func (r *RoleResult) merge(o *RoleResult) {
	r.add(&o.Counts)
	r.LagMax = max(r.LagMax, o.LagMax)
	r.Latency.Histogram.Merge(o.Latency.Histogram)
	for status, n := range o.Statuses {
		r.Statuses[status] += n
	}
	for i, text := range o.First {
		if r.First[i] == "" {
			r.First[i] = text
		}
	}
}
