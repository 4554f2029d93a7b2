package faults_test

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/test/faults"
)

// mode is which of the calls fail.
type mode struct {
	name         string
	every, times uint64
}

var (
	always = mode{name: "always"}
	second = mode{name: "every second", every: 2}
	third  = mode{name: "every third", every: 3}
	once   = mode{name: "once", times: 1}
)

// row is calls that fail in one way, and what follows. Its errors are a class: they are handled alike.
type row struct {
	call   int
	name   string
	arg    int           // the argument that is a descriptor
	on     []faults.Kind // what that is of; nil: anything, or nothing
	only   func(c *faults.Call) bool
	way    faults.Way
	errnos []unix.Errno // the first is the short form's
	modes  []mode       // the first is the short form's
	// said is in an event of a warning or an error: one of several texts, with | between them. "": nothing is said.
	said string
	// deaf: while it lasts nobody is accepted, and /readyz says so.
	deaf bool
	// blind: it is the control plane's own call, so that /readyz may not be heard.
	blind bool
	// alike: the loops of all backends make the call by the same code, so that one of them is the short form.
	alike bool
	// counted is a number of the control plane's that has grown: what cannot be said, or is said once a minute.
	counted string
	// act is done again and again meanwhile, so that the call is made.
	act func(s *server)
	// in are the models whose servers make the call so; "": all. A model stands for all its triggers.
	in string
}

func errnos(all ...unix.Errno) []unix.Errno { return all }
func on(all ...faults.Kind) []faults.Kind   { return all }

// Groups of models.
const (
	loops     = "epoll poll select sigio spin io_uring"
	ownAccept = "epoll poll select sigio spin blocking goroutine netpoll" // io_uring's kernel accepts by itself
	// warms are those whose loops have a worker read what is not in memory: a thread may wait for the disk itself.
	warms = loops + " goroutine netpoll"
	// mayWait are those that a call may tell to wait although it need not: under an edge trigger, and in Go's poller,
	// an event would have to follow, which a call that was never made does not bring.
	mayWait = "epoll,level poll select spin blocking netpoll"
)

// runs reports whether a server of that kind makes the row's call.
func (r *row) runs(v variant) bool {
	return r.in == "" || slices.ContainsFunc(strings.Fields(r.in), func(word string) bool {
		return word == v.Model || word == v.String()
	})
}

// matches is the condition on the row's calls.
func (r *row) matches(p *faults.Process, c *faults.Call) bool {
	if r.only != nil && !r.only(c) {
		return false
	}
	if r.on == nil {
		return true
	}
	return slices.Contains(r.on, p.Kind(int(int32(c.Args[r.arg]))))
}

func (r *row) fault(errno unix.Errno, m mode) *faults.Fault {
	return &faults.Fault{Number: r.call, Way: r.way, Errno: errno, Delay: delay, Every: m.every, Times: m.times,
		Match: r.matches}
}

// delay is that of a call which is held up.
const delay = 30 * time.Millisecond

func adds(c *faults.Call) bool { return c.Args[1] == unix.EPOLL_CTL_ADD }

// newAdmin has the next question to the control plane come by a new connection.
func newAdmin(s *server) { s.admin.CloseIdleConnections() }

// scrape has the control plane look at the process, in /proc.
func scrape(s *server) { _, _, _ = s.ask("/metrics") } // what fails is looked for by /readyz and by the events

// tell has the server say something: it reads its configuration again.
func tell(s *server) { _ = s.cmd.Process.Signal(unix.SIGHUP) }

// unread is in the event of a file that cannot be read.
const unread = "cannot be read"

// rows are the matrix of what a server does for its clients: each is tried in each model that makes the call, with
// each of its errors and modes.
var rows = slices.Concat(acceptRows, receiveRows, sendRows, fileRows, lateRows, logRows, waitRows, optionRows,
	adminRows)

