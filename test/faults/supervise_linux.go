package faults

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// waitMillis bounds one wait for a question: Go stops the world for its collector, which has to wait for threads
	// in calls without a bound (golang/go#81759).
	waitMillis = 200
	// answersMax bounds the answers that take their time.
	answersMax = 256
)

// Call is a system call that a thread is about to make.
type Call struct {
	Number int
	Thread int // its id
	Args   [6]uint64
}

// question is struct seccomp_notif.
type question struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// answer is struct seccomp_notif_resp.
type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// Way is what becomes of a call.
type Way int

const (
	Fail  Way = iota // it returns an error
	Short            // it does half of what it is asked for
	Delay            // it is held up, and then made
)

// Fault is what happens to calls of one number. It may be in force in one Supervisor at a time.
type Fault struct {
	Number int
	Way    Way
	Errno  unix.Errno    // of Fail
	Delay  time.Duration // of Delay
	Skip   uint64        // so many of the calls that match are made before it begins
	Every  uint64        // then it happens to every so many of them; 0: to all
	Times  uint64        // and ends after so many; 0: it does not end
	// Match chooses among the calls; nil: it happens to all. It is called by one goroutine at a time.
	Match func(p *Process, c *Call) bool

	met, hits atomic.Uint64
}

// Hits is how many calls it has happened to.
func (f *Fault) Hits() uint64 { return f.hits.Load() }

// Met is how many calls have matched.
func (f *Fault) Met() uint64 { return f.met.Load() }

// strikes reports whether it happens to a call.
func (f *Fault) strikes(s *Supervisor, c *Call) bool {
	if f == nil || c.Number != f.Number || f.Times > 0 && f.hits.Load() >= f.Times {
		return false
	}
	if f.Match != nil {
		p := s.process(c.Thread)
		if p == nil || !f.Match(p, c) {
			return false
		}
	}
	if n := f.met.Add(1); n <= f.Skip || f.Every > 0 && (n-f.Skip)%f.Every != 0 {
		return false
	}
	f.hits.Add(1)
	return true
}

// Supervisor answers for the kernel what becomes of a program's calls, until the program and what it has forked end.
type Supervisor struct {
	observe atomic.Pointer[func(*Call)] // is called for each call, before anything else; nil: nobody looks on
	watch   func(*Call)                 // of Watch; nil: calls may fail

	listener int
	pid      int
	fault    atomic.Pointer[Fault]
	ended    chan struct{}
	slow     chan struct{}  // a place for each answer that takes its time
	answers  sync.WaitGroup // that take their time
	known    map[int]*Process
}

func newSupervisor(listener, pid int) *Supervisor {
	return &Supervisor{listener: listener, pid: pid, ended: make(chan struct{}),
		slow: make(chan struct{}, answersMax), known: make(map[int]*Process)}
}

// Set puts a fault in force in place of the one before; nil: all calls are made.
func (s *Supervisor) Set(f *Fault) { s.fault.Store(f) }

// Observe has f called for each call that is asked for; it is not to wait.
func (s *Supervisor) Observe(f func(*Call)) { s.observe.Store(&f) }

// Ended is closed when there is nobody left who asks.
func (s *Supervisor) Ended() <-chan struct{} { return s.ended }

func (s *Supervisor) run() {
	defer close(s.ended)
	defer func() {
		s.answers.Wait()
		_ = unix.Close(s.listener) // nobody asks any more
		for _, p := range s.known {
			p.close()
		}
	}()
	fds := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, waitMillis)
		switch {
		case err == unix.EINTR || n == 0 && err == nil:
			continue
		case err != nil || fds[0].Revents&unix.POLLIN == 0: // POLLHUP: all who were filtered have ended
			return
		}
		var q question
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), unix.SECCOMP_IOCTL_NOTIF_RECV,
			uintptr(unsafe.Pointer(&q))); errno != 0 {
			continue // ENOENT, EINTR: who asked was interrupted or is gone, and asks again
		}
		s.handle(&q)
	}
}

// handle answers a question, at once or on a goroutine of its own.
func (s *Supervisor) handle(q *question) {
	c := Call{Number: int(q.nr), Thread: int(q.pid), Args: q.args}
	if s.watch != nil {
		s.watch(&c)
		s.answer(&answer{id: q.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
		return
	}
	if f := s.observe.Load(); f != nil {
		(*f)(&c)
	}
	p := s.process(c.Thread)
	if p != nil {
		p.learn(&c)
	}
	f := s.fault.Load()
	switch {
	case !f.strikes(s, &c):
		s.answer(&answer{id: q.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
	case f.Way == Fail:
		s.answer(&answer{id: q.id, errno: -int32(f.Errno)})
	default:
		s.slow <- struct{}{}
		s.answers.Go(func() {
			defer func() { <-s.slow }()
			s.answer(s.slowly(f, p, &c, q.id))
		})
	}
}

// slowly is an answer that takes its time.
func (s *Supervisor) slowly(f *Fault, p *Process, c *Call, id uint64) *answer {
	if f.Way == Delay {
		time.Sleep(f.Delay)
		return &answer{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	}
	n, err := p.half(c)
	switch errno, ok := err.(unix.Errno); {
	case err == nil:
		return &answer{id: id, value: int64(n)}
	case ok:
		return &answer{id: id, errno: -int32(errno)}
	}
	return &answer{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE} // it has no half
}

// answer tells the kernel. Who asked may have been killed meanwhile (ENOENT).
func (s *Supervisor) answer(a *answer) {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), unix.SECCOMP_IOCTL_NOTIF_SEND,
			uintptr(unsafe.Pointer(a)))
		if errno != unix.EINTR {
			return
		}
	}
}
