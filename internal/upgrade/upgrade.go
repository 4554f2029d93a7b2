// Package upgrade starts a new process of a server's program, with its sockets, and waits until the new process
// serves. The new process finds here how to say so.
//
// It imports the standard library and x/sys alone.
package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stopMax is how long a new process that does not come to serve may take to end when it is told to.
	stopMax = 10 * time.Second
	// readyLine is what the new process says when it serves. Anything else is why it does not.
	readyLine = "ready\n"
	// answerMax bounds what the new process says, in bytes.
	answerMax = 64 << 10
)

// Program is the path that the process was started by. It is found at the
// start: later another file may be there, which is what an upgrade is for.
var Program, errProgram = findProgram()

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

// Process is a new process on its way to take this one's place.
type Process struct {
	process *os.Process
	result  chan error
	exited  chan struct{}
}

// Start starts the program at path with the arguments that this process was started with, and has it inherit the
// descriptors fds, numbered from 3 on. The next one is that at which the new process says that it serves
// (Predecessor). A process that has not said so after timeout is ended.
func Start(path string, env []string, fds []int, timeout time.Duration) (*Process, error) {
	if path == Program && errProgram != nil {
		return nil, errProgram
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close() // the new process has its own: the pipe ends with it
	files := []uintptr{0, 1, 2}
	for _, fd := range fds {
		files = append(files, uintptr(fd)) // not as os.File, which makes them blocking
	}
	pid, err := syscall.ForkExec(path, os.Args, &syscall.ProcAttr{Env: env, Files: append(files, w.Fd())})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), r.Close())
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	p := &Process{process: process, result: make(chan error, 1), exited: make(chan struct{})}
	go p.follow(r, timeout)
	return p, nil
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.process.Pid }

// Result gives nil when the process serves, or why it does not; once.
func (p *Process) Result() <-chan error { return p.result }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// HasExited reports whether the process has ended.
func (p *Process) HasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// End has the process end, by force if need be. A nil Process has nothing to end.
func (p *Process) End() {
	if p == nil {
		return
	}
	_ = p.process.Signal(syscall.SIGTERM) // it may have ended
	go func() {
		select {
		case <-p.exited:
		case <-time.After(stopMax):
			p.Kill()
		}
	}()
}

// Kill ends the process by force.
func (p *Process) Kill() {
	_ = p.process.Kill() // it may have ended
}

// follow waits for the new process to say that it serves.
func (p *Process) follow(r *os.File, timeout time.Duration) {
	var state *os.ProcessState
	go func() {
		state, _ = p.process.Wait()
		close(p.exited)
	}()
	defer r.Close()
	err := r.SetReadDeadline(time.Now().Add(timeout))
	answer, readErr := io.ReadAll(io.LimitReader(r, answerMax))
	switch {
	case string(answer) == readyLine:
		p.result <- nil
		return
	case errors.Is(readErr, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the new process %d was not ready within %v, and is ended", p.PID(), timeout)
		p.End()
	case len(answer) > 0:
		err = fmt.Errorf("the new process: %s", strings.ReplaceAll(strings.TrimSpace(string(answer)), "\n", "; "))
		p.End()
	default:
		err = errors.Join(err, readErr)
		p.End() // if it has closed the pipe and goes on
		<-p.exited
		err = errors.Join(err, fmt.Errorf("the new process %d ended before it served: %v", p.PID(), state))
	}
	p.result <- err
}

// Predecessor is the process that this one is to replace. It waits to hear that this one serves, and serves on the
// same sockets until then.
type Predecessor struct {
	FD int // the descriptor at which it waits
}

// Tell says that this process serves, or why it does not. A nil Predecessor is not told.
func (p *Predecessor) Tell(err error) {
	if p == nil {
		return
	}
	text := readyLine
	if err != nil {
		text = err.Error()
	}
	// Nobody may read it any more: then there is nobody to tell.
	_, _ = unix.Write(p.FD, []byte(text))
	_ = unix.Close(p.FD)
}
