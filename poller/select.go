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
var selectBackend = backend("select", Level, selectMax, openSelect)

// ErrSetSize is returned by select's Add, but on Linux, for a descriptor that
// its sets have no room for.
var ErrSetSize = errors.New("poller: the descriptor is beyond FD_SETSIZE, which bounds select on this system: " +
	"use poll or kqueue, or lower limits.connections")

// selects implements Poller. The sets hold what to ask for; select writes what
// is ready over a copy. Both, and so the time that a wait costs, are as long as
// the highest descriptor is high. An error on a descriptor is reported in the
// directions that were asked for, and a Hangup never: recv finds it.
// ForceLevel is what it does anyway.
type selects struct {
	tablePoller
	read       selectSet // asked for; the wake-up's among them
	write      selectSet
	readReady  selectSet // the copies that select writes to
	writeReady selectSet
	top        int // the highest descriptor in use
	next       int // the descriptor that collect starts at
}

func openSelect(Trigger) (Poller, error) {
	p := &selects{}
	if err := p.open("select"); err != nil {
		return nil, err
	}
	if err := p.reach(p.FD()); err != nil {
		return nil, errors.Join(fmt.Errorf("select: fd %d of the poller's own: %w", p.FD(), err), p.Close())
	}
	p.read.put(p.FD(), true)
	return p, nil
}

// Add implements Poller.
func (p *selects) Add(fd int, token Token, want Interest, flags Flags) error {
	if err := p.table.Add(fd, token, want, flags); err != nil {
		return err
	}
	if err := p.reach(fd); err != nil {
		_ = p.table.Remove(fd) // it was entered just now
		return p.fail("add", fd, err)
	}
	p.ask(fd, want)
	return nil
}

// Modify implements Poller.
func (p *selects) Modify(fd int, token Token, want Interest) error {
	err := p.table.Modify(fd, token, want)
	if err == nil {
		p.ask(fd, want)
	}
	return err
}

// Remove implements Poller.
func (p *selects) Remove(fd int) error {
	if err := p.table.Remove(fd); err != nil {
		return err
	}
	p.ask(fd, 0)
	for p.top > p.FD() && p.find(p.top) < 0 {
		p.top--
	}
	return nil
}

// Wait implements Poller.
func (p *selects) Wait(events []Event, timeout time.Duration) (int, error) {
	if err := p.waits(events); err != nil {
		return 0, err
	}
	p.gap("waiting")
	p.readReady.copy(&p.read, p.top+1)
	p.writeReady.copy(&p.write, p.top+1)
	p.calls.Wait++
	n, err := sysSelect(p.top+1, &p.readReady, &p.writeReady, bounded(timeout))
	switch {
	case err == unix.EINTR || err == nil && n == 0:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("select of the descriptors up to %d: %w", p.top, err)
	}
	return p.collect(events[:min(len(events), batchMax)])
}

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
	if fd := p.FD(); p.readReady.has(fd) {
		p.readReady.put(fd, false)
		if err := p.Woken(); err != nil {
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
