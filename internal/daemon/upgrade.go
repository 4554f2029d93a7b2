package daemon

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/evhttpd/evhttpd/internal/grace"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/systemd"
	"github.com/evhttpd/evhttpd/internal/upgrade"
)

// upgradeMax is how long a new process may take to serve.
const upgradeMax = 60 * time.Second

// succession is the handing over to another process.
type succession struct {
	predecessor *upgrade.Predecessor // nil if this process replaces none, or has told it that it serves
	starting    *upgrade.Process     // nil if no new process is starting
	started     []*upgrade.Process   // new processes that may be running
	successor   int                  // the process that serves in the place of this one; 0 if there is none
}

// others reports whether another process serves on the same sockets.
func (s *succession) others() bool { return s.successor != 0 || s.predecessor != nil }

// upgrade starts the program that is at our path now, with our sockets.
func (s *Server) upgrade() {
	var err error
	if os.Getpid() == 1 {
		err = errors.New("as process 1 (a container's first) it cannot be replaced: " +
			"start another container with the new image, and stop this one")
	} else {
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
	case s.starting != nil:
		return fmt.Errorf("process %d is starting already", s.starting.PID())
	case s.successor != 0:
		return fmt.Errorf("process %d serves already, and this one is stopping", s.successor)
	}
	return errors.New("the server is stopping")
}

// startSuccessor starts the new process. It goes on in upgraded.
func (s *Server) startSuccessor() error {
	variable, fds, err := listener.PassOn(s.sockets())
	if err != nil {
		return err
	}
	env := append(systemd.SuccessorEnv(os.Environ()), variable)
	p, err := upgrade.Start(upgrade.Program, env, fds, upgradeMax)
	if err != nil {
		return err
	}
	s.events.Info("upgrading", zap.String("program", upgrade.Program), zap.Int("process", p.PID()))
	s.follow(p, p.Result())
	return nil
}

// follow has run told when the new process serves, or has failed to.
func (s *Server) follow(p *upgrade.Process, result <-chan error) {
	s.starting = p
	s.started = append(slices.DeleteFunc(s.started, (*upgrade.Process).HasExited), p)
	go func() {
		err := <-result
		s.post(func() { s.upgraded(err) })
	}()
}

// upgraded goes on when the new process serves, or has failed to.
func (s *Server) upgraded(err error) {
	p := s.starting
	s.starting = nil
	if err != nil {
		s.happen(successorFailed)
		s.events.Error("not upgraded, this process goes on: " + oneLine(err))
		return
	}
	if s.verdict(successorReady) == refuse { // this process was told to end; the new one has not heard of that
		p.End()
		return
	}
	s.successor = p.PID()
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

// endProcesses sees to it that of the new processes only the one that serves outlives this one. The others have been
// told to end. One that has not by now would run on, since Process.End does not outlive this process.
func (s *Server) endProcesses() {
	for _, p := range s.started {
		if p.PID() == s.successor {
			continue
		}
		if !p.HasExited() && !grace.Finishes(func() { <-p.Exited() }, grace.Close) {
			s.events.Warn("a new process does not end, and is killed", zap.Int("process", p.PID()))
			p.Kill()
			grace.Finishes(func() { <-p.Exited() }, grace.Close)
		}
	}
}
