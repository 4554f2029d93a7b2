package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/conn"
)

// countersVariable is how `evhttpd bench`, which starts servers to compare them, asks
// for their counters: "ASK,ANSWER", two pipes' descriptors. To each byte read from ASK one
// line of JSON goes to ANSWER. So a measured server needs no other listener.
const countersVariable = "EVHTTPD_COUNTERS_PIPE"

// counters is the line. What the model does not count is left out.
type counters struct {
	CPU         int64   `json:"cpu_ns"`
	Voluntary   int64   `json:"voluntary_switches"`
	Involuntary int64   `json:"involuntary_switches"`
	Requests    *uint64 `json:"requests,omitempty"`
	SystemCalls *uint64 `json:"system_calls,omitempty"`
	Again       *uint64 `json:"again,omitempty"`
	Waits       *uint64 `json:"waits,omitempty"`
	Events      *uint64 `json:"events,omitempty"`
}

// answerCounters answers whoever started this process for as long as it asks.
// Without the variable it does nothing.
func (s *Server) answerCounters() error {
	value := os.Getenv(countersVariable)
	if value == "" {
		return nil
	}
	// Who is started by this process is not asked.
	if err := os.Unsetenv(countersVariable); err != nil {
		return err
	}
	first, second, _ := strings.Cut(value, ",")
	ask, err := pipeEnd(first)
	if err != nil {
		return fmt.Errorf("%s=%q: %w", countersVariable, value, err)
	}
	answer, err := pipeEnd(second)
	if err != nil {
		return fmt.Errorf("%s=%q: %w", countersVariable, value, err)
	}
	go func() {
		if err := s.exchangeCounters(ask, answer); err != nil {
			s.events.Warn("counters are not told any more", zap.Error(err))
		}
	}()
	return nil
}

// pipeEnd is a descriptor of a pipe that this process was started with.
func pipeEnd(text string) (*os.File, error) {
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%q is no inherited descriptor", text)
	}
	// Non-blocking, so that the runtime waits and no thread does.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "counters"), nil
}

// exchangeCounters returns nil when the other side has gone.
func (s *Server) exchangeCounters(ask, answer *os.File) error {
	var question [1]byte
	for {
		if _, err := ask.Read(question[:]); err != nil {
			return nil
		}
		now, err := s.count()
		if err != nil {
			return err
		}
		line, err := json.Marshal(now)
		if err != nil {
			return err
		}
		if _, err := answer.Write(append(line, '\n')); err != nil {
			return nil
		}
	}
}

// count takes the counters.
func (s *Server) count() (counters, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return counters{}, fmt.Errorf("getrusage: %w", err)
	}
	now := counters{
		CPU:         usage.Utime.Nano() + usage.Stime.Nano(),
		Voluntary:   int64(usage.Nvcsw),
		Involuntary: int64(usage.Nivcsw),
	}
	c := s.Counters()
	now.add(&c)
	return now, nil
}

// add takes over what the model has counted. A sum with a part that is not ours
// to count would be an estimate: it is left out.
func (n *counters) add(c *conn.Counters) {
	if c.Silent > 0 { // what a loop said last is of another time
		return
	}
	var requests, calls, again uint64
	for _, class := range c.Requests {
		requests += class
	}
	n.Requests = &requests
	if c.Unknown == 0 {
		for i := range c.Calls {
			calls, again = calls+c.Calls[i], again+c.Again[i]
		}
		n.SystemCalls, n.Again = &calls, &again
	}
	if c.Loops > 0 {
		n.Waits, n.Events = &c.Waits, &c.Events
	}
}
