//go:build unix

package poller

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// spinBackend does not wait at all.
var spinBackend = Backend{Name: "spin", Triggers: Level, Open: openSpin}

// spin implements Poller without asking the kernel: in each Wait, which never
// blocks, descriptor after descriptor is reported ready for all that it is
// registered for, so its owner tries recv on every connection in turn and the
// call itself tells. It keeps a CPU busy by design. A Hangup is never
// reported: recv finds it.
type spin struct {
	waker
	woken atomic.Bool // what an eventfd is to other backends
	table table
	next  int // the position in table that the next batch starts at
}

func openSpin(o Options) (Poller, error) {
	if err := checkTrigger("spin", Level, o.Trigger); err != nil {
		return nil, err
	}
	return &spin{}, nil
}

// Add implements Poller. ForceLevel is what it does anyway, Exclusive is ignored.
func (p *spin) Add(fd int, token Token, want Interest, _ Flags) error {
	if err := p.table.add(fd, token, want); err != nil {
		return fmt.Errorf("spin add fd %d: %w", fd, err)
	}
	return nil
}

// Modify implements Poller.
func (p *spin) Modify(fd int, token Token, want Interest) error {
	if _, err := p.table.modify(fd, token, want); err != nil {
		return fmt.Errorf("spin modify fd %d: %w", fd, err)
	}
	return nil
}

// Remove implements Poller.
func (p *spin) Remove(fd int) error {
	if _, err := p.table.remove(fd); err != nil {
		return fmt.Errorf("spin remove fd %d: %w", fd, err)
	}
	return nil
}

// Wait implements Poller, but for the timeout, which it ignores: it returns at
// once, also when there is nothing to report. It goes round: whoever finds no
// room is among the first in the next Wait.
func (p *spin) Wait(events []Event, _ time.Duration) (n int, err error) {
	switch {
	case len(events) == 0:
		return 0, ErrNoRoom
	case p.table.closed:
		return 0, fmt.Errorf("spin: the poller is closed: %w", unix.EBADF)
	}
	gap(p.gaps.waiting)
	if p.woken.Load() {
		p.woken.Store(false)
		p.clear()
	}
	entries := p.table.entries
	room := min(len(events), batchMax)
	i := p.next
	for range entries {
		if n == room {
			break
		}
		if i >= len(entries) {
			i = 0
		}
		if e := entries[i]; e.want != 0 {
			events[n] = Event{Token: e.token, Ready: e.want}
			n++
		}
		i++
	}
	p.next = i
	return n, nil
}

// Wake implements Poller.
func (p *spin) Wake() error {
	if !p.claim() {
		return nil
	}
	p.woken.Store(true)
	p.release(nil)
	return nil
}

// Close implements Poller.
func (p *spin) Close() error {
	if p.stop() {
		p.table.close()
	}
	return nil
}
