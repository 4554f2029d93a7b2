//go:build unix

package poller

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// table is the registrations of a backend whose kernel interface keeps none:
// dense, in no order, each found by its descriptor. A backend may keep an array
// of its own beside it, position by position.
type table struct {
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

// add registers fd at the end. The kernel is asked whether there is such a
// descriptor, so the table grows with the highest there is, never with a mistake.
func (t *table) add(fd int, token Token, want Interest) error {
	switch {
	case token == tokenWake:
		return ErrToken
	case t.closed:
		return syscall.EBADF
	case t.find(fd) >= 0:
		return syscall.EEXIST
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return err
	}
	for fd >= len(t.at) {
		t.at = append(t.at, 0)
	}
	t.entries = append(t.entries, entry{token: token, fd: int32(fd), want: want & (Readable | Writable)})
	t.at[fd] = int32(len(t.entries))
	return nil
}

// modify replaces the token and the interest of fd and returns its position.
func (t *table) modify(fd int, token Token, want Interest) (int, error) {
	if token == tokenWake {
		return 0, ErrToken
	}
	i, err := t.lookup(fd)
	if err != nil {
		return 0, err
	}
	t.entries[i].token, t.entries[i].want = token, want&(Readable|Writable)
	return i, nil
}

// remove forgets fd: the last entry takes its position, which is returned.
func (t *table) remove(fd int) (int, error) {
	i, err := t.lookup(fd)
	if err != nil {
		return 0, err
	}
	last := len(t.entries) - 1
	t.entries[i] = t.entries[last]
	t.at[t.entries[i].fd] = int32(i) + 1
	t.at[fd] = 0
	t.entries = t.entries[:last]
	return i, nil
}

// find returns the position of fd, or -1.
func (t *table) find(fd int) int {
	if fd < 0 || fd >= len(t.at) {
		return -1
	}
	return int(t.at[fd]) - 1
}

// lookup is find with an error.
func (t *table) lookup(fd int) (int, error) {
	i := t.find(fd)
	switch {
	case t.closed:
		return 0, syscall.EBADF
	case i < 0:
		return 0, syscall.ENOENT
	}
	return i, nil
}

// close forgets everything; later calls get EBADF.
func (t *table) close() { *t = table{closed: true} }
