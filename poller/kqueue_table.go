package poller

import "syscall"

// This file is the part of kqueue that makes no system call: which changes an
// interest means, and which Events a batch of kevents means. It is built
// everywhere, so that it is tested everywhere; kqueue.go talks to the kernel.

// filter is a kevent's filter. The kernels' own numbers differ (EVFILT_READ is
// 0 on NetBSD, -1 elsewhere).
type filter uint8

const (
	filterRead filter = iota
	filterWrite
)

// change is one kevent to submit.
type change struct {
	fd     int
	filter filter
	del    bool // EV_DELETE; else EV_ADD
	clear  bool // EV_CLEAR: edge-triggered
}

// changesMax is the most changes of one call: Modify deletes and adds both filters.
const changesMax = 4

// kevent is one kevent received.
type kevent struct {
	fd     int
	filter filter
	eof    bool  // EV_EOF
	failed bool  // EV_ERROR
	errno  int64 // fflags with EV_EOF (the socket's error), data with EV_ERROR; 0: none
}

// ready is what one kevent says.
func (k kevent) ready() Ready {
	const all = Readable | Writable | Hangup
	switch {
	case k.failed && k.errno == 0:
		return 0 // EV_RECEIPT's way to say that a change was made
	case k.failed, k.eof && k.errno != 0:
		return all
	case k.filter == filterWrite && k.eof:
		return all // nothing can be sent any more: the connection is gone
	case k.eof:
		return Readable | Hangup
	}
	return k.filter.interest()
}

// registration is what is known of one descriptor.
type registration struct {
	token  Token
	batch  uint64 // the last batch that reported it
	slot   int    // where in that batch's events
	want   Interest
	level  bool // no EV_CLEAR
	exists bool
}

// registrations finds the token of a kevent by its descriptor. A kevent's
// udata, where a token could travel, is a pointer that the garbage collector
// would follow. The table may be trusted without a generation of its own: a
// change is made at once, never with the next wait, and kernels drop the
// kevents of a descriptor that is removed or closed, so each batch is
// translated under the registrations that it was made under. After that the
// token's generation tells.
type registrations struct {
	edge  bool
	batch uint64
	byFD  []registration
}

// find returns the registration of fd, or nil.
func (r *registrations) find(fd int) *registration {
	if fd < 0 || fd >= len(r.byFD) || !r.byFD[fd].exists {
		return nil
	}
	return &r.byFD[fd]
}

// add appends the changes that register fd. record must follow once they are made.
func (r *registrations) add(changes []change, fd int, want Interest, flags Flags) ([]change, error) {
	if r.find(fd) != nil {
		return nil, syscall.EEXIST
	}
	level := !r.edge || flags&ForceLevel != 0
	for _, f := range [...]filter{filterRead, filterWrite} {
		if want&f.interest() != 0 {
			changes = append(changes, change{fd: fd, filter: f, clear: !level})
		}
	}
	return changes, nil
}

// record enters fd, which the kernel has accepted: the table grows with the
// highest descriptor there is, never with a caller's mistake.
func (r *registrations) record(fd int, token Token, want Interest, flags Flags) {
	for fd >= len(r.byFD) {
		r.byFD = append(r.byFD, registration{})
	}
	level := !r.edge || flags&ForceLevel != 0
	r.byFD[fd] = registration{token: token, want: want & (Readable | Writable), level: level, exists: true}
}

// modify appends the changes that turn fd's interest into want. A level filter
// that stays needs none. One with EV_CLEAR is deleted and added, which looks
// at the descriptor anew on every kernel; whether adding it once more does
// so is nowhere promised.
func (r *registrations) modify(changes []change, fd int, want Interest) ([]change, error) {
	reg := r.find(fd)
	if reg == nil {
		return nil, syscall.ENOENT
	}
	for _, f := range [...]filter{filterRead, filterWrite} {
		had, has := reg.want&f.interest() != 0, want&f.interest() != 0
		if had && (!has || !reg.level) {
			changes = append(changes, change{fd: fd, filter: f, del: true})
		}
		if has && (!had || !reg.level) {
			changes = append(changes, change{fd: fd, filter: f, clear: !reg.level})
		}
	}
	return changes, nil
}

// replace enters what modify's changes made. fd is registered.
func (r *registrations) replace(fd int, token Token, want Interest) {
	reg := &r.byFD[fd]
	reg.token, reg.want = token, want&(Readable|Writable)
}

// remove appends the changes that forget fd, and forgets it.
func (r *registrations) remove(changes []change, fd int) ([]change, error) {
	reg := r.find(fd)
	if reg == nil {
		return nil, syscall.ENOENT
	}
	for _, f := range [...]filter{filterRead, filterWrite} {
		if reg.want&f.interest() != 0 {
			changes = append(changes, change{fd: fd, filter: f, del: true})
		}
	}
	*reg = registration{}
	return changes, nil
}

// begin starts a batch: the events of a descriptor are merged within one.
func (r *registrations) begin() { r.batch++ }

// merge enters k into events, of which n are in use, and returns how many are
// then: a descriptor's second kevent of a batch is added to its first. There
// must be room for one more.
func (r *registrations) merge(events []Event, n int, k kevent) int {
	reg, ready := r.find(k.fd), k.ready()
	if reg == nil || ready == 0 {
		return n
	}
	if reg.batch == r.batch {
		events[reg.slot].Ready |= ready
		return n
	}
	reg.batch, reg.slot = r.batch, n
	events[n] = Event{Token: reg.token, Ready: ready}
	return n + 1
}

// interest is the direction that a filter watches.
func (f filter) interest() Interest {
	if f == filterWrite {
		return Writable
	}
	return Readable
}
