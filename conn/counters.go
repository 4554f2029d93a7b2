package conn

import (
	"math"
	"math/bits"
	"time"
	"unsafe"
)

// Call is a kind of system call that the server makes for its connections.
type Call uint8

const (
	CallAccept   Call = iota // accept4(2)
	CallRecv                 // recv(2)
	CallSend                 // send(2), sendmsg(2)
	CallSendFile             // sendfile(2)
	CallShutdown             // shutdown(2)
	CallClose                // close(2) of a connection
	// CallControl tells the poller what to watch: epoll_ctl(2), sigio's fcntl(2), kevent(2) with changes.
	CallControl
	// CallWait asks the poller: epoll_wait(2), ppoll(2), pselect6(2), sigio's read(2), io_uring_enter(2), kevent(2).
	CallWait
	NumCalls
)

var (
	callNames  = [NumCalls]string{"accept", "recv", "send", "sendfile", "shutdown", "close", "control", "wait"}
	phaseNames = [NumPhases]string{"first_byte", "head", "body", "sending", "deferred", "lingering", "idle"}
	classNames = [NumJobClasses]string{"file", "compress", "list", "verify"}
)

// String names the call.
func (c Call) String() string { return nameOf(callNames[:], uint8(c), "unknown") }

// String names the phase.
func (p Phase) String() string { return nameOf(phaseNames[:], uint8(p), "none") }

// String names the class.
func (c JobClass) String() string { return nameOf(classNames[:], uint8(c), "none") }

func nameOf(names []string, i uint8, other string) string {
	if int(i) >= len(names) {
		return other
	}
	return names[i]
}

// HistogramBuckets is the number of a Histogram's buckets.
const HistogramBuckets = 28

// Histogram counts durations in buckets whose bounds double: bucket i is for up
// to 1,024 ns << i, which is 69 s for the last but one; the last is for what is longer.
type Histogram struct {
	Buckets [HistogramBuckets]uint64
	Sum     uint64 // nanoseconds
}

// Observe counts n equal durations, in nanoseconds; a negative one is 0.
func (h *Histogram) Observe(n uint64, nanos int64) {
	took := uint64(max(nanos, 0))
	h.Buckets[min(bits.Len64((max(took, 1)-1)>>10), HistogramBuckets-1)] += n
	h.Sum += n * took
}

// HistogramBound is the longest duration that bucket i counts, math.MaxInt64 for the last one.
func HistogramBound(i int) time.Duration {
	if i >= HistogramBuckets-1 {
		return math.MaxInt64
	}
	return 1024 << i
}

// Count is how many durations were counted.
func (h *Histogram) Count() uint64 { return total(h.Buckets[:]) }

// Counters are what happened to the connections of one loop, or thread, or of
// several: the sum of two is made by Add. A loop owns its own and counts without
// locks or atomics; others get copies. All but Connections and the last four only grow. Each field but the last is a
// count of eight bytes, or several (Add).
type Counters struct {
	// Requests are the answered ones, by the first digit of the status; 0: none of 1 to 5.
	Requests [6]uint64
	// Latency is the time from a request's first byte to when the kernel had the whole answer (for an
	// answer in memory: to when it was queued). It is told by the clock of batches: an answer begun
	// and ended in one batch took as long as the batch.
	Latency  Histogram
	Timeouts [NumPhases]uint64 // timers that ended a request or a connection

	Received   uint64 // bytes received
	SentCopied uint64 // bytes copied to be sent: heads, bodies of at most 4 KiB, files that sendfile(2) does not do
	SentMemory uint64 // bytes sent from where they are cached
	SentFile   uint64 // bytes sent by sendfile(2)

	FilesChanged uint64 // answers cut short because their file was changed in place

	// What a handler counts.

	CacheHits   uint64 // requests answered by what was known
	CacheMisses uint64 // requests for a path of which nothing was known: the file system was asked
	CacheLooks  uint64 // requests for which what was known was compared with the file again

	// What an IO model counts.

	Accepted      uint64 // connections that were accepted
	Refused       uint64 // accepted connections over limits.connections: the first request gets 503
	RefusedClient uint64 // accepted connections over limits.connections_per_client: 503, or closed at once
	Evicted       uint64 // connections closed to make room for new ones: idle, or slow to send a request
	Relieved      uint64 // connections closed for the memory that they held, to keep within limits.buffers
	AcceptErrors  uint64 // errors of accepting, but for an empty queue

	Calls      [NumCalls]uint64 // system calls, but for those that a signal ended early
	Again      [NumCalls]uint64 // system calls that answered EAGAIN
	Operations uint64           // requests to io_uring, many of which one call submits
	Overflows  uint64           // overflows of the queue that tells a poller (sigio)

	Waits    uint64    // waits of loops for events
	Events   uint64    // events that the waits gave
	Batch    Histogram // from a wait's return to the end of what it gave to do: a loop's lag
	Lateness Histogram // of timers, from when they were due to when they ran

	JobsSubmitted uint64 // jobs for the workers
	JobsRefused   uint64 // jobs for which the queue was full: 503
	JobsDone      uint64 // jobs that have ended
	JobsDropped   uint64 // jobs of JobsDone that no connection waited for any more

	Connections [NumPhases]uint64 // connections that are open now
	Resting     int64             // listeners that are left alone for a while now, after an error
	Loops       int64             // loops that were asked; 0: the model has none
	Silent      int64             // loops that did not answer in time: their last counts stand for them
	// Unknown are the calls that are not ours to count, such as those of package net. Their Calls and Again say
	// nothing.
	Unknown CallSet
}

// CallSet is a set of calls.
type CallSet uint16

// SetOf makes a set.
func SetOf(calls ...Call) (s CallSet) {
	for _, c := range calls {
		s |= 1 << c
	}
	return s
}

// Has reports whether the call is in the set.
func (s CallSet) Has(c Call) bool { return s&(1<<c) != 0 }

// JobsInFlight is how many jobs have been submitted and are not done.
func (c *Counters) JobsInFlight() uint64 { return c.JobsSubmitted - c.JobsRefused - c.JobsDone }

// Open is the number of connections now.
func (c *Counters) Open() uint64 { return total(c.Connections[:]) }

// Add adds what others have counted. All that stands before Unknown is counts of eight bytes, which are added as one
// array: there are too many to name them twice.
func (c *Counters) Add(other *Counters) {
	const counts = unsafe.Offsetof(c.Unknown) / 8
	to, from := (*[counts]uint64)(unsafe.Pointer(c)), (*[counts]uint64)(unsafe.Pointer(other))
	for i, count := range from {
		to[i] += count
	}
	c.Unknown |= other.Unknown
}

func total(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
