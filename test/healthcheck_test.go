package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evhttpd/evhttpd/internal/testkit"
)

// TestHealthcheck: the subcommand asks the running server where it listens, in every model.
func TestHealthcheck(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		s := start(t, v, t.TempDir())
		code, said, complaint := command(t, "healthcheck", "--listen", s.addr)
		if want := "OPTIONS * at " + s.addr + ": 204 No Content\n"; code != 0 || said != want || complaint != "" {
			t.Errorf("exit %d, %q, %q; want %q", code, said, complaint, want)
		}
	})
}

// TestHealthcheckOfBusyServer: a server that has all the connections that it may have is healthy.
func TestHealthcheckOfBusyServer(t *testing.T) {
	eachVariant(t, func(t *testing.T, v variant) {
		if !v.OwnCode() {
			return
		}
		root, folder := t.TempDir(), t.TempDir()
		write(t, root, "large", pattern(slowBytes, 5))
		write(t, folder, "c.yaml", []byte("limits: {connections: 2}\n"))
		s := start(t, v, root, "--config", filepath.Join(folder, "c.yaml"))
		for range 2 {
			s.beginDownload(t, "/large")
		}
		if got := s.get(t, "/large"); got.status != 503 || !strings.Contains(string(got.body), "limits.connections") {
			t.Errorf("a third connection: %d %.200q", got.status, got.body)
		}
		if code, said, complaint := command(t, "healthcheck", "--listen", s.addr); code != 0 {
			t.Errorf("exit %d, %q, %q", code, said, complaint)
		}
		s.cmd.Process.Kill() // the downloads are not waited for
		<-s.exited
	})
}

// TestHealthcheckOfAnyAddress: by the port alone, over IPv4 and IPv6, and over a Unix socket.
func TestHealthcheckOfAnyAddress(t *testing.T) {
	folder, err := os.MkdirTemp("", "") // short, for the socket
	must(t, err)
	defer os.RemoveAll(folder)
	socket := "unix:" + filepath.Join(folder, "s")
	s := launch(t, testkit.Command(binary, "serve", t.TempDir(), "--listen", "0,"+socket, "--access-log", "off"))
	defer s.stop(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.addr, "http://"))
	must(t, err)
	for _, listen := range []string{port, ":" + port, "0.0.0.0:" + port, "localhost:" + port, socket, socket + "," +
		port} {
		if code, said, complaint := command(t, "healthcheck", "--listen", listen); code != 0 ||
			strings.Count(said, "\n") != 1 {
			t.Errorf("--listen %s: exit %d, %q, %q", listen, code, said, complaint)
		}
	}
	if code, said, complaint := command(t, "healthcheck", socket); code != 0 {
		t.Errorf("%s: exit %d, %q, %q", socket, code, said, complaint)
	}
}

// TestHealthcheckFails: 1 and one line if the server does not answer well, 2 if there is nothing to ask.
func TestHealthcheckFails(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "fine")
	})
	asked := make(chan struct{})
	mux.HandleFunc("/hangs", func(http.ResponseWriter, *http.Request) { <-asked })
	other := httptest.NewServer(mux)
	defer other.Close()
	defer close(asked)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed.Close()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{other.URL + "/ok", 0, "200 OK"},
		{other.URL + "/missing", 1, "404 Not Found"},
		{other.URL + "/broken", 1, "503 Service Unavailable"},
		{other.URL + "/short", 1, "EOF"},
		{other.URL + "/hangs --timeout 100ms", 1, "no answer in time"},
		{"--listen " + closed.Addr().String(), 1, "refused"},
		{"--listen unix:/nowhere/at/all", 1, "/nowhere/at/all"},
		{"--listen 127.0.0.1:0", 2, "give the URL"},
		{"--listen systemd:web", 2, "give the URL"},
		{"--listen nowhere", 2, "nowhere"},
		{"ftp://127.0.0.1/", 2, "ftp://127.0.0.1/"},
		{"8080", 2, "8080"},
		{"--timeout 0s", 2, "--timeout"},
		{"--loops none", 2, "--loops"},
		{"http://a/ http://b/", 2, "one URL"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, said, complaint := command(t, append([]string{"healthcheck"}, strings.Fields(c.args)...)...)
			if all := said + complaint; code != c.code || !strings.Contains(all, c.says) ||
				strings.Count(all, "\n") != 1 {
				t.Errorf("exit %d, %q, %q; want %d and a line with %q", code, said, complaint, c.code, c.says)
			}
			if code != 0 && said != "" {
				t.Error(fmt.Errorf("a failure on stdout: %q", said))
			}
		})
	}
}
