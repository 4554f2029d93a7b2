//go:build linux

package poller

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollBackend is epoll(7). Its Open honours Trigger.
var epollBackend = backend("epoll", Level|Edge, 0, openEpoll)

// epoll implements Poller. The kernel keeps each descriptor's token in the data
// union of its epoll_event, so no table of ours is needed to translate events.
type epoll struct {
	Waker
	epfd  int
	edge  uint32 // EPOLLET or 0: or'ed into every registration but those with ForceLevel
	calls Calls
	raw   [batchMax]unix.EpollEvent
}

func openEpoll(trigger Trigger) (Poller, error) {
	p := &epoll{}
	if trigger == Edge {
		p.edge = unix.EPOLLET
	}
	var err error
	if p.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err = p.Waker.Open("epoll poller"); err != nil {
		return nil, errors.Join(err, unix.Close(p.epfd))
	}
	// Edge-triggered whatever the poller's trigger: each write is an edge of
	// its own, so the counter is never read and a wake costs one call less.
	if err = p.control(unix.EPOLL_CTL_ADD, p.FD(), tokenWake, unix.EPOLLIN|unix.EPOLLET); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Add implements Poller.
func (p *epoll) Add(fd int, token Token, want Interest, flags Flags) error {
	if token == tokenWake {
		return fmt.Errorf("epoll_ctl add fd %d: %w", fd, ErrToken)
	}
	mask := uint32(pollMask(want))
	if flags&Exclusive != 0 {
		// The kernel refuses EPOLLRDHUP beside EPOLLEXCLUSIVE (EPOLLEXCLUSIVE_OK_BITS
		// in fs/eventpoll.c). A listener has no use for it.
		mask = mask&^unix.EPOLLRDHUP | unix.EPOLLEXCLUSIVE
	}
	if flags&ForceLevel == 0 {
		mask |= p.edgeOf(want)
	}
	return p.control(unix.EPOLL_CTL_ADD, fd, token, mask)
}

// Modify implements Poller. EPOLL_CTL_MOD looks at the descriptor anew and
// queues it if it is ready, edge-triggered too (ep_modify in fs/eventpoll.c).
func (p *epoll) Modify(fd int, token Token, want Interest) error {
	if token == tokenWake {
		return fmt.Errorf("epoll_ctl mod fd %d: %w", fd, ErrToken)
	}
	return p.control(unix.EPOLL_CTL_MOD, fd, token, uint32(pollMask(want))|p.edgeOf(want))
}

// Remove implements Poller.
func (p *epoll) Remove(fd int) error {
	return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0)
}

// Wait implements Poller. The kernel counts in milliseconds: timeouts are
// rounded up, so that a timer is due when Wait returns and the loop does not spin.
func (p *epoll) Wait(events []Event, timeout time.Duration) (int, error) {
	if len(events) == 0 {
		return 0, ErrNoRoom
	}
	p.gap("waiting")
	n, errno := p.wait(min(len(events), batchMax), bounded(timeout))
	switch errno {
	case 0:
		return p.collect(events, p.raw[:n]), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_pwait on epoll fd %d: %w", p.epfd, errno)
}

// Close implements Poller.
func (p *epoll) Close() error {
	if p.epfd < 0 {
		return nil
	}
	err := errors.Join(p.Waker.Close(), os.NewSyscallError("close of the epoll descriptor", unix.Close(p.epfd)))
	p.epfd = -1 // a late call gets EBADF, not a stranger's descriptor
	return err
}

// Calls implements Counter.
func (p *epoll) Calls() Calls { return p.calls }

// control is epoll_ctl. It never blocks, so the scheduler is not told of it.
func (p *epoll) control(op, fd int, token Token, mask uint32) error {
	p.calls.Control++
	event := unix.EpollEvent{Events: mask, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.epfd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&event)), 0, 0)
	if errno == 0 {
		return nil
	}
	err := fmt.Errorf("epoll_ctl %s fd %d: %w", epollOps[op], fd, errno)
	if errno == unix.ENOSPC {
		err = fmt.Errorf("%w: raise fs.epoll.max_user_watches", err)
	}
	return err
}

// wait is one epoll_pwait without a signal mask: arm64 has no epoll_wait. A
// look and a short wait keep the scheduler out of it (see ShortWait); a longer
// one must tell it, or garbage collection would wait for this thread.
func (p *epoll) wait(count int, timeout time.Duration) (int, unix.Errno) {
	var n uintptr
	var errno unix.Errno
	p.calls.Wait++
	millis := (timeout + time.Millisecond - 1) / time.Millisecond
	if timeout <= ShortWait {
		n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
			uintptr(unsafe.Pointer(&p.raw[0])), uintptr(count), uintptr(millis), 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
			uintptr(unsafe.Pointer(&p.raw[0])), uintptr(count), uintptr(millis), 0, 0)
	}
	return int(n), errno
}

// collect translates raw into events and takes the wake-up out.
func (p *epoll) collect(events []Event, raw []unix.EpollEvent) int {
	n := 0
	woken := false
	for i := range raw {
		token := Token(uint32(raw[i].Fd)) | Token(uint32(raw[i].Pad))<<32
		if token == tokenWake {
			woken = true
			continue
		}
		events[n] = Event{Token: token, Ready: pollReady(int16(raw[i].Events))}
		n++
	}
	if woken {
		p.WokenByEdge()
	}
	return n
}

// The bits of epoll(7) are those of poll(2), so that pollMask and pollReady do for both.
var _ = [unix.EPOLLRDHUP]struct{}{} == [unix.POLLRDHUP]struct{}{}

// edgeOf is what goes with an edge trigger: the urgent mark is asked for where it may be met. (With a level
// trigger it would be reported on and on, once only the urgent byte is left.)
func (p *epoll) edgeOf(want Interest) uint32 {
	if p.edge != 0 && want&Readable != 0 {
		return p.edge | unix.EPOLLPRI
	}
	return p.edge
}

// epollOps names the operations in errors.
var epollOps = map[int]string{unix.EPOLL_CTL_ADD: "add", unix.EPOLL_CTL_MOD: "mod", unix.EPOLL_CTL_DEL: "del"}
