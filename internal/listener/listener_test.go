package listener

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evhttpd/evhttpd/internal/config"
)

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
	open := func(l *Listener) (n int) {
		for _, fd := range l.sockets {
			if listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listening == 1 {
				n++
			}
		}
		return n
	}
	path := filepath.Join(t.TempDir(), "socket")
	parse("127.0.0.1:0", "unix:"+path)
	first, err := Open(&cfg, cfg.Listen, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	byNumber := first[0].addr.String()
	parse(byNumber)
	second, err := Open(&cfg, cfg.Listen, 3, first)
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
	if g := Gone(first, second); len(g) != 1 || g[0].unix != path {
		t.Errorf("gone: %+v", g)
	}
	parse(byNumber, "127.0.0.1:0", "systemd:nothing")
	if _, err := Open(&cfg, cfg.Listen, 3, second); err == nil || !strings.Contains(err.Error(), "systemd:nothing") {
		t.Error(err)
	}
	parse(byNumber, byNumber)
	if _, err := Open(&cfg, cfg.Listen, 3, second); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	third, err := Open(&cfg, cfg.Listen, 1, second)
	if err == nil {
		t.Errorf("%+v", third)
	}
	if open(second[0]) != want || open(first[1]) != 1 {
		t.Error("an error has closed what was open")
	}
	if err := Close(first, second, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the Unix socket's file is there")
	}
	if err := Close(second, nil, true); err != nil {
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
		l := &Listener{}
		for i := range c.sockets {
			l.sockets = append(l.sockets, 100+i)
		}
		users := make(map[int]int)
		shared := make(map[int]bool)
		for i, list := range Share([]*Listener{l}, c.loops, c.shared) {
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
