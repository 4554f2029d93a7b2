// Package sink writes lines to what others read: a file, a pipe, a terminal, a socket. The reader may be slow,
// stuck or gone, and no call here waits for it longer than its caller wants: what finds no room waits in poll(2), a
// moment at a time, never in write(2).
//
// A descriptor that this process was started with is shared with others, and so is its O_NONBLOCK, a property of the
// open file description (open(2)): it is never changed. It imports nothing of this project; of others, x/sys.
package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pollInterval is how long, in milliseconds, one call waits for room. After each, the wait ends if it was
	// abandoned. Calls without a bound are to be avoided for Go's sake too: a garbage collection that has to stop the
	// thread waits as long.
	pollInterval = 100
	// fileMode has the permissions of a new file, less the umask.
	fileMode = 0o640
)

// ErrAbandoned ends the wait for a reader that takes nothing.
var ErrAbandoned = errors.New("its reader takes nothing: given up")

// errNoWait says that the same bytes are to be written in another way.
var errNoWait = errors.New("a write cannot be told not to wait")

// Sink is where lines go. Its methods are for one goroutine at a time.
type Sink interface {
	// WriteLines writes whole lines, waiting while there is no room until abandoned is
	// closed. It returns how many lines are lost, and why.
	WriteLines(lines []byte, abandoned <-chan struct{}) (lost int, err error)
	// Terminal reports whether a person reads along.
	Terminal() bool
	Close() error
}

// way is how a descriptor is written to without waiting.
type way int

const (
	plain  way = iota // write(2): the descriptor does not block, or is a regular file, whose disk alone is waited for
	socket            // sendmsg(2) with MSG_DONTWAIT
	nowait            // each write says that it is not to block: pwritev2(2)
	polled            // others share the descriptor, so a write may block: poll(2) first, and write little
)

// File is a Sink over a descriptor.
type File struct {
	fd       int
	way      way
	owned    bool // the descriptor is ours to close
	terminal bool
	torn     bool // the last line is not whole: a write failed in the middle
}

var _ Sink = (*File)(nil)

// Open opens a file to append to. It never waits, not for a FIFO's reader either.
func Open(path string) (*File, error) {
	mode := unix.O_WRONLY
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err == nil && s.Mode&unix.S_IFMT == unix.S_IFIFO {
		// Opened for reading too, a FIFO needs no reader to be opened, and one that
		// goes away is waited for instead of being EPIPE (man 7 fifo).
		mode = unix.O_RDWR
	}
	for {
		fd, err := unix.Open(path, mode|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY,
			fileMode)
		switch err {
		case nil:
			return &File{fd: fd, owned: true, terminal: isTerminal(fd)}, nil
		case unix.EINTR:
		default:
			return nil, fmt.Errorf("open %s: %w%s", path, err, cure(err))
		}
	}
}

// cure returns what the reader of an error can do about it, as far as it is known.
func cure(err error) string {
	switch err {
	case unix.ENOENT:
		return ": create its directory first"
	case unix.EISDIR:
		return ": name a file in it"
	case unix.EACCES, unix.EROFS:
		return fmt.Sprintf(": user %d must be allowed to write it", unix.Geteuid())
	case unix.ENXIO:
		return `: it is a socket; for standard output give "-"`
	}
	return ""
}

// Inherited returns a sink over a descriptor that this process was started with, which stays open.
func Inherited(fd int) *File {
	f := &File{fd: fd, terminal: isTerminal(fd)}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return f // closed: writing says so
	}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFSOCK:
		f.way = socket
	default:
		if own, err := reopen(fd); err == nil {
			f.fd, f.owned = own, true
		} else {
			f.way = nowait
		}
	}
	return f
}

// isTerminal reports whether a descriptor is a terminal: only these have a window size (TIOCGWINSZ(2const)).
func isTerminal(fd int) bool {
	_, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	return err == nil
}

// Terminal implements Sink.
func (f *File) Terminal() bool { return f.terminal }

// Close closes what is ours. An error says that lines
// written before did not reach the disk (NFS, quotas).
func (f *File) Close() error {
	if !f.owned {
		return nil
	}
	return unix.Close(f.fd)
}

// WriteLines implements Sink.
func (f *File) WriteLines(p []byte, abandoned <-chan struct{}) (lost int, err error) {
	if f.torn { // so that the rest of a line is not the start of the next
		if _, err := f.writeAll([]byte{'\n'}, abandoned); err != nil {
			return bytes.Count(p, []byte{'\n'}), err
		}
		f.torn = false
	}
	n, err := f.writeAll(p, abandoned)
	if n > 0 {
		f.torn = p[n-1] != '\n'
	}
	if err != nil {
		lost = bytes.Count(p[n:], []byte{'\n'})
	}
	return lost, err
}

// writeAll writes until all of p is written.
func (f *File) writeAll(p []byte, abandoned <-chan struct{}) (done int, err error) {
	for again := 0; done < len(p); {
		if f.way == polled {
			if err := await(f.fd, abandoned); err != nil {
				return done, err
			}
		}
		n, err := f.write(p[done:])
		switch {
		case n > 0:
			done, again = done+n, 0
		case err == unix.EINTR, err == errNoWait:
		case err == unix.EAGAIN:
			if again++; again > 1 { // a device that says that it has room, and has none
				time.Sleep(pollInterval / 10 * time.Millisecond)
			}
			if err := await(f.fd, abandoned); err != nil {
				return done, err
			}
		case err != nil:
			return done, err
		default:
			return done, io.ErrShortWrite
		}
	}
	return done, nil
}

// write writes what there is room for. A reader that has gone is EPIPE: package os alone has Go's runtime end the
// process by SIGPIPE for descriptors 1 and 2 (os/signal), system calls do not.
func (f *File) write(p []byte) (int, error) {
	switch f.way {
	case socket:
		return unix.SendmsgN(f.fd, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	case nowait:
		n, err := writeNow(f.fd, p)
		if n <= 0 && (err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.EINVAL || err == unix.EPERM) {
			f.way = polled // the kernel cannot do so, or may not
			return 0, errNoWait
		}
		return n, err
	case polled:
		room := pipeBuf // POLLOUT promises room for so much in a pipe (pipe(7))
		if f.terminal {
			room = 1 // and no more of a terminal, which waits with the rest (n_tty_write in drivers/tty/n_tty.c)
		}
		p = p[:min(len(p), room)]
	}
	return unix.Write(f.fd, p)
}

// await waits until the descriptor has room, or has failed, which writing then says, or abandoned is closed.
func await(fd int, abandoned <-chan struct{}) error {
	for {
		select {
		case <-abandoned:
			return ErrAbandoned
		default:
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, pollInterval)
		if n > 0 || err != nil && err != unix.EINTR {
			return err
		}
	}
}

// Bounded is an io.Writer over a Sink that waits for its reader no longer than Grace in a call. What is not written
// by then is lost, and so is what cannot be written: it is for messages that cannot be told in another place.
type Bounded struct {
	To    Sink
	Grace time.Duration
}

// Write always reports success.
func (b Bounded) Write(p []byte) (int, error) {
	abandoned := make(chan struct{})
	timer := time.AfterFunc(b.Grace, func() { close(abandoned) })
	defer timer.Stop()
	_, _ = b.To.WriteLines(p, abandoned)
	return len(p), nil
}
