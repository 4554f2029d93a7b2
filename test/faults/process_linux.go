package faults

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is what a descriptor is of.
type Kind string

// Kinds of descriptors.
const (
	Listener     Kind = "listener"      // of TCP
	Connection   Kind = "connection"    // of TCP
	UnixListener Kind = "unix listener" // of a Unix socket
	UnixSocket   Kind = "unix socket"
	Regular      Kind = "file"
	Directory    Kind = "directory"
	Pipe         Kind = "pipe"
	Eventfd      Kind = "eventfd"
	Epoll        Kind = "epoll"
	OfRuntime    Kind = "of Go's poller" // its epoll and its eventfd
	Other        Kind = "other"
)

// runtimeEvents is how many events Go's poller asks epoll_pwait(2) for (runtime/netpoll_epoll.go): it is known by it.
const runtimeEvents = 128

// Process is a program behind the filter, or a child of it.
type Process struct {
	pid     int
	pidfd   int
	runtime map[int]bool // epoll descriptors of Go's runtime
}

// process returns the process of a thread; nil: it has ended.
func (s *Supervisor) process(thread int) *Process {
	if p := s.known[thread]; p != nil {
		return p
	}
	pid := groupOf(thread)
	if pid == 0 {
		return nil
	}
	p := s.known[pid]
	if p == nil {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return nil
		}
		p = &Process{pid: pid, pidfd: fd, runtime: make(map[int]bool)}
		s.known[pid] = p
	}
	s.known[thread] = p
	return p
}

// groupOf is the process of a thread; 0: it has ended.
func groupOf(thread int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nTgid:")
	word, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(word))
	if err != nil {
		return 0
	}
	return pid
}

func (p *Process) close() {
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd) // it was only read
		p.pidfd = -1
	}
}

// learn takes notice of what a call tells of the process.
func (p *Process) learn(c *Call) {
	switch {
	case c.Number == unix.SYS_EXECVE:
		clear(p.runtime)
	case c.Number == unix.SYS_EPOLL_PWAIT && c.Args[2] == runtimeEvents:
		p.runtime[int(int32(c.Args[0]))] = true
	}
}

// Kind says what a descriptor of the process is of.
func (p *Process) Kind(fd int) Kind {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid, fd))
	if err != nil {
		return Other
	}
	switch {
	case strings.HasPrefix(target, "socket:"):
		return p.socket(fd)
	case strings.HasPrefix(target, "pipe:"):
		return Pipe
	case target == "anon_inode:[eventpoll]" && p.runtime[fd]:
		return OfRuntime
	case target == "anon_inode:[eventpoll]":
		return Epoll
	case target == "anon_inode:[eventfd]":
		return p.eventfd(fd)
	case !strings.HasPrefix(target, "/"):
		return Other
	}
	return p.file(fd)
}

func (p *Process) file(fd int) Kind {
	var s unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", p.pid, fd), &s); err != nil {
		return Other
	}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return Regular
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFIFO:
		return Pipe
	}
	return Other
}

func (p *Process) socket(fd int) Kind {
	own, err := p.take(fd)
	if err != nil {
		return Other
	}
	defer unix.Close(own)
	domain, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_DOMAIN)
	listens, err2 := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	switch {
	case err != nil || err2 != nil:
		return Other
	case domain == unix.AF_UNIX && listens == 1:
		return UnixListener
	case domain == unix.AF_UNIX:
		return UnixSocket
	case listens == 1:
		return Listener
	}
	return Connection
}

// eventfd tells that of Go's runtime, which is in its epoll set, from others.
func (p *Process) eventfd(fd int) Kind {
	for epoll := range p.runtime {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", p.pid, epoll))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) > 1 && words[0] == "tfd:" && words[1] == strconv.Itoa(fd) {
				return OfRuntime
			}
		}
	}
	return Eventfd
}

// take duplicates a descriptor of the process.
func (p *Process) take(fd int) (int, error) { return unix.PidfdGetfd(p.pidfd, fd, 0) }

// read copies memory of the process.
func (p *Process) read(address uint64, into []byte) error {
	if len(into) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: &into[0], Len: uint64(len(into))}}
	n, err := unix.ProcessVMReadv(p.pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(into)}}, 0)
	if err == nil && n < len(into) {
		err = unix.EFAULT
	}
	return err
}

// write copies into memory of the process.
func (p *Process) write(address uint64, from []byte) error {
	if len(from) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: &from[0], Len: uint64(len(from))}}
	n, err := unix.ProcessVMWritev(p.pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(from)}}, 0)
	if err == nil && n < len(from) {
		err = unix.EFAULT
	}
	return err
}
