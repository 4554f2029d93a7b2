package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// PipeVariable is the environment variable by which a server learns that its
// starter wants to know its counters: "ASK,ANSWER", two descriptors that it inherits. To each
// byte that it reads from ASK it writes one line to ANSWER, [Counters] in JSON.
const PipeVariable = "EVHTTPD_COUNTERS_PIPE"

// answerMax is how long the answer may take: the server is busy, but not for ever.
const answerMax = 5 * time.Second

// Counters are what a server has counted since it began. What it does not count is nil.
type Counters struct {
	// CPU is of all its threads, Voluntary and Involuntary their context switches (getrusage(2)).
	CPU         time.Duration `json:"cpu_ns"`
	Voluntary   int64         `json:"voluntary_switches"`
	Involuntary int64         `json:"involuntary_switches"`

	Requests    *int64 `json:"requests,omitempty"`
	SystemCalls *int64 `json:"system_calls,omitempty"` // of the IO model: receive, send, accept, wait and the like
	Again       *int64 `json:"again,omitempty"`        // of them, those that found nothing to do (EAGAIN)
	Waits       *int64 `json:"waits,omitempty"`        // for events
	Events      *int64 `json:"events,omitempty"`       // that the waits brought
}

// pipe is the way to a server's counters.
type pipe struct {
	ask, answer *os.File
	lines       *bufio.Reader
	theirs      []*os.File // the ends that the server inherits; ours until it runs
}

// openPipe makes the pipes and hands their ends to cmd, which is not started yet.
func openPipe(cmd *exec.Cmd) (*pipe, error) {
	askEnd, ask, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answer, answerEnd, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, askEnd.Close(), ask.Close())
	}
	const first = 3 // of ExtraFiles
	cmd.ExtraFiles = []*os.File{askEnd, answerEnd}
	cmd.Env = append(cmd.Environ(), fmt.Sprintf("%s=%d,%d", PipeVariable, first, first+1))
	return &pipe{ask: ask, answer: answer, lines: bufio.NewReader(answer), theirs: cmd.ExtraFiles}, nil
}

// handedOver closes the ends that the server has now. A nil pipe has none.
func (p *pipe) handedOver() error {
	if p == nil {
		return nil
	}
	var err error
	for _, f := range p.theirs {
		err = errors.Join(err, f.Close())
	}
	p.theirs = nil
	return err
}

func (p *pipe) close() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.ask.Close(), p.answer.Close())
}

// Counters asks the server for its counters. It is not to be called from two goroutines at a time.
func (s *Server) Counters() (Counters, error) {
	var c Counters
	if s.pipe == nil {
		return c, errors.New("server: it was started without Options.Counters")
	}
	if err := s.pipe.answer.SetReadDeadline(time.Now().Add(answerMax)); err != nil {
		return c, fmt.Errorf("server: its counters: %w", err)
	}
	if _, err := s.pipe.ask.Write([]byte{'\n'}); err != nil {
		return c, fmt.Errorf("server: asking for its counters: %w", err)
	}
	line, err := s.pipe.lines.ReadBytes('\n')
	if err != nil {
		return c, fmt.Errorf("server: its counters: %w", err)
	}
	if err := json.Unmarshal(line, &c); err != nil {
		return c, fmt.Errorf("server: its counters are not understood: %w", err)
	}
	return c, nil
}
