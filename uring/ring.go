//go:build linux

package uring

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waitMax bounds a wait: garbage collection has been seen stuck behind
// unbounded blocking system calls (golang/go#81759).
const waitMax = time.Second

// Ring is one io_uring. All methods but Close are for the thread that enabled it.
type Ring struct {
	fd      int
	enterFD uintptr // fd, or its index among the thread's registered rings
	flags   uintptr // of every io_uring_enter
	thread  int     // that has enabled the ring; 0: none has

	rings, sqes *Memory // as mapped from fd
	wait        *Memory
	waitArg     *waitArg

	// The submission ring: the kernel moves head, we move tail. reserved runs
	// ahead of tail by the requests that are filled in and not yet submitted.
	sqHead, sqTail, sqFlags *uint32
	sqMask, sqEntries       uint32
	reserved                uint32
	requests                []SQE

	// The completion ring: the kernel moves tail, we move head.
	cqHead, cqTail *uint32
	cqMask, head   uint32
	completions    []CQE
}

// New makes a ring with room for that many requests between two Enters and
// that many completions, both powers of two. It is to be enabled. A kernel that does
// not provide it, or a rule that forbids it, is an error with the reason and the cure.
func New(requests, completions uint32) (*Ring, error) {
	p := params{cqEntries: completions, flags: setupCQSize | setupDisabled | setupSubmitAll |
		setupCoopTaskrun | setupSingleIssuer | setupDeferTaskrun}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(requests), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, explain("io_uring_setup", errno)
	}
	r := &Ring{fd: int(fd), enterFD: fd}
	if missing := featuresNeeded &^ p.features; missing != 0 {
		return nil, errors.Join(explain("io_uring_setup", unix.EINVAL), r.Close())
	}
	if err := r.mapRings(&p); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// mapRings maps the three areas that the kernel shares with us (io_uring(7)).
func (r *Ring) mapRings(p *params) error {
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(CQE{})))
	var err error
	if r.rings, err = r.mapAt(offsetRings, int(size)); err != nil {
		return err
	}
	if r.sqes, err = r.mapAt(offsetSQEs, int(p.sqEntries)*int(unsafe.Sizeof(SQE{}))); err != nil {
		return err
	}
	if r.wait, err = Map(int(unsafe.Sizeof(waitArg{}))); err != nil {
		return err
	}
	r.waitArg = at[waitArg](r.wait.Bytes, 0)
	r.waitArg.timespec = uint64(uintptr(unsafe.Pointer(&r.waitArg.sec)))

	m := r.rings.Bytes
	r.sqHead, r.sqTail, r.sqFlags = at[uint32](m, p.sq.head), at[uint32](m, p.sq.tail), at[uint32](m, p.sq.flags)
	r.sqMask, r.sqEntries = *at[uint32](m, p.sq.ringMask), p.sqEntries
	r.requests = unsafe.Slice(at[SQE](r.sqes.Bytes, 0), p.sqEntries)
	// The submission ring is a ring of indices. Ours always name the requests in order.
	indices := unsafe.Slice(at[uint32](m, p.sq.array), p.sqEntries)
	for i := range indices {
		indices[i] = uint32(i)
	}
	r.reserved = *r.sqTail

	r.cqHead, r.cqTail = at[uint32](m, p.cq.head), at[uint32](m, p.cq.tail)
	r.cqMask, r.head = *at[uint32](m, p.cq.ringMask), *r.cqHead
	r.completions = unsafe.Slice(at[CQE](m, p.cq.cqes), p.cqEntries)
	return nil
}

func (r *Ring) mapAt(offset int64, size int) (*Memory, error) {
	b, err := unix.Mmap(r.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("uring: mapping %d bytes of the ring at %#x: %w", size, offset, err)
	}
	return &Memory{b}, nil
}

// Enable makes the calling thread the ring's own, the only one that may use it
// from now on: the goroutine must be locked to it.
func (r *Ring) Enable() error {
	if _, err := r.register(registerEnableRings, "IORING_REGISTER_ENABLE_RINGS", nil, 0); err != nil {
		return err
	}
	r.flags, r.thread = enterGetEvents|enterExtArg, unix.Gettid()
	// A registered ring is found without counting a reference of its
	// descriptor, which costs in a process of many threads. It is a saving, not a need.
	update := &rsrcUpdate{offset: ^uint32(0), data: uint64(r.fd)}
	n, err := r.register(registerRingFDs, "IORING_REGISTER_RING_FDS", unsafe.Pointer(update), 1)
	if err == nil && n == 1 {
		r.enterFD = uintptr(update.offset)
		r.flags |= enterRegisteredRing
	}
	return nil
}

// register is io_uring_register(2) with count arguments; name is that of the operation, for errors.
func (r *Ring) register(op uintptr, name string, arg unsafe.Pointer, count uintptr) (uintptr, error) {
	n, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), op, uintptr(arg), count, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("uring: %s: %w", name, explain("io_uring_register", errno))
	}
	return n, nil
}

// Request returns the next free request, zeroed, for one of the Prepare
// functions, or nil when there is none before the next Enter. It is submitted by that.
func (r *Ring) Request() *SQE {
	if r.Full() {
		return nil
	}
	sqe := &r.requests[r.reserved&r.sqMask]
	r.reserved++
	*sqe = SQE{}
	return sqe
}

