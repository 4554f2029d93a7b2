package daemon

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
	"github.com/evhttpd/evhttpd/reactor"
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
			if err := <-u.done(); err == nil || !strings.Contains(err.Error(), c.says) {
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
	if err := <-u.done(); err != nil {
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

// TestListenAll: sockets whose address stays are the same ones, an address
// under another name too; more are added and none taken away; an error leaves
// everything as it was.
func TestListenAll(t *testing.T) {
	cfg := config.Default()
	parse := func(texts ...string) {
		cfg.Listen = nil
		for _, text := range texts {
			a, err := config.ParseAddress(text)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Listen = append(cfg.Listen, a)
		}
	}
	open := func(l *listener) (n int) {
		for _, fd := range l.sockets {
			if listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listening == 1 {
				n++
			}
		}
		return n
	}
	path := filepath.Join(t.TempDir(), "socket")
	parse("127.0.0.1:0", "unix:"+path)
	first, err := listenAll(&cfg, cfg.Listen, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	byNumber := first[0].addr.String()
	parse(byNumber)
	second, err := listenAll(&cfg, cfg.Listen, 3, first)
	if err != nil {
		t.Fatal(err)
	}
	want := 1
	if reusePort != 0 {
		want = 3
	}
	if len(second) != 1 || second[0].sockets[0] != first[0].sockets[0] || len(second[0].sockets) != want || open(second[0]) != want {
		t.Errorf("%+v became %+v", first[0], second[0])
	}
	if g := gone(first, second); len(g) != 1 || g[0].unix != path {
		t.Errorf("gone: %+v", g)
	}
	parse(byNumber, "127.0.0.1:0", "systemd:nothing")
	if _, err := listenAll(&cfg, cfg.Listen, 3, second); err == nil || !strings.Contains(err.Error(), "systemd:nothing") {
		t.Error(err)
	}
	parse(byNumber, byNumber)
	if _, err := listenAll(&cfg, cfg.Listen, 3, second); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	third, err := listenAll(&cfg, cfg.Listen, 1, second)
	if err == nil {
		t.Errorf("%+v", third)
	}
	if open(second[0]) != want || open(first[1]) != 1 {
		t.Error("an error has closed what was open")
	}
	if err := closeGone(first, second, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the Unix socket's file is there")
	}
	if err := closeGone(second, nil, true); err != nil {
		t.Error(err)
	}
}

// TestPassed: the variables of sd_listen_fds(3) that are for another process, or wrong.
func TestPassed(t *testing.T) {
	pid := "1"
	if got, err := passed(pid, "1", "web"); got != nil || err != nil {
		t.Errorf("another process's: %v, %v", got, err)
	}
	if _, err := passed(strconv.Itoa(os.Getpid()), "x", ""); err == nil || !strings.Contains(err.Error(), "LISTEN_FDS") {
		t.Error(err)
	}
}

// TestShare: every socket is accepted from by somebody, and with as many as
// loops each loop has one alone.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		sockets, loops int
		shared         bool
	}{{1, 1, false}, {1, 3, false}, {3, 3, false}, {3, 2, false}, {2, 4, false}, {3, 2, true}, {3, 1, false}} {
		l := &listener{}
		for i := range c.sockets {
			l.sockets = append(l.sockets, 100+i)
		}
		users := make(map[int]int)
		shared := make(map[int]bool)
		for i, list := range share([]*listener{l}, c.loops, c.shared) {
			if len(list) == 0 {
				t.Errorf("%+v: loop %d has nothing", c, i)
			}
			for _, li := range list {
				users[li.FD]++
				shared[li.FD] = shared[li.FD] || li.Shared
			}
		}
		for _, fd := range l.sockets {
			if users[fd] == 0 || users[fd] > 1 && !shared[fd] {
				t.Errorf("%+v: socket %d has %d loops, shared %v", c, fd, users[fd], shared[fd])
			}
		}
	}
}

// ownSocket is a listener of ours on a Unix socket.
func ownSocket(t *testing.T) *listener {
	t.Helper()
	cfg := config.Default()
	l, err := listenUnix(&cfg, filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	l.key = "unix:" + l.unix
	return l
}

// TestHeirLeavesFiles: a new process that ends before the one that it was to replace has
// heard of it leaves the Unix sockets alone that the other still serves.
func TestHeirLeavesFiles(t *testing.T) {
	for _, heir := range []bool{true, false} {
		s := &Server{heir: heir}
		l := ownSocket(t)
		s.listeners = []*listener{l}
		s.closeListeners()
		if _, err := os.Lstat(l.unix); (err == nil) != heir {
			t.Errorf("heir %v: %v", heir, err)
		}
	}
}

// TestModelFailsDuringUpgrade: the model's failure ends the process, but not the new one
// that is about to take its place; if that fails too, its end is the end.
func TestModelFailsDuringUpgrade(t *testing.T) {
	for _, outcome := range []error{nil, errors.New("it does not start")} {
		events, err := newEventLog(config.Default().Log, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		u, err := startUpgrade(script(t, "exec sleep 1000"), nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		u.result = make(chan error, 1) // what this test says instead
		srv := &serving{server: &numbered{}, ended: reactor.Ended{Err: errors.New("the kernel refuses")}}
		s := &Server{events: events, notify: NewNotifier(events.Logger), opts: Options{Stderr: io.Discard}, ended: make(chan *serving, 1), upgrading: u}
		cfg := config.Default()
		s.cfg, s.serving, s.listeners = &cfg, srv, []*listener{ownSocket(t)}
		path := s.listeners[0].unix
		s.servers.add(srv)
		s.ended <- srv
		go func() {
			for !s.control.draining.Load() {
				time.Sleep(time.Millisecond)
			}
			u.result <- outcome
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
		events.sink.close()
	}
}
