package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/internal/eventlog"
	"github.com/evhttpd/evhttpd/internal/listener"
	"github.com/evhttpd/evhttpd/internal/sink"
	"github.com/evhttpd/evhttpd/internal/upgrade"
	"github.com/evhttpd/evhttpd/model"
)

// ownSocket is a listener of ours on a Unix socket.
func ownSocket(t *testing.T) (l *listener.Listener, path string) {
	t.Helper()
	cfg, path := config.Default(), filepath.Join(t.TempDir(), "socket")
	all, err := listener.Open(&cfg, []config.Address{{Unix: path}}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all[0], path
}

// TestSuccessorLeavesFiles: a new process that ends before the one that it was to replace has
// heard of it leaves the Unix sockets alone that the other still serves.
func TestSuccessorLeavesFiles(t *testing.T) {
	for _, p := range []*upgrade.Predecessor{{FD: -1}, nil} {
		s := &Server{succession: succession{predecessor: p}}
		l, path := ownSocket(t)
		s.listeners = []*listener.Listener{l}
		s.closeListeners()
		if _, err := os.Lstat(path); (err == nil) != (p != nil) {
			t.Errorf("with the predecessor %v: %v", p, err)
		}
	}
}

// TestModelFailsDuringUpgrade: the model's failure ends the process, but not the new one
// that is about to take its place; if that fails too, its end is the end.
func TestModelFailsDuringUpgrade(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []error{nil, errors.New("it does not start")} {
		events := eventlog.New(sink.Inherited(-1))
		u, err := upgrade.Start(program, os.Environ(), nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1) // what this test says instead
		m := &runningModel{server: &numbered{}, ended: model.Ended{Err: errors.New("the kernel refuses")}}
		s := newServer(Options{}, events)
		cfg := config.Default()
		l, path := ownSocket(t)
		s.cfg, s.model, s.listeners = &cfg, m, []*listener.Listener{l}
		s.models.add(m)
		for _, e := range []event{committed, settled, upgradeAsked} {
			s.happen(e)
		}
		s.follow(u, result)
		go func() {
			s.post(func() { s.modelEnded(m) })
			s.post(func() { result <- outcome })
		}()
		if err := s.run(); err == nil || !strings.Contains(err.Error(), "the kernel refuses") {
			t.Errorf("it ended with %v", err)
		}
		s.closeListeners()
		if _, err := os.Lstat(path); (err == nil) != (outcome == nil) {
			t.Errorf("the new process: %v; the Unix socket: %v", outcome, err)
		}
		if u.HasExited() {
			t.Error("the new process was ended")
		}
		u.Kill()
		<-u.Exited()
		events.Close()
	}
}
