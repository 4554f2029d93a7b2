package poller

import (
	"sync"
	"sync/atomic"
)

// waker is the part of Wake that all backends share: which of many calls
// tells the kernel, and that none does after Close. A backend embeds it.
//
// The protocol: pending is set by the one Wake that goes on to tell the kernel
// (claim, send, release) and cleared by the Wait that the kernel told (drain,
// clear). A Wake that finds it set returns at once: the Wait that will clear it
// has yet to return, and what the caller published before Wake is visible then.
//
// Clearing comes after draining. The other way round, a Wake between the
// two would set the flag and have its signal drained: set for good, with nothing
// left in the kernel, every later Wake would be lost. This way round a Wake
// between the two is one of those that the returning Wait answers.
type waker struct {
	pending atomic.Bool
	mu      sync.Mutex // held while the kernel is told; Wait never takes it
	closed  bool       // guarded by mu
	// hook is called between the steps of the protocol. Only tests set it. The gaps:
	//
	//	claimed   Wake has set the flag and not told the kernel
	//	sent      Wake has told the kernel and not returned
	//	waiting   Wait is about to ask the kernel
	//	reported  Wait was told and has drained, the flag is still set
	//	cleared   Wait has cleared the flag and not returned
	hook func(gap string)
}

// gap runs a test's hook, if there is one.
func (w *waker) gap(name string) {
	if w.hook != nil {
		w.hook(name)
	}
}

// claim reports whether the caller must tell the kernel. If so it holds mu
// until release, so that Close cannot free the descriptor, and the next open
// reuse its number, between the claim and the write.
func (w *waker) claim() bool {
	// The plain look first keeps a storm of wakes from fighting for the cache line.
	if w.pending.Load() || !w.pending.CompareAndSwap(false, true) {
		return false
	}
	w.gap("claimed")
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return false
	}
	return true
}

// release ends what claim began. If telling the kernel failed the flag is
// taken back: left set, it would silence every later Wake.
func (w *waker) release(err error) {
	if err != nil {
		w.pending.Store(false)
	}
	w.mu.Unlock()
	w.gap("sent")
}

// clear is called by Wait when the kernel reported the wake-up and it was drained.
func (w *waker) clear() {
	w.gap("reported")
	w.pending.Store(false)
	w.gap("cleared")
}

// stop makes every later Wake do nothing and waits for one that is telling the
// kernel. It reports whether it was the first: only then does the caller free
// the descriptors.
func (w *waker) stop() bool {
	w.pending.Store(true) // nothing clears it any more: Wake ends at its first look
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.closed
	w.closed = true
	return first
}