var acceptRows = []row{
	{call: unix.SYS_ACCEPT4, name: "accept4", on: on(faults.Listener), in: ownAccept,
		errnos: errnos(unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS), modes: []mode{always, once},
		said: "out of descriptors", deaf: true},
	{call: unix.SYS_ACCEPT4, name: "accept4", on: on(faults.Listener), in: ownAccept,
		errnos: errnos(unix.EPERM, unix.EIO, unix.EACCES, unix.ENOSYS), modes: []mode{always, once},
		said: "accepting fails", deaf: true},
	{call: unix.SYS_ACCEPT4, name: "accept4", on: on(faults.Listener), in: ownAccept,
		errnos: errnos(unix.ECONNABORTED, unix.EPROTO, unix.EINTR, unix.ENETUNREACH), modes: []mode{second, once}},
	{call: unix.SYS_ACCEPT4, name: "accept4", on: on(faults.Listener),
		in:     "epoll poll select sigio spin blocking netpoll",
		errnos: errnos(unix.EAGAIN), modes: []mode{second, once}},
	{call: unix.SYS_GETPEERNAME, name: "getpeername", on: on(faults.Connection), in: "io_uring",
		errnos: errnos(unix.ENOTCONN, unix.ENOBUFS), modes: []mode{always, once}},
	{call: unix.SYS_SHUTDOWN, name: "shutdown", on: on(faults.Connection), alike: true,
		errnos: errnos(unix.ENOTCONN, unix.ENOBUFS), modes: []mode{always, third}},
	{call: unix.SYS_CLOSE, name: "close", on: on(faults.Connection, faults.Regular, faults.Directory),
		way: faults.Delay, modes: []mode{third}},
}

var receiveRows = []row{
	{call: unix.SYS_RECVFROM, name: "recvfrom", on: on(faults.Connection), alike: true, in: loops + " blocking",
		errnos: errnos(unix.ECONNRESET, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENOMEM),
		modes:  []mode{third, always, once}},
	{call: unix.SYS_RECVFROM, name: "recvfrom", on: on(faults.Connection), alike: true, in: loops + " blocking",
		errnos: errnos(unix.EINTR), modes: []mode{second, once}},
	{call: unix.SYS_RECVFROM, name: "recvfrom", on: on(faults.Connection), in: "epoll,level poll select spin blocking",
		errnos: errnos(unix.EAGAIN), modes: []mode{second, once}},
	{call: unix.SYS_RECVFROM, name: "recvfrom", on: on(faults.Connection), in: loops + " blocking",
		way: faults.Short, modes: []mode{always, third}},
	{call: unix.SYS_READ, name: "read", on: on(faults.Connection), alike: true, in: "goroutine",
		errnos: errnos(unix.ECONNRESET, unix.ETIMEDOUT, unix.ENOMEM), modes: []mode{third, always, once}},
	{call: unix.SYS_READ, name: "read", on: on(faults.Connection), alike: true, in: "goroutine",
		errnos: errnos(unix.EINTR), modes: []mode{second, once}},
	{call: unix.SYS_READV, name: "readv", on: on(faults.Connection), alike: true, in: "netpoll",
		errnos: errnos(unix.ECONNRESET, unix.ETIMEDOUT, unix.ENOMEM), modes: []mode{third, always, once}},
	{call: unix.SYS_READV, name: "readv", on: on(faults.Connection), in: "netpoll",
		errnos: errnos(unix.EINTR, unix.EAGAIN), modes: []mode{second, once}},
}

