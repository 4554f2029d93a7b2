package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/systemd"
)

const (
	// upgradeMax is how long a new process may take to serve.
	upgradeMax = 60 * time.Second
	// stopMax is how long one that does not may take to end when it is told to.
	stopMax = 10 * time.Second
	// readyLine is what the new process says when it serves. Anything else is why it does not.
	readyLine = "ready\n"
	// wordsMax bounds what it says.
	wordsMax = 64 << 10
)

// program is the path that the process was started by. It is found at the
// start: later another file may be there, which is what an upgrade is for.
var program, errProgram = findProgram()

// findProgram prefers the path as it was typed to the file that it led to, so
// that a link that leads to another version now is followed.
func findProgram() (string, error) {
	file, err := os.Executable()
	typed, lookErr := exec.LookPath(os.Args[0])
	if lookErr != nil {
		return file, err
	}
	if typed, lookErr = filepath.Abs(typed); lookErr != nil {
		return file, err
	}
	a, errA := os.Stat(typed)
	b, errB := os.Stat(file)
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return file, err
	}
	return typed, nil
}

// upgrade is a new process on its way to take this one's place.
type upgrade struct {
	process *os.Process
	result  chan error    // gets nil when the process serves, or why it does not
	exited  chan struct{} // closed when the process has ended
}

// kill has the process end, by force if need be. A nil upgrade has none.
func (u *upgrade) kill() {
	if u == nil {
		return
	}
	_ = u.process.Signal(syscall.SIGTERM) // it may have ended
	go func() {
		select {
		case <-u.exited:
		case <-time.After(stopMax):
			_ = u.process.Kill()
		}
	}()
}

// hasExited reports whether the new process has ended.
func (u *upgrade) hasExited() bool {
	select {
	case <-u.exited:
		return true
	default:
		return false
	}
}

// endProcesses sees to it that of the new processes only the one that serves outlives this one. They
// have been told to end; one that has not by now would run on, since kill's goroutine ends with us.
func (s *Server) endProcesses() {
	for _, u := range s.processes {
		if u.process.Pid == s.successor {
			continue
		}
		if !u.hasExited() && !grace.Finishes(func() { <-u.exited }, grace.Close) {
			s.events.Warn("a new process does not end, and is killed", zap.Int("process", u.process.Pid))
			_ = u.process.Kill() // it may have ended meanwhile
			grace.Finishes(func() { <-u.exited }, grace.Close)
		}
	}
}

// upgrade starts the program that is at our path now, with our sockets.
func (s *Server) upgrade() {
	var err error
	switch {
	case os.Getpid() == 1:
		err = errors.New("as process 1 (a container's first) it cannot be replaced: " +
			"start another container with the new image, and stop this one")
	default:
		err = s.tryUpgrade(s.happen(upgradeAsked))
	}
	if err != nil {
		s.events.Error("not upgraded: " + err.Error())
	}
}

func (s *Server) tryUpgrade(v verdict) error {
	switch {
	case v == wait:
		return nil
	case v == act:
		err := s.startSuccessor()
		if err != nil {
			s.happen(successorFailed)
		}
		return err
	case s.upgrading != nil:
		return fmt.Errorf("process %d is starting already", s.upgrading.process.Pid)
	case s.successor != 0:
		return fmt.Errorf("process %d serves already, and this one is stopping", s.successor)
	}
	return errors.New("the server is stopping")
}

// startSuccessor starts the new process. It goes on in upgraded.
func (s *Server) startSuccessor() error {
	if errProgram != nil {
		return errProgram
	}
	u, err := startUpgrade(program, s.sockets(), upgradeMax)
	if err != nil {
		return err
	}
	s.events.Info("upgrading", zap.String("program", program), zap.Int("process", u.process.Pid))
	s.follow(u)
	return nil
}

// follow has run told when the new process serves, or has failed to.
func (s *Server) follow(u *upgrade) {
	s.upgrading = u
	s.processes = append(slices.DeleteFunc(s.processes, (*upgrade).hasExited), u)
	go func() {
		err := <-u.result
		s.post(func() { s.upgraded(err) })
	}()
}

// startUpgrade starts the program with the arguments and the environment that
// this process was started with, and the listeners' sockets.
func startUpgrade(path string, listeners []*listener.Listener, timeout time.Duration) (*upgrade, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close() // the new process has its own: the pipe ends with it
	variable, fds, err := listener.Bequest(listeners)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	files := []uintptr{0, 1, 2}
	for _, fd := range fds {
		files = append(files, uintptr(fd)) // not as os.File, which makes them blocking
	}
	pid, err := syscall.ForkExec(path, os.Args, &syscall.ProcAttr{
		Env:   append(systemd.SuccessorEnv(os.Environ()), variable),
		Files: append(files, w.Fd()),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), r.Close())
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	u := &upgrade{process: process, result: make(chan error, 1), exited: make(chan struct{})}
	go u.follow(r, timeout)
	return u, nil
}

// follow waits for the new process to say that it serves.
func (u *upgrade) follow(r *os.File, timeout time.Duration) {
	var state *os.ProcessState
	go func() {
		state, _ = u.process.Wait()
		close(u.exited)
	}()
	defer r.Close()
	err := r.SetReadDeadline(time.Now().Add(timeout))
	words, readErr := io.ReadAll(io.LimitReader(r, wordsMax))
	switch {
	case string(words) == readyLine:
		u.result <- nil
		return
	case errors.Is(readErr, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the new process %d was not ready within %v, and is ended", u.process.Pid, timeout)
		u.kill()
	case len(words) > 0:
		err = fmt.Errorf("the new process: %s", strings.ReplaceAll(strings.TrimSpace(string(words)), "\n", "; "))
		u.kill()
	default:
		err = errors.Join(err, readErr)
		u.kill() // if it has closed the pipe and goes on
		<-u.exited
		err = errors.Join(err, fmt.Errorf("the new process %d ended before it served: %v", u.process.Pid, state))
	}
	u.result <- err
}

// upgraded goes on when the new process serves, or has failed to.
func (s *Server) upgraded(err error) {
	u := s.upgrading
	s.upgrading = nil
	if err != nil {
		s.happen(successorFailed)
		s.events.Error("not upgraded, this process goes on: " + oneLine(err))
		return
	}
	if s.verdict(successorReady) == refuse { // this process was told to end; the new one has not heard of that
		u.kill()
		return
	}
	s.successor = u.process.Pid
	s.events.Info("upgraded", zap.Int("process", s.successor))
	s.notify.MainPID(s.successor)
	served := s.serves()
	if served { // the new process alone says from now on whether the server is ready: it is
		s.closeAdmin()
	}
	s.happen(successorReady)
	if served {
		s.drain()
	}
}

// predecessor is the process that this one is to replace. It waits to hear that this one serves, and serves on the
// same sockets until then.
type predecessor struct {
	fd int // the descriptor at which it waits
}

// tell says that this process serves, or why it does not. A nil predecessor is not told.
func (p *predecessor) tell(err error) {
	if p == nil {
		return
	}
	text := readyLine
	if err != nil {
		text = err.Error()
	}
	// Nobody may read it any more: then there is nobody to tell.
	_, _ = unix.Write(p.fd, []byte(text))
	_ = unix.Close(p.fd)
}
