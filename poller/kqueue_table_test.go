package poller

import (
	"errors"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var compareChanges = cmp.AllowUnexported(change{})

// Changes of a descriptor 7, in the notation of the tables below.
var (
	addRead   = change{fd: 7, filter: filterRead}
	addWrite  = change{fd: 7, filter: filterWrite}
	edgeRead  = change{fd: 7, filter: filterRead, clear: true}
	edgeWrite = change{fd: 7, filter: filterWrite, clear: true}
	delRead   = change{fd: 7, filter: filterRead, del: true}
	delWrite  = change{fd: 7, filter: filterWrite, del: true}
)

func TestKqueueAddChanges(t *testing.T) {
	for _, c := range []struct {
		name  string
		edge  bool
		want  Interest
		flags Flags
		wants []change
	}{
		{"level, nothing", false, 0, 0, nil},
		{"level, read", false, Readable, 0, []change{addRead}},
		{"level, write", false, Writable, 0, []change{addWrite}},
		{"level, both", false, Readable | Writable, 0, []change{addRead, addWrite}},
		{"edge, both", true, Readable | Writable, 0, []change{edgeRead, edgeWrite}},
		{"edge, forced level", true, Readable, ForceLevel, []change{addRead}},
		{"exclusive is ignored", true, Readable, Exclusive, []change{edgeRead}},
		{"hangup is no interest", false, Hangup, 0, nil},
	} {
		r := registrations{edge: c.edge}
		got, err := r.add(nil, 7, c.want, c.flags)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.wants, got, compareChanges); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestKqueueModifyChanges(t *testing.T) {
	for _, c := range []struct {
		name      string
		edge      bool
		flags     Flags
		had, want Interest
		wants     []change
	}{
		{"level, the same", false, 0, Readable, Readable, nil},
		{"level, read to write", false, 0, Readable, Writable, []change{delRead, addWrite}},
		{"level, write to read", false, 0, Writable, Readable, []change{addRead, delWrite}},
		{"level, read to both", false, 0, Readable, Readable | Writable, []change{addWrite}},
		{"level, both to nothing", false, 0, Readable | Writable, 0, []change{delRead, delWrite}},
		{"level, nothing to read", false, 0, 0, Readable, []change{addRead}},
		{"edge, the same: rearmed", true, 0, Readable, Readable, []change{delRead, edgeRead}},
		{"edge, both: rearmed", true, 0, Readable | Writable, Readable | Writable, []change{delRead, edgeRead, delWrite,
			edgeWrite}},
		{"edge, read to write", true, 0, Readable, Writable, []change{delRead, edgeWrite}},
		{"edge, read to nothing", true, 0, Readable, 0, []change{delRead}},
		{"forced level, the same", true, ForceLevel, Readable, Readable, nil},
		{"forced level, nothing to read", true, ForceLevel, 0, Readable, []change{addRead}},
	} {
		r := registrations{edge: c.edge}
		r.record(7, tokenOf7, c.had, c.flags)
		got, err := r.modify(nil, 7, c.want)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.wants, got, compareChanges); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
		if len(got) > changesMax {
			t.Errorf("%s: %d changes, room for %d", c.name, len(got), changesMax)
		}
	}
}

// What modify and remove undo is what the last record or replace said.
func TestKqueueChangesFollowTheRegistration(t *testing.T) {
	r := registrations{}
	r.record(7, tokenOf7, Readable, 0)
	r.replace(7, tokenOf7, Writable)
	got, err := r.modify(nil, 7, Readable)
	if diff := cmp.Diff([]change{addRead, delWrite}, got, compareChanges); diff != "" || err != nil {
		t.Errorf("modify: %v (-want +got)\n%s", err, diff)
	}
	got, err = r.remove(nil, 7)
	if diff := cmp.Diff([]change{delWrite}, got, compareChanges); diff != "" || err != nil {
		t.Errorf("remove: %v (-want +got)\n%s", err, diff)
	}
	got, err = r.add(nil, 7, Readable, 0)
	if diff := cmp.Diff([]change{addRead}, got, compareChanges); diff != "" || err != nil {
		t.Errorf("add: %v (-want +got)\n%s", err, diff)
	}
}

func TestKqueueTableErrors(t *testing.T) {
	r := registrations{}
	r.record(7, tokenOf7, Readable, 0)
	_, errTwice := r.add(nil, 7, Readable, 0)
	if !errors.Is(errTwice, syscall.EEXIST) {
		t.Errorf("add twice: got %v, want %v", errTwice, syscall.EEXIST)
	}
	for _, fd := range []int{-1, 6, 8, 1 << 30} {
		if _, err := r.modify(nil, fd, Readable); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("modify fd %d: got %v, want %v", fd, err, syscall.ENOENT)
		}
		if _, err := r.remove(nil, fd); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("remove fd %d: got %v, want %v", fd, err, syscall.ENOENT)
		}
	}
	if len(r.byFD) != 8 {
		t.Errorf("a mistake has made the table %d long, want 8", len(r.byFD))
	}
}

const (
	tokenOf7 = Token(1<<32 | 70)
	tokenOf9 = Token(5<<32 | 90)
	all      = Readable | Writable | Hangup
)

