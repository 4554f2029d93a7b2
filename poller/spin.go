//go:build unix

package poller

import "time"

// spinBackend does not wait at all.
var spinBackend = backend("spin", Level, 0, openSpin)

// spin implements Poller without asking the kernel: in each Wait, which never
// blocks, descriptor after descriptor is reported ready for all that it is
// registered for, so its owner tries recv on every connection in turn and the
// call itself tells. It keeps a CPU busy by design. A Hangup is never
// reported: recv finds it. ForceLevel is what it does anyway.
type spin struct {
	waker
	table
	next int // the position in table that the next batch starts at
}

func openSpin(Trigger) (Poller, error) { return &spin{table: table{name: "spin"}}, nil }

// Wait implements Poller, but for the timeout, which it ignores: it returns at
// once, also when there is nothing to report. It goes round: whoever finds no
// room is among the first in the next Wait.
func (p *spin) Wait(events []Event, _ time.Duration) (n int, err error) {
	if err := p.waits(events); err != nil {
		return 0, err
	}
	p.gap("waiting")
	if p.pending.Load() {
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
	if p.claim() {
		p.release(nil)
	}
	return nil
}

// Close implements Poller.
func (p *spin) Close() error {
	if p.stop() {
		p.table.close()
	}
	return nil
}