var sendRows = []row{
	{call: unix.SYS_SENDTO, name: "sendto", on: on(faults.Connection), alike: true,
		errnos: errnos(unix.EPIPE, unix.ECONNRESET, unix.ENOBUFS, unix.ENOMEM, unix.ETIMEDOUT),
		modes:  []mode{third, always, once}},
	{call: unix.SYS_SENDTO, name: "sendto", on: on(faults.Connection), alike: true, errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: unix.SYS_SENDTO, name: "sendto", on: on(faults.Connection), in: mayWait,
		errnos: errnos(unix.EAGAIN), modes: []mode{second, once}},
	{call: unix.SYS_SENDTO, name: "sendto", on: on(faults.Connection), in: mayWait + " io_uring goroutine",
		way: faults.Short, modes: []mode{always, third}},
	{call: unix.SYS_SENDMSG, name: "sendmsg", on: on(faults.Connection), alike: true,
		errnos: errnos(unix.EPIPE, unix.ECONNRESET, unix.ENOBUFS, unix.ENOMEM, unix.ETIMEDOUT),
		modes:  []mode{second, always, once}},
	{call: unix.SYS_SENDMSG, name: "sendmsg", on: on(faults.Connection), alike: true, errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: unix.SYS_SENDMSG, name: "sendmsg", on: on(faults.Connection), in: mayWait,
		errnos: errnos(unix.EAGAIN), modes: []mode{second, once}},
	{call: unix.SYS_SENDMSG, name: "sendmsg", on: on(faults.Connection), in: mayWait + " io_uring goroutine",
		way: faults.Short, modes: []mode{always}},
	{call: unix.SYS_SENDFILE, name: "sendfile", on: on(faults.Connection), alike: true,
		errnos: errnos(unix.EIO, unix.ENOMEM, unix.ESTALE), modes: []mode{third, always, once},
		said: "cannot be read to its end"},
	{call: unix.SYS_SENDFILE, name: "sendfile", on: on(faults.Connection), alike: true,
		errnos: errnos(unix.EPIPE, unix.ECONNRESET, unix.ENOTCONN, unix.ENOBUFS), modes: []mode{third, always, once}},
	{call: unix.SYS_SENDFILE, name: "sendfile", on: on(faults.Connection), alike: true, // it is copied instead
		errnos: errnos(unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM), modes: []mode{always, third, once}},
	{call: unix.SYS_SENDFILE, name: "sendfile", on: on(faults.Connection), in: mayWait,
		errnos: errnos(unix.EAGAIN), modes: []mode{second, once}},
	{call: unix.SYS_SENDFILE, name: "sendfile", on: on(faults.Connection), alike: true, errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: unix.SYS_SENDFILE, name: "sendfile", on: on(faults.Connection), way: faults.Short,
		modes: []mode{always, third}},
}

var fileRows = []row{
	{call: unix.SYS_OPENAT2, name: "openat2", on: on(faults.Directory), alike: true,
		errnos: errnos(unix.EMFILE, unix.ENFILE), modes: []mode{always, third, once}, said: "too many open files"},
	{call: unix.SYS_OPENAT2, name: "openat2", on: on(faults.Directory), alike: true,
		errnos: errnos(unix.EIO, unix.ESTALE), modes: []mode{always, third}, said: unread},
	{call: unix.SYS_OPENAT2, name: "openat2", on: on(faults.Directory), alike: true,
		errnos: errnos(unix.ENOMEM), modes: []mode{always, third}, said: "no memory"},
	{call: unix.SYS_OPENAT2, name: "openat2", on: on(faults.Directory), alike: true,
		errnos: errnos(unix.EACCES, unix.EPERM), modes: []mode{always, third}, said: "denied"},
	{call: unix.SYS_OPENAT2, name: "openat2", on: on(faults.Directory), alike: true,
		errnos: errnos(unix.EAGAIN, unix.EINTR), modes: []mode{second, once}},
	{call: unix.SYS_GETDENTS64, name: "getdents64", on: on(faults.Directory), alike: true,
		errnos: errnos(unix.EIO, unix.ESTALE, unix.ENOMEM), modes: []mode{always, once},
		said: unread + "|no memory"},
	{call: unix.SYS_FSTAT, name: "fstat", on: on(faults.Regular, faults.Directory), alike: true,
		errnos: errnos(unix.EIO, unix.ESTALE, unix.ENOMEM), modes: []mode{always, third},
		said: unread + "|no memory"},
	// Whether the root is still the same is asked again by another way.
	{call: unix.SYS_STATX, name: "statx", on: on(faults.Directory), alike: true,
		errnos: errnos(unix.EIO, unix.ESTALE, unix.ENOMEM), modes: []mode{always, third, once}},
	{call: unix.SYS_NEWFSTATAT, name: "newfstatat", on: on(faults.Directory), alike: true, // the rows of a listing
		errnos: errnos(unix.EIO, unix.ESTALE, unix.ENOMEM), modes: []mode{always, third},
		said: unread + "|no memory"},
	{call: unix.SYS_PREAD64, name: "pread64", on: on(faults.Regular), alike: true, in: warms,
		errnos: errnos(unix.EIO, unix.ESTALE), modes: []mode{always, once}, said: unread},
	{call: unix.SYS_PREAD64, name: "pread64", on: on(faults.Regular), alike: true, in: warms,
		errnos: errnos(unix.EINTR), modes: []mode{second, once}},
	{call: unix.SYS_PREAD64, name: "pread64", on: on(faults.Regular), alike: true, in: warms, way: faults.Short,
		modes: []mode{always}},
	// What cannot be read without waiting is read by a worker, which waits.
	{call: unix.SYS_PREADV2, name: "preadv2", on: on(faults.Regular), alike: true,
		errnos: errnos(unix.EIO, unix.EAGAIN, unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.ESTALE),
		modes:  []mode{always, third, once}},
	{call: unix.SYS_PREADV2, name: "preadv2", on: on(faults.Regular), alike: true, errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: unix.SYS_PREADV2, name: "preadv2", on: on(faults.Regular), alike: true, way: faults.Short,
		modes: []mode{always, third}},
}

