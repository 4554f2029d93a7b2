//go:build unix

package poller

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// selectBackend is select(2), on Linux pselect6(2) with bitmaps of our own
// size. Elsewhere a set ends at FD_SETSIZE.
var selectBackend = Backend{Name: "select", Triggers: Level, MaxFD: selectMax, Open: openSelect}

// ErrSetSize is returned by select's Add, but on Linux, for a descriptor that
// its sets have no room for.
var ErrSetSize = errors.New("poller: the descriptor is beyond FD_SETSIZE, which bounds select on this system: " +
	"use poll or kqueue, or lower limits.connections")

// selects implements Poller. The sets hold what to ask for; select writes what
// is ready over a copy. Both, and so the time that a wait costs, are as long as
// the highest descriptor is high. An error on a descriptor is reported in the
// directions that were asked for, and a Hangup never: recv finds it.
type selects struct {
	fdWaker
	table      table
	read       selectSet // asked for; the wake-up's among them
	write      selectSet
	readReady  selectSet // the copies that select writes to
	writeReady selectSet
	top        int // the highest descriptor in use
	next       int // the descriptor that collect starts at
	calls      Calls
}

func openSelect(o Options) (Poller, error) {
	if err := checkTrigger("select", Level, o.Trigger); err != nil {
		return nil, err
	}
	p := &selects{}
	if err := p.wake.Open("select poller"); err != nil {
		return nil, err
	}
	if err := p.reach(p.wake.read); err != nil {
		return nil, errors.Join(fmt.Errorf("select: fd %d of the poller's own: %w", p.wake.read, err), p.wake.Close())
	}
	p.read.put(p.wake.read, true)
	return p, nil
}

// Add implements Poller. ForceLevel is what it does anyway, Exclusive is ignored.
func (p *selects) Add(fd int, token Token, want Interest, _ Flags) error {
	err := p.table.add(fd, token, want)
	if err == nil {
		if err = p.reach(fd); err != nil {
			_, _ = p.table.remove(fd) // it was entered just now
		}
	}
	if err != nil {
		return fmt.Errorf("select add fd %d: %w", fd, err)
	}
	p.ask(fd, want)
	return nil
}

// Modify implements Poller.
func (p *selects) Modify(fd int, token Token, want Interest) error {
	if _, err := p.table.modify(fd, token, want); err != nil {
		return fmt.Errorf("select modify fd %d: %w", fd, err)
	}
	p.ask(fd, want)
	return nil
}

// Remove implements Poller.
func (p *selects) Remove(fd int) error {
	if _, err := p.table.remove(fd); err != nil {
		return fmt.Errorf("select remove fd %d: %w", fd, err)
	}
	p.ask(fd, 0)
	for p.top > p.wake.read && p.table.find(p.top) < 0 {
		p.top--
	}
	return nil
}

// Wait implements Poller.
func (p *selects) Wait(events []Event, timeout time.Duration) (int, error) {
	switch {
	case len(events) == 0:
		return 0, ErrNoRoom
	case p.table.closed:
		return 0, fmt.Errorf("select: the poller is closed: %w", unix.EBADF)
	}
	for {
		var slice time.Duration
		slice, timeout = nextSlice(timeout)
		gap(p.gaps.waiting)
		p.readReady.copy(&p.read, p.top+1)
		p.writeReady.copy(&p.write, p.top+1)
		p.calls.Wait++
		n, err := sysSelect(p.top+1, &p.readReady, &p.writeReady, slice)
		switch {
		case err == unix.EINTR:
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("select of the descriptors up to %d: %w", p.top, err)
		case n > 0:
			return p.collect(events[:min(len(events), batchMax)])
		case timeout == 0:
			return 0, nil
		}
	}
}

// Close implements Poller.
func (p *selects) Close() error {
	if !p.stop() {
		return nil
	}
	p.table.close()
	if err := p.wake.Close(); err != nil {
		return fmt.Errorf("close the select poller: %w", err)
	}
	return nil
}

// Calls implements Counter. Who is watched is told with each wait.
func (p *selects) Calls() Calls { return p.calls }

// reach makes the sets long enough for fd.
func (p *selects) reach(fd int) error {
	for _, set := range [...]*selectSet{&p.read, &p.write, &p.readReady, &p.writeReady} {
		if !set.grow(fd) {
			return ErrSetSize
		}
	}
	p.top = max(p.top, fd)
	return nil
}

// ask enters fd's interest into the sets.
func (p *selects) ask(fd int, want Interest) {
	p.read.put(fd, want&Readable != 0)
	p.write.put(fd, want&Writable != 0)
}

// collect turns the sets into events and takes the wake-up out. It goes round:
// whoever finds no room is among the first in the next Wait.
func (p *selects) collect(events []Event) (n int, err error) {
	if p.readReady.has(p.wake.read) {
		p.readReady.put(p.wake.read, false)
		if err := p.woken(); err != nil {
			return 0, err
		}
	}
	for _, part := range [...]struct{ from, to int }{{p.next, p.top + 1}, {0, min(p.next, p.top+1)}} {
		for fd := part.from; n < len(events); fd++ {
			if fd = nextReady(&p.readReady, &p.writeReady, fd, part.to); fd >= part.to {
				break
			}
			events[n] = Event{Token: p.table.entries[p.table.find(fd)].token, Ready: p.ready(fd)}
			n++
			p.next = fd + 1
		}
	}
	return n, nil
}

// ready is what the sets say of fd.
func (p *selects) ready(fd int) (ready Ready) {
	if p.readReady.has(fd) {
		ready |= Readable
	}
	if p.writeReady.has(fd) {
		ready |= Writable
	}
	return ready
}
