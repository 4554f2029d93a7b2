package poller

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigioBackend is signal-driven IO: F_SETSIG and O_ASYNC (fcntl(2), Linux
// 2.6.32 for F_SETOWN_EX), the signals read through signalfd(2). Its Open may
// be called anywhere; from the first Wait on the owner's goroutine must be
// locked to its OS thread (see sigio).
var sigioBackend = backend("sigio", Edge, 0, openSigio)

const (
	// sigioSignal is queued for each change of a descriptor, to the owner's
	// thread alone. Real-time signals go from 32 to 64; the C libraries keep
	// 32 to 34 for themselves, and Go's runtime makes no use of any.
	sigioSignal = 60
	// sigioBatch is how many signals one read takes, at 128 bytes each. The
	// others stay queued for the next.
	sigioBatch = 128
	// ownerTID is F_OWNER_TID of <asm-generic/fcntl.h>: a thread, not a process.
	ownerTID = 0
	// The first two of sigio.asked.
	askedSignals, askedWake, askedOwn = 0, 1, 2
)

// errNoSignals is Add's reason to refuse what could be registered, and would
// then be silent (setfl in fs/fcntl.c ignores O_ASYNC without a word).
var errNoSignals = errors.New("this kind of file sends no signals (O_ASYNC)")

// sigio implements Poller. A signal says little: a number and, in ssi_band,
// data or room. It carries no token, outlives a close, calls the end of a
// stream data, and there is none for what is ready when the descriptor is
// added. So a signal only has its descriptor asked about: each Wait polls
// those that have been signalled, added or modified since the last, in one
// ppoll, and nobody else. An old signal then finds its number's new holder as it
// is, and two signals make one event.
//
// When the queue is full (RLIMIT_SIGPENDING counts all processes of a user) the
// kernel sends a plain SIGIO instead: every descriptor is asked about once.
//
// The signals go to one thread, on which they are blocked: that of the first
// Wait. The owner must have locked its goroutine to it (runtime.LockOSThread),
// must make all later calls on it, Close too, and have no second such poller
// there. Add may come earlier and from elsewhere, as listeners are added.
//
// A descriptor that was added with ForceLevel sends no signals: it is in every
// ppoll. Several loops may share it, but a file has only one owner to signal.
type sigio struct {
	tablePoller
	sigfd  int
	thread int           // that of the first Wait; 0: there was none
	mask   unix.Sigset_t // of the thread, before
	states []sigioState  // one for each entry of table
	asked  []unix.PollFd // the signalfd, the wake-up's, then those to be asked about
	again  []unix.PollFd // scratch: those that were reported and stay in asked
	raw    [sigioBatch]unix.SignalfdSiginfo
}

// sigioState is what table does not know of a descriptor.
type sigioState struct {
	at    int32 // the position in asked; 0: it is not
	level bool
	// full: it is to be writable, was not, and may send no signal when it is.
	// The kernel arms that signal when a send fails for want of room while
	// O_ASYNC is on (SOCKWQ_ASYNC_NOSPACE), which may have been earlier.
	// Until it is seen to be writable it stays in asked.
	full bool
}

func openSigio(Trigger) (Poller, error) {
	p := &sigio{}
	if err := p.open("sigio"); err != nil {
		return nil, err
	}
	set := sigioSet()
	var err error
	if p.sigfd, err = unix.Signalfd(-1, &set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("signalfd: %w", err), p.Waker.Close())
	}
	p.asked = []unix.PollFd{{Fd: int32(p.sigfd), Events: unix.POLLIN}, {Fd: int32(p.FD()), Events: unix.POLLIN}}
	return p, nil
}

// Add implements Poller. Exclusive is ignored. What sends no signals, such as
// an eventfd, is refused, unless with ForceLevel.
func (p *sigio) Add(fd int, token Token, want Interest, flags Flags) error {
	if err := p.table.Add(fd, token, want, flags); err != nil {
		return err
	}
	level := flags&ForceLevel != 0
	if !level && p.thread != 0 {
		if err := p.arm(fd); err != nil {
			_ = p.table.Remove(fd) // it was entered just now
			return p.fail("add", fd, err)
		}
	}
	p.states = append(p.states, sigioState{level: level, full: want&Writable != 0})
	p.ask(len(p.states) - 1)
	return nil
}

// Modify implements Poller.
func (p *sigio) Modify(fd int, token Token, want Interest) error {
	err := p.table.Modify(fd, token, want)
	if err == nil {
		i := p.find(fd)
		p.states[i].full = want&Writable != 0
		p.ask(i)
	}
	return err
}