// lateRows are calls that are held up, by a disk or a file server that is slow, or by the kernel's own locks.
var lateRows = []row{
	{call: unix.SYS_OPENAT2, name: "openat2", on: on(faults.Directory), alike: true, way: faults.Delay,
		modes: []mode{third}},
	{call: unix.SYS_GETDENTS64, name: "getdents64", on: on(faults.Directory), alike: true, way: faults.Delay,
		modes: []mode{always}},
	{call: unix.SYS_PREAD64, name: "pread64", on: on(faults.Regular), alike: true, in: warms, way: faults.Delay,
		modes: []mode{always}},
	{call: unix.SYS_SENDFILE, name: "sendfile", on: on(faults.Connection), alike: true, way: faults.Delay,
		modes: []mode{third}},
	{call: unix.SYS_SENDTO, name: "sendto", on: on(faults.Connection), alike: true, way: faults.Delay,
		modes: []mode{third}},
	{call: unix.SYS_ACCEPT4, name: "accept4", on: on(faults.Listener), in: ownAccept, alike: true, way: faults.Delay,
		modes: []mode{third}},
	{call: unix.SYS_WRITE, name: "write", on: on(faults.Regular), alike: true, way: faults.Delay,
		modes: []mode{always}},
}

var logRows = []row{
	{call: unix.SYS_WRITE, name: "write", on: on(faults.Regular), alike: true, errnos: errnos(unix.EINTR, unix.EAGAIN),
		modes: []mode{second, once}},
	{call: unix.SYS_WRITE, name: "write", on: on(faults.Regular), alike: true, way: faults.Short,
		modes: []mode{always}},
	{call: unix.SYS_WRITE, name: "write", on: on(faults.Regular), alike: true,
		errnos: errnos(unix.ENOSPC, unix.EIO, unix.EDQUOT), modes: []mode{always, third},
		said: "lines were lost", counted: "evhttpd_access_log_lines_dropped_total"},
	// Standard error, a pipe: that its reader is gone can be told by nobody. It is counted.
	{call: unix.SYS_WRITE, name: "write", on: on(faults.Pipe), alike: true, act: tell,
		errnos: errnos(unix.EPIPE, unix.EIO), modes: []mode{always, once}, counted: "evhttpd_events_dropped_total"},
	{call: unix.SYS_WRITE, name: "write", on: on(faults.Pipe), alike: true, act: tell,
		errnos: errnos(unix.EAGAIN, unix.EINTR), modes: []mode{second, once}},
}

