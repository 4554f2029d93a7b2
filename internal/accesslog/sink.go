package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// stdout is the path that means standard output.
const stdout = "-"

// pollInterval is how long in milliseconds the writer waits for room before it
// looks whether it is to go on waiting.
const pollInterval = 100

// errAbandoned ends the wait for a sink that takes nothing.
var errAbandoned = errors.New("accesslog: given up")

// sink is where lines go.
type sink interface {
	// write writes whole lines, waiting while there is no room until abandoned is
	// closed. It returns how many lines are lost, and why.
	write(lines []byte, abandoned <-chan struct{}) (lost int, err error)
	// shown reports whether a person reads along.
	shown() bool
	close() error
}

// fileSink is a file, a FIFO, a terminal or standard output.
type fileSink struct {
	fd       int
	terminal bool // a person reads along
	torn     bool // its last line is not whole: a write failed in the middle
}

// openSink opens path, never waiting: not for a FIFO's reader either.
func openSink(path string) (sink, error) {
	if strings.HasPrefix(path, syslogPrefix) {
		return openSyslog(path)
	}
	if path == stdout {
		return newSink(unix.Stdout), nil
	}
	mode := unix.O_WRONLY
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err == nil && s.Mode&unix.S_IFMT == unix.S_IFIFO {
		// Opened for reading too, a FIFO needs no reader to be opened, and one that
		// goes away is waited for instead of being EPIPE (man 7 fifo).
		mode = unix.O_RDWR
	}
	for {
		fd, err := unix.Open(path, mode|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0o640)
		switch err {
		case nil:
			return newSink(fd), nil
		case unix.EINTR:
		default:
			return nil, fmt.Errorf("accesslog: open %s: %w%s", path, err, cure(err))
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

func newSink(fd int) *fileSink {
	// Only terminals have a window size (man 2 TIOCGWINSZ, 4 tty).
	_, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	return &fileSink{fd: fd, terminal: err == nil}
}

// close closes the sink, but never standard output. An error says that lines
// written before did not reach the disk (NFS, quotas).
func (s *fileSink) close() error {
	if s.fd == unix.Stdout {
		return nil
	}
	return unix.Close(s.fd)
}

func (s *fileSink) shown() bool { return s.terminal }

// write implements sink.
func (s *fileSink) write(p []byte, abandoned <-chan struct{}) (lost int, err error) {
	if s.torn { // so that the rest of a line is not the start of the next
		if _, err := s.writeAll([]byte{'\n'}, abandoned); err != nil {
			return bytes.Count(p, newline), err
		}
		s.torn = false
	}
	n, err := s.writeAll(p, abandoned)
	if n > 0 {
		s.torn = p[n-1] != '\n'
	}
	if err != nil {
		lost = bytes.Count(p[n:], newline)
	}
	return lost, err
}

// writeAll is write(2) until all of p is written.
func (s *fileSink) writeAll(p []byte, abandoned <-chan struct{}) (done int, err error) {
	for done < len(p) {
		n, err := unix.Write(s.fd, p[done:])
		switch {
		case n > 0:
			done += n
		case err == unix.EINTR:
		case err == unix.EAGAIN: // our own descriptors, and a standard output that others made so
			if err := await(s.fd, abandoned); err != nil {
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

// await waits for room.
func await(fd int, abandoned <-chan struct{}) error {
	for {
		select {
		case <-abandoned:
			return errAbandoned
		default:
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, pollInterval)
		if n > 0 || err != nil && err != unix.EINTR {
			return err
		}
	}
}