// Remove implements Poller. After an error fd is forgotten too. Signals that
// are queued already will find it gone, or its successor as it is.
func (p *sigio) Remove(fd int) error {
	i := p.find(fd)
	if err := p.table.Remove(fd); err != nil {
		return err
	}
	removed, last := p.states[i], len(p.states)-1
	p.states[i] = p.states[last]
	p.states = p.states[:last]
	if removed.at != 0 {
		p.asked[removed.at].Fd = -1 // poll passes over it, settle drops it
	}
	if !removed.level && p.thread != 0 {
		if err := p.setAsync(fd, false); err != nil {
			return p.fail("remove", fd, err)
		}
	}
	return nil
}

// Wait implements Poller. A wait that a signal ends returns, also when what was
// signalled is not so any more.
func (p *sigio) Wait(events []Event, timeout time.Duration) (int, error) {
	err := p.waits(events)
	if err == nil && p.thread == 0 {
		err = p.bind()
	}
	if err != nil {
		return 0, err
	}
	look := timeout == 0
	if look {
		// A busy loop finds signals most of the time: one ppoll will do.
		if err := p.receive(); err != nil {
			return 0, err
		}
	} else if thread := unix.Gettid(); thread != p.thread {
		return 0, fmt.Errorf("sigio: Wait on thread %d while signals go to thread %d: "+
			"its goroutine must be locked to its thread", thread, p.thread)
	}
	p.gap("waiting")
	p.calls.Wait++
	_, err = pollAll(p.asked, bounded(timeout))
	if err == nil && !look && p.asked[askedSignals].Revents != 0 {
		if err = p.receive(); err == nil {
			err = p.pollNow()
		}
	}
	if err == nil && p.asked[askedWake].Revents != 0 {
		err = p.Woken()
	}
	switch err {
	case nil:
		return p.settle(events[:min(len(events), batchMax)]), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("ppoll of %d descriptors of the sigio poller: %w", len(p.asked), err)
}

// Close implements Poller. Signals of descriptors that are still registered
// will meet Go's handler, which ignores them.
func (p *sigio) Close() error {
	if p.table.closed {
		return nil
	}
	err := errors.Join(p.unbind(), p.tablePoller.Close(),
		os.NewSyscallError("close of the signalfd", unix.Close(p.sigfd)))
	p.sigfd = -1
	return err
}

// bind makes the calling thread the one that signals go to. They are
// blocked there before the first descriptor sends one, so Go's runtime never
// sees any. (It keeps the mask: a fork restores what it found.)
func (p *sigio) bind() error {
	set := sigioSet()
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, &p.mask); err != nil {
		return fmt.Errorf("sigio: blocking signal %d: %w", sigioSignal, err)
	}
	p.thread = unix.Gettid()
	for i, e := range p.table.entries {
		if p.states[i].level {
			continue
		}
		if err := p.arm(int(e.fd)); err != nil {
			return p.fail("add", int(e.fd), err)
		}
	}
	return nil
}

// unbind gives the thread back as it was, without what is still queued.
func (p *sigio) unbind() error {
	if p.thread != unix.Gettid() {
		return nil // never bound, or its thread has ended
	}
	for {
		n, err := p.read()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &p.mask, nil); err != nil {
		return fmt.Errorf("sigio: unblocking signal %d: %w", sigioSignal, err)
	}
	return nil
}

// arm has fd send signals. The owner comes first: there is none before O_ASYNC.
func (p *sigio) arm(fd int) error {
	p.calls.Control += 2
	owner := struct{ kind, id int32 }{ownerTID, int32(p.thread)} // struct f_owner_ex
	_, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&owner)))
	if errno != 0 {
		return fmt.Errorf("F_SETOWN_EX: %w", errno)
	}
	if _, err := fcntl(fd, unix.F_SETSIG, sigioSignal); err != nil {
		return fmt.Errorf("F_SETSIG: %w", err)
	}
	return p.setAsync(fd, true)
}

// setAsync turns O_ASYNC on or off. The kernel only sets the flag where
// there is something that sends signals (fasync_helper in fs/fcntl.c).
func (p *sigio) setAsync(fd int, on bool) error {
	p.calls.Control += 2
	flags, err := fcntl(fd, unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("F_GETFL: %w", err)
	}
	if flags &^= unix.O_ASYNC; on {
		flags |= unix.O_ASYNC
	}
	if _, err := fcntl(fd, unix.F_SETFL, flags); err != nil {
		return fmt.Errorf("F_SETFL: %w", err)
	}
	if !on {
		return nil
	}
	p.calls.Control++
	if flags, err = fcntl(fd, unix.F_GETFL, 0); err == nil && flags&unix.O_ASYNC == 0 {
		err = errNoSignals
	}
	return err
}

