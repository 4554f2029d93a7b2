package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// answerMax is how long an answer of the control plane may take: the server is busy, but not for ever.
const answerMax = 5 * time.Second

// Counters are what a server has counted since it began. What it does not count is nil.
type Counters struct {
	// CPU is of all its threads, Voluntary and Involuntary their context switches (getrusage(2)).
	CPU                    time.Duration
	Voluntary, Involuntary int64
	SwitchesKnown          bool

	Requests    *int64
	SystemCalls *int64 // of the IO model: receive, send, accept, wait and the like
	Again       *int64 // of them, those that found nothing to do (EAGAIN)
	Waits       *int64 // for events
	Events      *int64 // that the waits brought
}

// status is what is needed of the control plane's /status.
type status struct {
	Process struct {
		CPU         float64 `json:"cpu_seconds"`
		Voluntary   int64   `json:"voluntary_switches"`
		Involuntary int64   `json:"involuntary_switches"`
	} `json:"process"`
	Counters struct {
		Requests    map[string]int64  `json:"requests"`
		Calls       map[string]*int64 `json:"system_calls"`
		Again       map[string]*int64 `json:"system_calls_again"`
		Loops       int               `json:"loops"`
		SilentLoops int               `json:"silent_loops"`
		Waits       int64             `json:"loop_waits"`
		Events      int64             `json:"loop_events"`
	} `json:"counters"`
}

// controlPlane is the way to a server's control plane: a Unix socket in a folder of its own.
type controlPlane struct {
	folder string
	client http.Client
}

// newControlPlane makes the folder, with the configuration of the server in it.
func newControlPlane(config string) (*controlPlane, error) {
	folder, err := os.MkdirTemp("", "evhttpd-")
	if err != nil {
		return nil, err
	}
	p := &controlPlane{folder: folder}
	config += fmt.Sprintf("admin: {listen: [%q]}\n", "unix:"+p.socket())
	if err := os.WriteFile(p.config(), []byte(config), 0o600); err != nil {
		return nil, errors.Join(err, p.close())
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.socket())
	}
	p.client = http.Client{Timeout: answerMax, Transport: &http.Transport{DialContext: dial}}
	return p, nil
}

func (p *controlPlane) config() string { return filepath.Join(p.folder, "evhttpd.yaml") }
func (p *controlPlane) socket() string { return filepath.Join(p.folder, "admin") }

// close removes the folder, when the server has ended.
func (p *controlPlane) close() error {
	if p == nil {
		return nil
	}
	p.client.CloseIdleConnections()
	return os.RemoveAll(p.folder)
}

// counts reports whether the server tells its counters. A nil one does not.
func (s *Server) counts() bool { return s != nil && s.control != nil }

// Ask returns what the server's control plane answers for a path.
func (s *Server) Ask(ctx context.Context, path string) (body []byte, err error) {
	if !s.counts() {
		return nil, errors.New("server: it was started without Options.Counters")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.control.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("server: its control plane: %w", err)
	}
	body, err = io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("server: its control plane: %s", answer.Status)
	}
	return body, err
}

// Counters asks the server for its counters.
func (s *Server) Counters() (c Counters, err error) {
	body, err := s.Ask(context.Background(), "/status")
	if err != nil {
		return c, err
	}
	var said status
	if err := json.Unmarshal(body, &said); err != nil {
		return c, fmt.Errorf("server: its counters are not understood: %w", err)
	}
	c = Counters{CPU: time.Duration(said.Process.CPU * 1e9), SwitchesKnown: true,
		Voluntary: said.Process.Voluntary, Involuntary: said.Process.Involuntary}
	n := &said.Counters
	if n.SilentLoops > 0 { // what a loop said last is of another time
		return c, nil
	}
	c.Requests = new(int64)
	for _, class := range n.Requests {
		*c.Requests += class
	}
	c.SystemCalls, c.Again = sum(n.Calls), sum(n.Again)
	if n.Loops > 0 {
		c.Waits, c.Events = &n.Waits, &n.Events
	}
	return c, nil
}

// sum is nil if a part is not known: it would be an estimate.
func sum(parts map[string]*int64) *int64 {
	all := new(int64)
	for _, n := range parts {
		if n == nil {
			return nil
		}
		*all += *n
	}
	return all
}
