//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package poller

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kqueueBackend is kqueue(2). Its Open honours Trigger: Edge is EV_CLEAR.
var kqueueBackend = backend("kqueue", Level|Edge, 0, openKqueue)

// kqueue implements Poller. A descriptor has a filter a direction; both are
// one registration and one Event here (kqueue_table.go). Changes are submitted
// at once, not with the next wait: Add can then return its error, and a
// descriptor is forgotten before it is closed. An edge-triggered connection
// needs one such call in its life.
type kqueue struct {
	Waker
	kq         int
	regs       registrations
	changes    [changesMax]change
	rawChanges [changesMax]unix.Kevent_t
	raw        [batchMax]unix.Kevent_t
	calls      Calls
}

func openKqueue(trigger Trigger) (Poller, error) {
	p := &kqueue{regs: registrations{edge: trigger == Edge}}
	syscall.ForkLock.RLock()
	kq, err := unix.Kqueue()
	if err == nil {
		unix.CloseOnExec(kq)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("kqueue: %w", err)
	}
	p.kq = kq
	if err := p.Waker.Open("kqueue poller"); err != nil {
		return nil, errors.Join(err, unix.Close(kq))
	}
	p.rawChanges[0] = rawChange(change{fd: p.FD(), filter: filterRead})
	if _, err := unix.Kevent(kq, p.rawChanges[:1], nil, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("kevent of the kqueue poller's pipe: %w", err), p.Close())
	}
	return p, nil
}

// Add implements Poller. Exclusive is ignored.
func (p *kqueue) Add(fd int, token Token, want Interest, flags Flags) error {
	changes, err := p.regs.add(p.changes[:0], fd, want, flags)
	if token == tokenWake {
		err = ErrToken
	} else if err == nil {
		err = p.submit(fd, changes)
	}
	if err != nil {
		return fmt.Errorf("kqueue add fd %d: %w", fd, err)
	}
	p.regs.record(fd, token, want, flags)
	return nil
}

// Modify implements Poller. After an error from the kernel fd is still
// registered, with an interest of 0.
func (p *kqueue) Modify(fd int, token Token, want Interest) error {
	changes, err := p.regs.modify(p.changes[:0], fd, want)
	if token == tokenWake {
		err = ErrToken
	} else if err == nil {
		if err = p.submit(fd, changes); err != nil {
			want = 0
		}
		p.regs.replace(fd, token, want)
	}
	if err != nil {
		return fmt.Errorf("kqueue modify fd %d: %w", fd, err)
	}
	return nil
}

// Remove implements Poller. After an error fd is forgotten too.
func (p *kqueue) Remove(fd int) error {
	changes, err := p.regs.remove(p.changes[:0], fd)
	if err == nil {
		err = p.submit(fd, changes)
	}
	if err != nil {
		return fmt.Errorf("kqueue remove fd %d: %w", fd, err)
	}
	return nil
}

// Wait implements Poller.
func (p *kqueue) Wait(events []Event, timeout time.Duration) (int, error) {
	if len(events) == 0 {
		return 0, ErrNoRoom
	}
	p.gap("waiting")
	p.calls.Wait++
	ts := unix.NsecToTimespec(int64(bounded(timeout)))
	n, err := unix.Kevent(p.kq, nil, p.raw[:min(len(events), batchMax)], &ts)
	switch err {
	case nil:
		return p.collect(events, p.raw[:n])
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("kevent on kqueue fd %d: %w", p.kq, err)
}

// Close implements Poller.
func (p *kqueue) Close() error {
	if p.kq < 0 {
		return nil
	}
	err := errors.Join(p.Waker.Close(), os.NewSyscallError("close of the kqueue", unix.Close(p.kq)))
	p.kq = -1 // a late call gets EBADF, not a stranger's descriptor
	return err
}

// Calls implements Counter.
func (p *kqueue) Calls() Calls { return p.calls }

// submit makes the changes of fd, all or none. Without room for events kevent
// stops at the first change that fails and returns its error; with room
// it would also hand out, and so take back, events that are due to Wait.
func (p *kqueue) submit(fd int, changes []change) error {
	p.calls.Control++
	if len(changes) == 0 {
		// The kernel is to say whether there is such a descriptor all the same.
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err
	}
	for i, c := range changes {
		p.rawChanges[i] = rawChange(c)
	}
	_, err := unix.Kevent(p.kq, p.rawChanges[:len(changes)], nil, nil)
	if err == unix.EINTR {
		return nil // the changes are made (kevent(2): "all changes ... have been applied")
	}
	if err != nil {
		p.silence(fd)
	}
	return err
}

// silence deletes whatever filters fd has after half of its changes were made.
// One call each, since the first that fails, for want of the filter, ends a call.
func (p *kqueue) silence(fd int) {
	for _, f := range [...]filter{filterRead, filterWrite} {
		raw := [1]unix.Kevent_t{rawChange(change{fd: fd, filter: f, del: true})}
		p.calls.Control++
		// ENOENT is the expected answer; EBADF means that nothing is left to delete.
		_, _ = unix.Kevent(p.kq, raw[:], nil, nil)
	}
}

// collect translates raw into events and takes the wake-up out.
func (p *kqueue) collect(events []Event, raw []unix.Kevent_t) (int, error) {
	n, woken := 0, false
	p.regs.begin()
	for i := range raw {
		k := received(&raw[i])
		woken = woken || k.fd == p.FD() // which is none of regs, so that merge passes over it
		n = p.regs.merge(events, n, k)
	}
	if woken {
		return n, p.Woken()
	}
	return n, nil
}

// rawChange is the kernel's form of a change.
func rawChange(c change) (raw unix.Kevent_t) {
	mode, flags := unix.EVFILT_READ, unix.EV_ADD
	if c.filter == filterWrite {
		mode = unix.EVFILT_WRITE
	}
	if c.clear {
		flags |= unix.EV_CLEAR
	}
	if c.del {
		flags = unix.EV_DELETE
	}
	unix.SetKevent(&raw, c.fd, mode, flags)
	return raw
}

// received is our form of a kevent.
func received(raw *unix.Kevent_t) kevent {
	k := kevent{fd: int(raw.Ident), filter: filterRead}
	if int(raw.Filter) == unix.EVFILT_WRITE {
		k.filter = filterWrite
	}
	flags := uint32(raw.Flags)
	if k.eof = flags&unix.EV_EOF != 0; k.eof {
		k.errno = int64(raw.Fflags)
	}
	if k.failed = flags&unix.EV_ERROR != 0; k.failed {
		k.errno = int64(raw.Data)
	}
	return k
}
