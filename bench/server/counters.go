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

// Keys of what is read of a server.
const (
	CPU         = "cpu"       // nanoseconds, of all its threads
	Calls       = "calls"     // of the IO model: receive, send, accept, wait and the like
	Again       = "again"     // of them, those that found nothing to do (EAGAIN)
	Waits       = "waits"     // for events
	Events      = "events"    // that the waits brought
	Voluntary   = "voluntary" // context switches (getrusage(2))
	Involuntary = "involuntary"
	answers     = "answers"
)

// status is what is needed of the control plane's /status.
type status struct {
	Process struct {
		CPU         float64 `json:"cpu_seconds"`
		Voluntary   float64 `json:"voluntary_switches"`
		Involuntary float64 `json:"involuntary_switches"`
	} `json:"process"`
	Counters struct {
		Requests    map[string]*float64 `json:"requests"`
		Calls       map[string]*float64 `json:"system_calls"`
		Again       map[string]*float64 `json:"system_calls_again"`
		Loops       int                 `json:"loops"`
		SilentLoops int                 `json:"silent_loops"`
		Waits       float64             `json:"loop_waits"`
		Events      float64             `json:"loop_events"`
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

// Counters are what the server has counted since it began, by key. What it does not count is not among them.
func (s *Server) Counters() (map[string]float64, error) {
	body, err := s.Ask(context.Background(), "/status")
	if err != nil {
		return nil, err
	}
	var said status
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fmt.Errorf("server: its counters are not understood: %w", err)
	}
	p, n := &said.Process, &said.Counters
	all := map[string]float64{CPU: p.CPU * 1e9, Voluntary: p.Voluntary, Involuntary: p.Involuntary}
	if n.SilentLoops > 0 { // what a loop said last is of another time
		return all, nil
	}
	for key, parts := range map[string]map[string]*float64{answers: n.Requests, Calls: n.Calls, Again: n.Again} {
		sum, known := 0.0, true
		for _, part := range parts {
			if known = known && part != nil; known {
				sum += *part
			}
		}
		if known { // without a part it would be an estimate
			all[key] = sum
		}
	}
	if n.Loops > 0 {
		all[Waits], all[Events] = n.Waits, n.Events
	}
	return all, nil
}
