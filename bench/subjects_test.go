package bench

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/bench/experiment"
	"github.com/evhttpd/evhttpd/bench/results"
	"github.com/evhttpd/evhttpd/bench/server"
)

// models are as `evhttpd models --json` lists them on Linux.
var models = &server.Models{Auto: struct{ Model, Trigger string }{"epoll", "edge"}, Models: []server.Model{
	{Name: "select", Available: true, Triggers: []string{"level"}},
	{Name: "epoll", Available: true, Triggers: []string{"level", "edge"}},
	{Name: "kqueue", Reason: "linux has no kqueue"},
	{Name: "goroutine", Available: true},
}}

func comparing(o Options) *comparison {
	return &comparison{Session: &experiment.Session{Options: o.Options}, asked: o, out: &results.Results{}}
}

// TestSubjects: the baseline and its control always take part, first, and a choice of triggers leaves alone models that
// have none.
func TestSubjects(t *testing.T) {
	for _, c := range []struct {
		models, triggers []string
		want             string
	}{
		{nil, nil, "epoll edge, epoll edge (control), select, epoll level, goroutine"},
		{nil, []string{"edge"}, "epoll edge, epoll edge (control), select, goroutine"},
		{nil, []string{"level"}, "epoll edge, epoll edge (control), select, epoll level, goroutine"},
		{[]string{"select"}, nil, "epoll edge, epoll edge (control), select"},
	} {
		o := comparing(Options{Options: experiment.Options{Models: c.models}, Triggers: c.triggers})
		if err := o.pickModels(models); err != nil {
			t.Fatal(err)
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
		err := comparing(Options{Options: experiment.Options{Models: []string{name}}}).pickModels(models)
		if !errors.As(err, new(*experiment.OptionError)) || !strings.Contains(err.Error(),
			says) ||
			!strings.Contains(err.Error(), "select, epoll") {
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
	for _, bad := range []string{"", "x", "127.0.0.1:80", "https://127.0.0.1/", "http://", "http://u:p@127.0.0.1/",
		"ftp://127.0.0.1/",
		"http://127.0.0.1:99999/", "http://unix:x"} {
		_, err := parseTarget(t.Context(), bad)
		if !errors.As(err, new(*experiment.OptionError)) {
			t.Errorf("%q: %v, want that it is a mistake", bad, err)
		}
	}
}