// fcntl never blocks, so the scheduler is not told of it.
func fcntl(fd int, command, argument uintptr) (uintptr, error) {
	result, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), command, argument)
	if errno != 0 {
		return 0, errno
	}
	return result, nil
}

// ask has the next ppoll ask about the entry at position i of table, unless
// it is to be silent.
func (p *sigio) ask(i int) {
	e, s := p.table.entries[i], &p.states[i]
	item := pollFD(int(e.fd), e.want)
	if e.want&Readable != 0 && !s.level {
		item.Events |= unix.POLLPRI
	}
	switch {
	case s.at != 0:
		p.asked[s.at] = item
	case e.want != 0:
		s.at = int32(len(p.asked))
		p.asked = append(p.asked, item)
	}
	if e.want == 0 {
		s.at = 0 // settle drops the item, if there was one
	}
}

// read takes signals off the queue, as many as raw has room for, and returns
// their number: 0 if there are none.
func (p *sigio) read() (int, error) {
	p.calls.Wait++
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(p.sigfd), uintptr(unsafe.Pointer(&p.raw)),
		unsafe.Sizeof(p.raw))
	switch errno {
	case 0:
		return int(n / unsafe.Sizeof(p.raw[0])), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("read from signalfd %d: %w", p.sigfd, errno)
}

// receive has every descriptor that is signalled asked about.
func (p *sigio) receive() error {
	n, err := p.read()
	if err != nil {
		return err
	}
	for k := range p.raw[:n] {
		info := &p.raw[k]
		if info.Signo == uint32(unix.SIGIO) {
			// The kernel hands out SIGIO, the lower number, before what is
			// queued, and what overflows later sends another.
			p.calls.Overflows++
			p.askAll()
			continue
		}
		// A code of 0 or less is some process's kill, with no descriptor in it.
		if i := p.table.find(int(info.Fd)); i >= 0 && info.Code > 0 && !p.states[i].level {
			p.states[i].full = p.states[i].full || info.Band&unix.POLLOUT != 0 && p.table.entries[i].want&Writable != 0
			p.ask(i)
		}
	}
	return nil
}

// askAll is the sweep after an overflow. Signals of room may be among the lost.
func (p *sigio) askAll() {
	for i := range p.table.entries {
		p.states[i].full = p.states[i].full || p.table.entries[i].want&Writable != 0
		p.ask(i)
	}
}

// pollNow asks again, about those that were signalled too. With nothing to report and a
// signal of Go's own pending, poll answers EINTR even to a look.
func (p *sigio) pollNow() error {
	for {
		p.calls.Wait++
		if _, err := pollAll(p.asked, 0); err != unix.EINTR {
			return err
		}
	}
}

// settle turns the answers into events and drops those that need not be asked
// about again. What is ready and finds no room stays, before what was reported
// and stays: everyone's turn comes.
func (p *sigio) settle(events []Event) (n int) {
	kept := p.asked[:askedOwn]
	p.again = p.again[:0]
	for _, item := range p.asked[askedOwn:] {
		i := p.table.find(int(item.Fd))
		if i < 0 {
			continue // removed or silenced since it was asked about
		}
		e, s := p.table.entries[i], &p.states[i]
		ready := pollReady(item.Revents)
		if ready != 0 && n == len(events) {
			kept = p.keep(kept, s, item)
			continue
		}
		if ready&Writable != 0 {
			s.full = false
		}
		if !s.level {
			item.Events = unix.POLLOUT // what it may be kept for
		}
		stays := s.level || s.full
		switch {
		case ready == 0 && stays:
			kept = p.keep(kept, s, item)
			continue
		case ready != 0:
			events[n] = Event{Token: e.token, Ready: ready}
			n++
		}
		if s.at = 0; stays {
			p.again = append(p.again, item)
		}
	}
	p.asked = kept
	for _, item := range p.again {
		p.asked = p.keep(p.asked, &p.states[p.table.find(int(item.Fd))], item)
	}
	return n
}

// keep appends item to list and remembers where.
func (p *sigio) keep(list []unix.PollFd, s *sigioState, item unix.PollFd) []unix.PollFd {
	s.at = int32(len(list))
	return append(list, item)
}

// sigioSet is the set of the two signals.
func sigioSet() (set unix.Sigset_t) {
	const bits = 8 * unsafe.Sizeof(set.Val[0])
	for _, signal := range [...]uintptr{sigioSignal, uintptr(unix.SIGIO)} {
		set.Val[(signal-1)/bits] |= 1 << ((signal - 1) % bits)
	}
	return set
}
