// Package server runs an evhttpd in a process of its own, for what measures it
// from outside: it starts it, learns its address and models, reads what it uses, and sees that it is gone afterwards.
//
// It imports bench/machine.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evhttpd/evhttpd/bench/machine"
)

const (
	// startMax is how long the server may take until it says that it serves.
	startMax = 20 * time.Second
	// awaitEvery is how often it is tried to connect to a program that does not say when it serves.
	awaitEvery = 5 * time.Millisecond
	// stopMax is how long it may take to end in order, though its clients have
	// left by then: a little longer than it waits for any that have not (timeouts.drain).
	stopMax = 10 * time.Second
	// saidMax bounds what is kept of what the server writes, in bytes.
	saidMax = 16 << 10
)

// startupLine is what the server says when it accepts connections.
var startupLine = regexp.MustCompile(`(?m)^evhttpd: serving .* at http://(\S+)/\n`)

// Server is a running server. It ends with Stop, and where the system can do
// that (Linux, FreeBSD) with the process that started it.
type Server struct {
	addr   netip.AddrPort
	cmd    *exec.Cmd
	said   transcript
	serves chan string   // the address, once
	ended  chan struct{} // closed when the process has ended and its output was read
	result error         // how it ended; for use after ended
	grace  time.Duration // stopMax, but in tests
	cpus   []int

	control *controlPlane // nil without Options.Counters
}

// Options say what is run and how.
type Options struct {
	Binary string
	// Args must have it listen on one TCP port of an IP address, best 127.0.0.1:0.
	Args []string
	// CPUs, if any, are those that it may use (Linux).
	CPUs []int
	// Counters has it answer [Server.Counters] and [Server.Ask], by its control plane on a Unix socket.
	Counters bool
	// Serves, if set, is where the program will listen, which does not say so itself: another server than evhttpd.
	Serves netip.AddrPort
	// Config is what its configuration file says with Counters, beside the key admin.
	Config string
}

// Start runs the program and returns when it serves. The error tells what it said if it does not.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{cmd: exec.Command(o.Binary, o.Args...), cpus: o.CPUs,
		serves: make(chan string, 1), ended: make(chan struct{}), grace: stopMax}
	s.said.serves, s.cmd.Stderr, s.cmd.SysProcAttr = s.serves, &s.said, attributes()
	var err error
	if o.Counters {
		if s.control, err = newControlPlane(o.Config); err != nil {
			return nil, fmt.Errorf("server: a folder for its control plane: %w", err)
		}
		s.cmd.Args = append(s.cmd.Args, "--config", s.control.config())
	}
	started := make(chan error)
	go s.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("server: starting %s: %w", o.Binary, errors.Join(err, s.control.close()))
	}
	if o.Serves.IsValid() {
		go s.await(o.Serves)
	}
	late := time.NewTimer(startMax)
	defer late.Stop()
	select {
	case addr := <-s.serves:
		if s.addr, err = netip.ParseAddrPort(addr); err == nil {
			return s, nil
		}
		err = fmt.Errorf("it serves at %s, which is no IP address and port: %w", addr, err)
	case <-s.ended:
		return nil, fmt.Errorf("server: %s ended before it served (%w): %s", s.cmd, s.failure(), s.said.last())
	case <-late.C:
		err = fmt.Errorf("it does not serve within %v: %s", startMax, s.said.last())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, fmt.Errorf("server: %s: %w", s.cmd, errors.Join(err, s.kill()))
}

// await connects until that succeeds or the process has ended.
func (s *Server) await(addr netip.AddrPort) {
	again := time.NewTicker(awaitEvery)
	defer again.Stop()
	for {
		if c, err := net.DialTimeout("tcp", addr.String(), startMax); err == nil {
			_ = c.Close() // nothing was said
			s.serves <- addr.String()
			return
		}
		select {
		case <-s.ended:
			return
		case <-again.C:
		}
	}
}

// run is the life of the process. The thread that started it lives as long: its
// end would be the end of the parent as far as PR_SET_PDEATHSIG is concerned (prctl(2)).
func (s *Server) run(started chan<- error) {
	runtime.LockOSThread()
	var err error
	if len(s.cpus) == 0 {
		defer runtime.UnlockOSThread()
	} else { // the child inherits it; a pinned thread is not given back: it ends with the goroutine
		err = machine.PinThread(s.cpus)
	}
	if err == nil {
		err = s.cmd.Start()
	}
	started <- err
	if err == nil {
		s.result = errors.Join(s.cmd.Wait(), s.control.close())
		close(s.ended)
	}
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Pid is its process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Ended is closed when the process is gone.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Stop ends the server, which its clients have left, and returns when it is
// gone. An end of another kind than in order is an error.
func (s *Server) Stop() error {
	if err := s.early(); err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(fmt.Errorf("server: stopping %s: %w", s.cmd, err), s.kill())
	}
	late := time.NewTimer(s.grace)
	defer late.Stop()
	select {
	case <-s.ended:
		if s.result != nil {
			return fmt.Errorf("server: %s, when it was stopped: %w: %s", s.cmd, s.result, s.said.last())
		}
		return nil
	case <-late.C:
		return errors.Join(fmt.Errorf("server: %s does not stop within %v and was killed: %s", s.cmd, s.grace,
			s.said.last()), s.kill())
	}
}

// Kill ends the server at once, whatever it does, where its orderly end
// would take too long. A server that had ended before is an error.
func (s *Server) Kill() error {
	if err := s.early(); err != nil {
		return err
	}
	return s.kill()
}

// early is an error if the server has ended by itself.
func (s *Server) early() error {
	select {
	case <-s.ended:
		return fmt.Errorf("server: %s ended by itself (%w): %s", s.cmd, s.failure(), s.said.last())
	default:
		return nil
	}
}

// kill ends the process whatever it does.
func (s *Server) kill() error {
	err := s.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.ended
	return err
}

// failure is how the process ended, of which nil would be no failure to speak of.
func (s *Server) failure() error {
	if s.result == nil {
		return errors.New("exit status 0")
	}
	return s.result
}

// transcript keeps the end of what was said, of which the line that says where the server serves goes to serves too.
type transcript struct {
	mu     sync.Mutex
	text   string
	serves chan<- string // with room for one
}

// Write implements io.Writer.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += string(p)
	t.text = t.text[max(len(t.text)-saidMax, 0):]
	if m := startupLine.FindStringSubmatch(t.text); m != nil {
		select {
		case t.serves <- m[1]:
		default: // it has been said
		}
	}
	return len(p), nil
}

// last is the last line that was said.
func (t *transcript) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(t.text)
	if text == "" {
		return "it said nothing"
	}
	return text[strings.LastIndexByte(text, '\n')+1:]
}