// One row is what one kevent(2) call returns and what it means. 7 and 9 are
// registered, 8 is not.
func TestKqueueBatches(t *testing.T) {
	read7, write7 := kevent{fd: 7, filter: filterRead}, kevent{fd: 7, filter: filterWrite}
	read9, write9 := kevent{fd: 9, filter: filterRead}, kevent{fd: 9, filter: filterWrite}
	eof := func(k kevent, errno int64) kevent { k.eof, k.errno = true, errno; return k }
	failed := func(k kevent, errno syscall.Errno) kevent { k.failed, k.errno = true, int64(errno); return k }
	for _, c := range []struct {
		name  string
		batch []kevent
		want  []Event
	}{
		{"nothing", nil, []Event{}},
		{"readable", []kevent{read7}, []Event{{tokenOf7, Readable}}},
		{"writable", []kevent{write7}, []Event{{tokenOf7, Writable}}},
		{"both filters are one event", []kevent{read7, write7}, []Event{{tokenOf7, Readable | Writable}}},
		{"writing first", []kevent{write7, read7}, []Event{{tokenOf7, Readable | Writable}}},
		{"two descriptors, filters interleaved", []kevent{read7, read9, write7, write9},
			[]Event{{tokenOf7, Readable | Writable}, {tokenOf9, Readable | Writable}}},
		{"all reads, then all writes, in another order", []kevent{read7, read9, write9, write7},
			[]Event{{tokenOf7, Readable | Writable}, {tokenOf9, Readable | Writable}}},
		{"the peer has finished sending", []kevent{eof(read7, 0)}, []Event{{tokenOf7, Readable | Hangup}}},
		{"half-closed and writable", []kevent{eof(read7, 0), write7}, []Event{{tokenOf7, all}}},
		{"the connection is gone", []kevent{eof(read7, 0), eof(write7, 0)}, []Event{{tokenOf7, all}}},
		{"nobody reads what is sent", []kevent{eof(write7, 0)}, []Event{{tokenOf7, all}}},
		{"reset, reading alone", []kevent{eof(read7, int64(syscall.ECONNRESET))}, []Event{{tokenOf7, all}}},
		{"reset of one, data for the other", []kevent{eof(read7, int64(syscall.ECONNRESET)),
			eof(write7, int64(syscall.ECONNRESET)), read9},
			[]Event{{tokenOf7, all}, {tokenOf9, Readable}}},
		{"EV_ERROR", []kevent{failed(read7, syscall.EBADF)}, []Event{{tokenOf7, all}}},
		{"a receipt is no event", []kevent{failed(read7, 0), read9}, []Event{{tokenOf9, Readable}}},
		{"not registered", []kevent{{fd: 8, filter: filterRead}, {fd: -1, filter: filterRead},
			{fd: 1 << 30, filter: filterRead}, read9},
			[]Event{{tokenOf9, Readable}}},
	} {
		r := registrations{edge: true}
		r.record(7, tokenOf7, Readable|Writable, 0)
		r.record(9, tokenOf9, Readable|Writable, 0)
		// Twice: what one batch has merged must not leak into the next.
		for round := range 2 {
			if diff := cmp.Diff(c.want, translate(&r, c.batch)); diff != "" {
				t.Errorf("%s, round %d: (-want +got)\n%s", c.name, round, diff)
			}
		}
	}
}

// A descriptor that is closed and reused between two batches comes with its new token.
func TestKqueueTokenOfAReusedDescriptor(t *testing.T) {
	r := registrations{edge: true}
	r.record(7, tokenOf7, Readable|Writable, 0)
	batch := []kevent{{fd: 7, filter: filterRead}}
	if diff := cmp.Diff([]Event{{tokenOf7, Readable}}, translate(&r, batch)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := r.remove(nil, 7); err != nil {
		t.Fatal(err)
	}
	if got := translate(&r, batch); len(got) != 0 {
		t.Errorf("after remove: %v", got)
	}
	r.record(7, tokenOf7+1<<32, Readable, 0)
	if diff := cmp.Diff([]Event{{tokenOf7 + 1<<32, Readable}}, translate(&r, batch)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	r.replace(7, tokenOf7+2<<32, Readable)
	if diff := cmp.Diff([]Event{{tokenOf7 + 2<<32, Readable}}, translate(&r, batch)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestKqueueTableDoesNotAllocate(t *testing.T) {
	r := registrations{edge: true}
	r.record(7, tokenOf7, Readable, 0) // has grown
	if _, err := r.remove(nil, 7); err != nil {
		t.Fatal(err)
	}
	changes := make([]change, 0, changesMax)
	events := make([]Event, 2)
	n := testing.AllocsPerRun(100, func() {
		_, errAdd := r.add(changes, 7, Readable|Writable, 0)
		r.record(7, tokenOf7, Readable|Writable, 0)
		_, errModify := r.modify(changes, 7, Readable|Writable)
		r.begin()
		count := r.merge(events, 0, kevent{fd: 7, filter: filterRead})
		count = r.merge(events, count, kevent{fd: 7, filter: filterWrite})
		_, errRemove := r.remove(changes, 7)
		if count != 1 || errAdd != nil || errModify != nil || errRemove != nil {
			t.Fatal(count, errAdd, errModify, errRemove)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// translate is what kqueue's Wait does with a batch.
func translate(r *registrations, batch []kevent) []Event {
	events := make([]Event, len(batch))
	n := 0
	r.begin()
	for _, k := range batch {
		n = r.merge(events, n, k)
	}
	return events[:n]
}