var waitRows = []row{
	{call: unix.SYS_EPOLL_CTL, name: "epoll_ctl", on: on(faults.Epoll), only: adds, in: "epoll",
		errnos: errnos(unix.ENOMEM, unix.ENOSPC), modes: []mode{always, third, once},
		said: "watching a connection fails"},
	{call: unix.SYS_EPOLL_CTL, name: "epoll_ctl", on: on(faults.Epoll), only: adds, in: "netpoll",
		errnos: errnos(unix.ENOMEM, unix.ENOSPC), modes: []mode{always, third},
		said: "handing a connection to netpoll"},
	{call: unix.SYS_EPOLL_PWAIT, name: "epoll_pwait", on: on(faults.Epoll), in: "epoll", errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: epollWait, name: "epoll_wait", on: on(faults.Epoll), in: "netpoll", errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: unix.SYS_PPOLL, name: "ppoll", in: "poll sigio blocking netpoll", errnos: errnos(unix.ENOMEM),
		modes: []mode{second, once}, said: "waiting for"},
	{call: unix.SYS_PPOLL, name: "ppoll", in: "poll sigio blocking netpoll", errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: unix.SYS_PSELECT6, name: "pselect6", in: "select", errnos: errnos(unix.ENOMEM), modes: []mode{second, once},
		said: "waiting for events fails"},
	{call: unix.SYS_PSELECT6, name: "pselect6", in: "select", errnos: errnos(unix.EINTR), modes: []mode{second, once}},
	{call: unix.SYS_IO_URING_ENTER, name: "io_uring_enter", in: "io_uring",
		errnos: errnos(unix.ENOMEM, unix.EAGAIN, unix.EBUSY), modes: []mode{second, always, once},
		said: "waiting for events fails"},
	{call: unix.SYS_IO_URING_ENTER, name: "io_uring_enter", in: "io_uring", errnos: errnos(unix.EINTR),
		modes: []mode{second, once}},
	{call: unix.SYS_READ, name: "read", on: on(faults.Eventfd), in: "poll select sigio",
		errnos: errnos(unix.EAGAIN, unix.EINTR), modes: []mode{second, once}},
	{call: unix.SYS_WRITE, name: "write", on: on(faults.Eventfd), in: "epoll poll select sigio io_uring",
		errnos: errnos(unix.EINTR), modes: []mode{second, once}},
}

var optionRows = []row{
	{call: unix.SYS_SETSOCKOPT, name: "setsockopt", on: on(faults.Connection), in: "blocking",
		errnos: errnos(unix.ENOMEM, unix.EINVAL), modes: []mode{always, third, once},
		said: "bounding a connection's waits"},
	// Package net passes over it.
	{call: unix.SYS_SETSOCKOPT, name: "setsockopt", on: on(faults.Connection), in: "goroutine",
		errnos: errnos(unix.ENOMEM, unix.EINVAL), modes: []mode{always, third, once}},
	{call: unix.SYS_GETSOCKNAME, name: "getsockname", on: on(faults.Connection), in: "goroutine",
		errnos: errnos(unix.ENOBUFS), modes: []mode{always, once}},
	{call: unix.SYS_FCNTL, name: "fcntl", on: on(faults.Connection), in: "sigio",
		errnos: errnos(unix.ENOMEM, unix.EPERM), modes: []mode{always, third, once},
		said: "watching a connection fails"},
}

var adminRows = []row{
	{call: unix.SYS_ACCEPT4, name: "accept4", on: on(faults.UnixListener), act: newAdmin, blind: true, alike: true,
		errnos: errnos(unix.EMFILE, unix.ENOMEM, unix.EPERM), modes: []mode{second, once},
		said: "the control plane accepts nobody"},
	{call: unix.SYS_READ, name: "read", on: on(faults.UnixSocket), blind: true, alike: true,
		errnos: errnos(unix.ECONNRESET, unix.ENOMEM), modes: []mode{third, once}},
	{call: unix.SYS_WRITE, name: "write", on: on(faults.UnixSocket), blind: true, alike: true,
		errnos: errnos(unix.EPIPE, unix.ENOBUFS), modes: []mode{third, once}},
	{call: unix.SYS_OPENAT, name: "openat", act: scrape, alike: true,
		errnos: errnos(unix.EMFILE, unix.ENOMEM, unix.EACCES), modes: []mode{always, third}},
}