// Full reports whether there is no free request before the next Enter.
func (r *Ring) Full() bool { return r.reserved-atomic.LoadUint32(r.sqHead) >= r.sqEntries }

// Pending is the number of requests that wait to be submitted.
func (r *Ring) Pending() int { return int(r.reserved - atomic.LoadUint32(r.sqHead)) }

// Enter submits what was requested and has the kernel post what is complete,
// without waiting. What it does never blocks, so Go's scheduler is not told.
// An error that is [Refused] passes: Enter is to be called again. Whether
// everything was submitted says Pending alone, after a success too.
func (r *Ring) Enter() error {
	submit := r.publish()
	*r.waitArg = waitArg{timespec: r.waitArg.timespec}
	_, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, r.enterFD, submit, 0, r.flags,
		uintptr(unsafe.Pointer(r.waitArg)), waitArgSize)
	return enterError(errno)
}

// EnterWait submits what was requested and waits until something is complete,
// for no longer than timeout and a second. A signal ends it early; that is no error.
// It can be refused as Enter can.
func (r *Ring) EnterWait(timeout time.Duration) error {
	if timeout <= 0 {
		return r.Enter()
	}
	submit := r.publish()
	timeout = min(timeout, waitMax)
	r.waitArg.sec, r.waitArg.nsec = int64(timeout/time.Second), int64(timeout%time.Second)
	_, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, r.enterFD, submit, 1, r.flags,
		uintptr(unsafe.Pointer(r.waitArg)), waitArgSize)
	return enterError(errno)
}

// publish shows the kernel the new requests and returns how many it has not taken.
func (r *Ring) publish() uintptr {
	atomic.StoreUint32(r.sqTail, r.reserved) // after what the requests say
	return uintptr(r.reserved - atomic.LoadUint32(r.sqHead))
}

// enterError sorts what io_uring_enter(2) returns.
func enterError(errno syscall.Errno) error {
	switch errno {
	case 0, unix.EINTR, unix.ETIME:
		return nil
	case unix.EAGAIN, unix.EBUSY, unix.ENOMEM:
		return errno
	case unix.EBADR:
		return errors.New("uring: the kernel had no memory for a completion and dropped it; the ring cannot go on")
	default:
		return fmt.Errorf("uring: io_uring_enter: %w", errno)
	}
}

// Refused reports whether an error of Enter or EnterWait passes by itself. The kernel has no memory
// for a request just now (EAGAIN), or completions wait to be reaped (EBUSY), says io_uring_enter(2); nor has it
// memory for the calling thread's own part of the ring, at the thread's first call (ENOMEM).
// Nothing was submitted: the same requests go with the next Enter.
func Refused(err error) bool { return err == unix.EAGAIN || err == unix.EBUSY || err == unix.ENOMEM }

// EachPending calls do for each request that the kernel has not taken yet, oldest first. The kernel reads a
// request within Enter alone (there is no IORING_SETUP_SQPOLL), so that do may still change it.
func (r *Ring) EachPending(do func(*SQE)) {
	for i := atomic.LoadUint32(r.sqHead); i != r.reserved; i++ {
		do(&r.requests[i&r.sqMask])
	}
}

// Completion takes the next completion; false: there is none yet. The kernel
// may use its place again after Reaped.
func (r *Ring) Completion() (CQE, bool) {
	if r.head == atomic.LoadUint32(r.cqTail) {
		return CQE{}, false
	}
	c := r.completions[r.head&r.cqMask]
	r.head++
	return c, true
}

// Reaped gives the places of the completions taken so far back to the kernel.
func (r *Ring) Reaped() { atomic.StoreUint32(r.cqHead, r.head) }

// Overflowed reports that more was complete than there is room for. The kernel
// keeps the rest (IORING_FEAT_NODROP) and posts it with the next Enter after Reaped.
func (r *Ring) Overflowed() bool { return atomic.LoadUint32(r.sqFlags)&sqCQOverflow != 0 }

// unregister gives back the thread's reference of the ring, which would keep the ring and its locked memory for as
// long as the thread lives, and Go keeps threads. A thread has room for 16.
func (r *Ring) unregister() error {
	if r.flags&enterRegisteredRing == 0 || r.thread != unix.Gettid() {
		return nil // there is none, or it is of a thread that has ended
	}
	r.flags &^= enterRegisteredRing
	update := &rsrcUpdate{offset: uint32(r.enterFD)}
	_, err := r.register(unregisterRingFDs, "IORING_UNREGISTER_RING_FDS", unsafe.Pointer(update), 1)
	return err
}

// Close ends the ring; the thread that has enabled it should call it. The kernel cancels its requests, and may be
// doing so for a moment after Close has returned: memory that they use is freed after the requests have completed, or
// not at all.
func (r *Ring) Close() error {
	err := errors.Join(r.unregister(), r.rings.Close(), r.sqes.Close(), r.wait.Close())
	if r.fd >= 0 {
		err = errors.Join(err, unix.Close(r.fd))
		r.fd = -1
	}
	runtime.KeepAlive(r)
	return err
}
