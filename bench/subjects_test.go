package bench

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/bench/results"
)

// models are as `evhttpd models --json` lists them on Linux.
var models = []model{
	{Name: "select", Available: true, Triggers: []string{"level"}},
	{Name: "epoll", Available: true, Triggers: []string{"level", "edge"}},
	{Name: "kqueue", Reason: "linux has no kqueue"},
	{Name: "goroutine", Available: true},
}

// TestSubjects: the baseline and its control always take part, and a choice of triggers leaves alone who has none.
func TestSubjects(t *testing.T) {
	var auto subject
	auto.Model, auto.Trigger = "epoll", "edge"
	for _, c := range []struct {
		models, triggers []string
		want             string
	}{
		{nil, nil, "select, epoll level, epoll edge, epoll edge (control), goroutine"},
		{nil, []string{"edge"}, "select, epoll edge, epoll edge (control), goroutine"},
		{nil, []string{"level"}, "select, epoll level, epoll edge, epoll edge (control), goroutine"},
		{[]string{"select"}, nil, "select, epoll edge, epoll edge (control)"},
	} {
		o := &comparison{Options: Options{Models: c.models, Triggers: c.triggers}, out: &results.Results{}}
		if err := o.checkNames(models); err != nil {
			t.Fatal(err)
		}
		for _, m := range models {
			if m.Available && (len(c.models) == 0 || slices.Contains(c.models, m.Name) || m.Name == auto.Model) {
				o.addModel(m, auto)
			}
		}
		var names []string
		for _, s := range o.subjects {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, ", "); got != c.want {
			t.Errorf("models %v, triggers %v: %s, want %s", c.models, c.triggers, got, c.want)
		}
	}
}

func TestModelsThatCannotRun(t *testing.T) {
	for name, says := range map[string]string{"kqueue": "linux has no kqueue", "epol": "no such model"} {
		o := &comparison{Options: Options{Models: []string{name}}}
		if err := o.checkNames(models); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "select, epoll") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseTarget(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket := filepath.Join(t.TempDir(), "s")
	behind, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	at := listener.Addr().String()
	for _, c := range []struct{ text, name, addr, host, path string }{
		{"nginx=http://" + at + "/a/", "nginx", at, at, "/a/"},
		{"http://" + at + "/x=y", at, at, at, "/x=y"},
		{"http://" + at + "?q=1", at, at, at, "/?q=1"},
		{"http://unix:" + socket, "unix:" + socket, "unix:" + socket, "localhost", "/"},
		{"u=http://unix:" + socket + ":/a/", "u", "unix:" + socket, "localhost", "/a/"},
	} {
		s, err := parseTarget(t.Context(), c.text)
		if err != nil || s.Name != c.name || s.addr.String() != c.addr || s.at.Path != c.path || s.at.Host != c.host {
			t.Errorf("%s: %+v, %v", c.text, s, err)
		}
	}
	for _, bad := range []string{"", "x", "127.0.0.1:80", "https://127.0.0.1/", "http://", "http://u:p@127.0.0.1/", "ftp://127.0.0.1/",
		"http://127.0.0.1:99999/", "http://unix:x"} {
		if _, err := parseTarget(t.Context(), bad); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: %v, want that it is a mistake", bad, err)
		}
	}
}
