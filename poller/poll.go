//go:build unix

package poller

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// pollBackend is poll(2), on Linux ppoll(2).
var pollBackend = backend("poll", Level, 0, openPoll)

// poll implements Poller. The kernel is handed the whole array in each Wait
// and walks it, so a wait costs time in proportion to the descriptors.
// ForceLevel is what it does anyway.
type poll struct {
	tablePoller
	fds  []unix.PollFd // the wake-up's, then one for each entry of table
	next int           // the position in table that collect starts at
}

func openPoll(Trigger) (Poller, error) {
	p := &poll{}
	if err := p.open("poll"); err != nil {
		return nil, err
	}
	p.fds = []unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}
	return p, nil
}

// Add implements Poller.
func (p *poll) Add(fd int, token Token, want Interest, flags Flags) error {
	err := p.table.Add(fd, token, want, flags)
	if err == nil {
		p.fds = append(p.fds, pollFD(fd, want))
	}
	return err
}

// Modify implements Poller.
func (p *poll) Modify(fd int, token Token, want Interest) error {
	err := p.table.Modify(fd, token, want)
	if err == nil {
		p.fds[p.find(fd)+1] = pollFD(fd, want)
	}
	return err
}

// Remove implements Poller.
func (p *poll) Remove(fd int) error {
	i, last := p.find(fd), len(p.fds)-1
	err := p.table.Remove(fd)
	if err == nil {
		p.fds[i+1] = p.fds[last]
		p.fds = p.fds[:last]
	}
	return err
}

// Wait implements Poller.
func (p *poll) Wait(events []Event, timeout time.Duration) (int, error) {
	if err := p.waits(events); err != nil {
		return 0, err
	}
	p.gap("waiting")
	p.calls.Wait++
	n, err := pollAll(p.fds, bounded(timeout))
	switch err {
	case nil:
		return p.collect(events[:min(len(events), batchMax)], n)
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("poll of %d descriptors: %w", len(p.fds), err)
}

// collect turns the ready entries of fds, of which there are count, into
// events and takes the wake-up out. It goes round: whoever finds no room is
// among the first in the next Wait.
func (p *poll) collect(events []Event, count int) (n int, err error) {
	if p.fds[0].Revents != 0 {
		count--
		if err := p.Woken(); err != nil {
			return 0, err
		}
	}
	entries := p.table.entries
	i := p.next
	for range entries {
		if n == count || n == len(events) {
			break
		}
		if i >= len(entries) {
			i = 0
		}
		if revents := p.fds[i+1].Revents; revents != 0 {
			events[n] = Event{Token: entries[i].token, Ready: pollReady(revents)}
			n++
		}
		i++
	}
	p.next = i
	return n, nil
}

// partsNap is how long the first part is waited for, when the kernel takes no more at a time.
const partsNap = 5 * time.Millisecond

// pollAll is poll(2). The kernel takes no more descriptors at a time than the process may have open now
// (RLIMIT_NOFILE, do_sys_poll in fs/select.c: EINVAL), and that can be lowered while more are open
// (prlimit(1)), and be less than an array with places that are passed over. Then it is asked in parts.
func pollAll(fds []unix.PollFd, timeout time.Duration) (int, error) {
	n, err := sysPoll(fds, timeout)
	if err != unix.EINVAL {
		return n, err
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) >= uint64(len(fds)) || limit.Cur == 0 {
		return n, err
	}
	return pollParts(fds, int(limit.Cur), timeout)
}

// pollParts asks about size descriptors at a time, and waits for the first of them, the poller's own, in between.
func pollParts(fds []unix.PollFd, size int, timeout time.Duration) (int, error) {
	for {
		count := 0
		for start := 0; start < len(fds); start += size {
			n, err := sysPoll(fds[start:min(start+size, len(fds))], 0)
			if err != nil {
				return 0, err
			}
			count += n
		}
		if count > 0 || timeout <= 0 {
			return count, nil
		}
		nap := min(timeout, partsNap)
		if _, err := sysPoll(fds[:size], nap); err != nil {
			return 0, err
		}
		timeout -= nap
	}
}

// pollFD asks for want. poll reports errors and hangups even to who asks for
// nothing, but passes over a negative descriptor.
func pollFD(fd int, want Interest) unix.PollFd {
	mask := pollMask(want)
	if mask == 0 {
		fd = -1
	}
	return unix.PollFd{Fd: int32(fd), Events: mask}
}

// pollMask is what to ask for. The hangup of the peer's sending side goes with
// reading, where the system tells it apart (pollRDHUP).
func pollMask(want Interest) (mask int16) {
	if want&Readable != 0 {
		mask |= unix.POLLIN | pollRDHUP
	}
	if want&Writable != 0 {
		mask |= unix.POLLOUT
	}
	return mask
}

// pollReady is what was reported. POLLNVAL is a descriptor that was closed
// before it was removed: the next call on it tells its owner.
func pollReady(mask int16) (ready Ready) {
	if mask&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		return Readable | Writable | Hangup
	}
	if mask&unix.POLLIN != 0 {
		ready |= Readable
	}
	if mask&pollRDHUP != 0 {
		ready |= Readable | Hangup
	}
	if mask&unix.POLLOUT != 0 {
		ready |= Writable
	}
	if mask&unix.POLLPRI != 0 {
		ready |= Urgent
	}
	return ready
}
