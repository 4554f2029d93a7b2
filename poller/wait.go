package poller

import "time"

// batchMax is the most events one Wait takes from the kernel: nginx's default
// too. A larger batch delays the first connection behind the last one's work,
// and saves nothing once a call's cost is shared by hundreds.
const batchMax = 512

// WaitMax bounds one blocking system call. Go's garbage collector was seen
// stuck behind waits without a bound (golang/go#81759); one return a second
// costs nothing.
const WaitMax = time.Second

// bounded is how long a Wait with that timeout waits at most.
func bounded(timeout time.Duration) time.Duration {
	if timeout < 0 {
		return WaitMax
	}
	return min(timeout, WaitMax)
}

// ShortWait is how long a wait may be without Go's scheduler being told of it,
// by the backends that make their own system calls. A thread in such a wait keeps its P, and
// the runtime's monitor thread stays asleep: announced waits of a few hundred microseconds
// have it wake every 20 us. The signal by which the scheduler stops a thread (SIGURG)
// ends the wait, and a millisecond at most does so without one.
const ShortWait = time.Millisecond
