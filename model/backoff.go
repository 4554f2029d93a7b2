package model

import "time"

const (
	backoffMin = 10 * time.Millisecond
	backoffMax = time.Second
)

// Backoff says when what failed is tried again: after 10 ms, and after each failure that follows at once, twice as
// long, up to a second. Its zero value is for what has not failed.
type Backoff struct {
	// Until is when (clock.Time.Mono) it is tried again; 0: it is not put off.
	Until int64
	last  time.Duration
}

// Fail puts it off.
func (b *Backoff) Fail(now int64) time.Duration {
	b.last = min(max(2*b.last, backoffMin), backoffMax)
	b.Until = now + int64(b.last)
	return b.last
}

// Resume reports whether it was put off until now, or earlier. Then it is not any more.
func (b *Backoff) Resume(now int64) bool {
	if b.Until == 0 || now < b.Until {
		return false
	}
	b.Until = 0
	return true
}

// Paused reports whether it is put off.
func (b *Backoff) Paused() bool { return b.Until != 0 }

// Succeed is called when it has worked.
func (b *Backoff) Succeed() {
	if b.last != 0 {
		*b = Backoff{}
	}
}
