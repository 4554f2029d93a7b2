//go:build unix

package poller

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// table is the registrations of a backend whose kernel interface keeps none:
// dense, in no order, each found by its descriptor. A backend may keep an array
// of its own beside it, position by position.
type table struct {
	name    string // of the backend, for errors
	entries []entry
	at      []int32 // by descriptor: the position in entries, and one; 0: not registered
	closed  bool
}

// entry is one registered descriptor.
type entry struct {
	token Token
	fd    int32
	want  Interest
}

// Add implements Poller: fd is entered at the end. Flags are ignored. The kernel is asked whether there is such a
// descriptor, so the table grows with the highest there is, never with a mistake.
func (t *table) Add(fd int, token Token, want Interest, _ Flags) (err error) {
	switch {
	case token == tokenWake:
		err = ErrToken
	case t.closed:
		err = syscall.EBADF
	case t.find(fd) >= 0:
		err = syscall.EEXIST
	default:
		_, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	}
	if err != nil {
		return t.fail("add", fd, err)
	}
	for fd >= len(t.at) {
		t.at = append(t.at, 0)
	}
	t.entries = append(t.entries, entry{token: token, fd: int32(fd), want: want & (Readable | Writable)})
	t.at[fd] = int32(len(t.entries))
	return nil
}

// Modify implements Poller: fd keeps its position.
func (t *table) Modify(fd int, token Token, want Interest) error {
	err := t.missing(fd)
	if token == tokenWake {
		err = ErrToken
	}
	if err != nil {
		return t.fail("modify", fd, err)
	}
	e := &t.entries[t.find(fd)]
	e.token, e.want = token, want&(Readable|Writable)
	return nil
}

// Remove implements Poller: the last entry takes fd's position.
func (t *table) Remove(fd int) error {
	if err := t.missing(fd); err != nil {
		return t.fail("remove", fd, err)
	}
	i, last := t.find(fd), len(t.entries)-1
	t.entries[i] = t.entries[last]
	t.at[t.entries[i].fd] = int32(i) + 1
	t.at[fd] = 0
	t.entries = t.entries[:last]
	return nil
}

// find returns the position of fd, or -1.
func (t *table) find(fd int) int {
	if fd < 0 || fd >= len(t.at) {
		return -1
	}
	return int(t.at[fd]) - 1
}

// missing says why fd is not registered; nil: it is.
func (t *table) missing(fd int) error {
	switch {
	case t.closed:
		return syscall.EBADF
	case t.find(fd) < 0:
		return syscall.ENOENT
	}
	return nil
}

// waits says why there can be no Wait for these events; nil: there can.
func (t *table) waits(events []Event) error {
	switch {
	case len(events) == 0:
		return ErrNoRoom
	case t.closed:
		return fmt.Errorf("%s: the poller is closed: %w", t.name, unix.EBADF)
	}
	return nil
}

func (t *table) fail(op string, fd int, err error) error {
	return fmt.Errorf("%s %s fd %d: %w", t.name, op, fd, err)
}

// close forgets everything; later calls get EBADF.
func (t *table) close() { *t = table{name: t.name, closed: true} }

// tablePoller is what poll and select have in common: who is watched is told with each wait, so that there are no calls
// but those of Wait.
type tablePoller struct {
	Waker
	table
	calls Calls
}

// open makes the descriptor that ends a wait.
func (p *tablePoller) open(name string) error {
	p.name = name
	return p.Waker.Open(name + " poller")
}

// Close implements Poller.
func (p *tablePoller) Close() error {
	p.table.close()
	return p.Waker.Close()
}

// Calls implements Counter.
func (p *tablePoller) Calls() Calls { return p.calls }
