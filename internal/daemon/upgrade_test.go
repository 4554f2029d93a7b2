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
	"github.com/evhttpd/evhttpd/model"
)

// script makes a program of the shell.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgradeNeverReady: a new process that does not come to serve in time is
// ended, and what one says on its way out is the reason.
func TestUpgradeNeverReady(t *testing.T) {
	for _, c := range []struct {
		name, text string
		timeout    time.Duration
		says       string
	}{
		{"it hangs", "exec sleep 1000", 50 * time.Millisecond, "was not ready within 50ms"},
		{"it says why", "echo 'the port is taken' >&3; exec sleep 1000 3>&-", time.Minute, "the port is taken"},
		{"it ends", "exit 9", time.Minute, "exit status 9"},
		{"it closes the pipe", "exec sleep 1000 3>&-", time.Minute, "ended before it served"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := startUpgrade(script(t, c.text), nil, c.timeout)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-u.result; err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			<-u.exited
		})
	}
}

// TestUpgradeReady: the line that says so, and the process goes on.
func TestUpgradeReady(t *testing.T) {
	u, err := startUpgrade(script(t, "echo ready >&3; exec 3>&-; exec sleep 1000"), nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-u.result; err != nil {
		t.Error(err)
	}
	select {
	case <-u.exited:
		t.Error("it has ended")
	default:
	}
	u.kill()
	<-u.exited
}

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
	for _, p := range []*predecessor{{fd: -1}, nil} {
		s := &Server{predecessor: p}
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
	for _, outcome := range []error{nil, errors.New("it does not start")} {
		events, err := eventlog.New(config.Default().Log, sink.Inherited(-1))
		if err != nil {
			t.Fatal(err)
		}
		u, err := startUpgrade(script(t, "exec sleep 1000"), nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		u.result = make(chan error, 1) // what this test says instead
		m := &runningModel{server: &numbered{}, ended: model.Ended{Err: errors.New("the kernel refuses")}}
		s := newServer(Options{}, events)
		cfg := config.Default()
		l, path := ownSocket(t)
		s.cfg, s.model, s.listeners = &cfg, m, []*listener.Listener{l}
		s.models.add(m)
		for _, e := range []event{committed, settled, upgradeAsked} {
			s.happen(e)
		}
		s.follow(u)
		go func() {
			s.post(func() { s.modelEnded(m) })
			s.post(func() { u.result <- outcome })
		}()
		if err := s.run(); err == nil || !strings.Contains(err.Error(), "the kernel refuses") {
			t.Errorf("it ended with %v", err)
		}
		s.closeListeners()
		if _, err := os.Lstat(path); (err == nil) != (outcome == nil) {
			t.Errorf("the new process: %v; the Unix socket: %v", outcome, err)
		}
		select {
		case <-u.exited:
			t.Error("the new process was ended")
		default:
		}
		if err := u.process.Kill(); err != nil {
			t.Error(err)
		}
		<-u.exited
		events.Close()
	}
}
